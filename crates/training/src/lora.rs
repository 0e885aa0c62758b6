//! Low-rank adapters (Hu et al., 2021): which projections have one, and where its two matrices lie in a flat buffer.

use crate::parameters::normal;
use checkpoint::{Adapter, AdapterConfig, AdapterMatrix, Part, Shape, TensorSpec};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::ops::Range;

/// A matrix product of a block. Projections of the same input are one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// Queries, keys and values.
    Qkv,
    /// Attention's output.
    Output,
    /// Gate and up.
    GateUp,
    /// Down.
    Down,
}

/// One projection's adapter: `scale * B A x` is added to what the projection gives.
#[derive(Clone, Debug)]
pub struct LoraSlot {
    /// The projection.
    pub target: TensorSpec,
    /// Its columns in the output of its site.
    pub outputs: Range<usize>,
    /// Width of the input.
    pub inputs: usize,
    /// Place of A, `[rank, inputs]`.
    pub a: Range<usize>,
    /// Place of B, `[outputs, rank]`.
    pub b: Range<usize>,
    /// Its number among all slots.
    pub index: usize,
    site: Site,
    layer: usize,
}

/// The places of all adapters of a model.
#[derive(Clone, Debug)]
pub struct LoraMap {
    /// Rank of every product.
    pub rank: usize,
    /// Factor of every product.
    pub scale: f32,
    /// In the order of the model's tensors.
    pub slots: Vec<LoraSlot>,
    /// Length of the buffer.
    pub len: usize,
}

impl LoraMap {
    /// Lays out adapters on `targets`, which are projections of `shape`.
    pub fn new(shape: &Shape, config: &AdapterConfig, targets: Vec<TensorSpec>) -> LoraMap {
        let rank = config.r;
        let (query, key, inner) = (shape.query_size(), shape.key_size(), shape.intermediate_size);
        let mut len = 0;
        let mut place = |size: usize| {
            len += size;
            len - size..len
        };
        let slots = targets.into_iter().filter_map(|target| {
            let (site, first) = match target.part {
                Part::Qkv | Part::Query => (Site::Qkv, 0),
                Part::Key => (Site::Qkv, query),
                Part::Value => (Site::Qkv, query + key),
                Part::Output => (Site::Output, 0),
                Part::GateUp | Part::Gate => (Site::GateUp, 0),
                Part::Up => (Site::GateUp, inner),
                Part::Down => (Site::Down, 0),
                _ => return None,
            };
            let (layer, [outputs, inputs]) = (target.layer?, [target.shape[0], target.shape[1]]);
            let (a, b) = (place(rank * inputs), place(outputs * rank));
            Some(LoraSlot { outputs: first..first + outputs, target, inputs, a, b, index: 0, site, layer })
        });
        let mut slots: Vec<LoraSlot> = slots.collect();
        slots.iter_mut().enumerate().for_each(|(index, slot)| slot.index = index);
        LoraMap { rank, scale: config.scale() as f32, slots, len }
    }

    /// The adapters of a site.
    pub fn at(&self, layer: usize, site: Site) -> impl Iterator<Item = &LoraSlot> {
        self.slots.iter().filter(move |slot| slot.layer == layer && slot.site == site)
    }

    /// The first block that has an adapter; no gradient goes further back.
    pub fn first_layer(&self) -> usize {
        self.slots.iter().map(|slot| slot.layer).min().unwrap_or(0)
    }

    /// Fresh values: A normal with the variance that keeps products of their inputs' size (1 / 3 of the inverse of the
    /// width, as PEFT's uniform values have), B zero, so that training starts at the base.
    pub fn initialize(&self, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut values = vec![0.0; self.len];
        for slot in &self.slots {
            let deviation = (1.0 / (3.0 * slot.inputs as f64)).sqrt();
            values[slot.a.clone()].iter_mut().for_each(|value| *value = (normal(&mut rng) * deviation) as f32);
        }
        values
    }

    /// The values of an adapter that was made for the same targets.
    pub fn values_of(&self, adapter: &Adapter) -> Vec<f32> {
        let mut values = vec![0.0; self.len];
        for matrix in &adapter.matrices {
            if let Some(slot) = self.slots.iter().find(|slot| slot.target.name == matrix.target.name) {
                values[slot.a.clone()].copy_from_slice(&matrix.a);
                values[slot.b.clone()].copy_from_slice(&matrix.b);
            }
        }
        values
    }

    /// `values` as an adapter to be written.
    pub fn adapter(&self, config: &AdapterConfig, values: &[f32]) -> Adapter {
        let matrices = self.slots.iter().map(|slot| AdapterMatrix {
            target: slot.target.clone(),
            a: values[slot.a.clone()].to_vec(),
            b: values[slot.b.clone()].to_vec(),
        });
        Adapter { config: config.clone(), matrices: matrices.collect() }
    }

    /// The first tensor of which `gradient` is zero everywhere.
    pub fn without_gradient(&self, gradient: &[f32], check_a: bool) -> Option<String> {
        let halves =
            self.slots.iter().flat_map(|slot| [(slot, &slot.a, "lora_A", check_a), (slot, &slot.b, "lora_B", true)]);
        let mut zero =
            halves.filter(|(_, range, _, checked)| *checked && gradient[(*range).clone()].iter().all(|g| *g == 0.0));
        zero.next().map(|(slot, _, half, _)| format!("{}.{half}", slot.target.module()))
    }
}
