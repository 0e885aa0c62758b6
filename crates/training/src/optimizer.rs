//! Data-parallel training steps: threads share the batch, then the update of the weights.

use crate::Result;
use crate::cpu::Cpu;
use crate::cpu::kernels::AdamwRates;
use crate::cpu::matmul;
use crate::device::{Device, PlacedMatrix};
use crate::model::pass::{Gradient, Parameters};
use crate::model::{Model, Pack, Workspace};
use crate::parameters::PlacedTensor;
use std::borrow::Cow;
use std::thread;

/// Tokens that one thread pushes through the model at a time; bounds the activations' memory.
const TOKENS_AT_ONCE: usize = 2048;

/// How gradients become updates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// AdamW for everything.
    #[default]
    Adamw,
    /// Muon for the blocks' matrices, AdamW for embedding, head and norms.
    Muon,
}

/// The optimizer's constants.
#[derive(Clone, Copy, Debug)]
pub struct UpdateRule {
    /// Which optimizer.
    pub optimizer: Optimizer,
    /// AdamW's decay of the first and of the second moment.
    pub betas: [f32; 2],
    /// Added to the root of the second moment by AdamW.
    pub eps: f32,
    /// Decoupled weight decay, on matrices only.
    pub weight_decay: f32,
    /// Largest norm of the gradient; 0 = no clipping.
    pub clip: f32,
}

/// How the learning rate goes down after its peak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// Along a cosine.
    #[default]
    Cosine,
    /// In a straight line.
    Linear,
    /// Not at all.
    Constant,
}

/// Linear warm-up, then down to a share of the peak.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// The way down.
    pub decay: Decay,
    /// The peak.
    pub lr: f64,
    /// Steps until the peak.
    pub warmup: u64,
    /// All steps.
    pub steps: u64,
    /// The last learning rate as a share of the peak.
    pub min_ratio: f64,
}

impl Schedule {
    /// The learning rate of `step`, counted from 0.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.lr * (step + 1) as f64 / self.warmup as f64;
        }
        let progress = (step - self.warmup) as f64 / (self.steps.saturating_sub(self.warmup)).max(1) as f64;
        let left = match self.decay {
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos()),
            Decay::Linear => 1.0 - progress.min(1.0),
            Decay::Constant => 1.0,
        };
        self.lr * (self.min_ratio + (1.0 - self.min_ratio) * left)
    }
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Mean loss of a target, in nats.
    pub loss: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Tokens read.
    pub tokens: usize,
    /// Tokens predicted.
    pub targets: usize,
}

/// The weights with their moments, and the threads' buffers.
pub struct Trainer<D: Device = Cpu> {
    /// The model.
    pub model: Model,
    /// Its weights.
    pub weights: D::Trained,
    /// AdamW's first moments, Muon's momentum.
    pub first: D::FloatBuffer,
    /// AdamW's second moments.
    pub second: D::FloatBuffer,
    /// Steps done.
    pub step: u64,
    device: D,
    workers: Vec<Worker<D>>,
}

pub(crate) struct Worker<D: Device> {
    pub work: Workspace<D>,
    pub gradient: D::FloatBuffer,
}

impl<D: Device> Worker<D> {
    /// As many as the device wants, with gradients of `len` values.
    pub fn all(device: &D, len: usize, recompute: bool) -> Vec<Worker<D>> {
        let work = || Workspace::new(device.clone(), recompute);
        let worker = |_| Worker { work: work(), gradient: device.floats(vec![0.0; len]) };
        (0..device.workers()).map(worker).collect()
    }
}

impl Trainer {
    /// A trainer at step 0. Results are the same bit for bit for the same number of `threads`.
    pub fn new(model: Model, weights: Vec<f32>, threads: usize) -> Trainer {
        Trainer::on(Cpu::new(threads), model, weights)
    }
}

impl<D: Device> Trainer<D> {
    /// A trainer at step 0.
    pub fn on(device: D, model: Model, weights: Vec<f32>) -> Trainer<D> {
        let len = model.map.len;
        assert_eq!(weights.len(), len, "one value for each parameter");
        let [first, second] = [(); 2].map(|()| device.floats(vec![0.0; len]));
        let workers = Worker::all(&device, len, false);
        Trainer { model, weights: device.trained(weights), first, second, step: 0, device, workers }
    }

    /// One step on the mean loss of all targets in `rows`.
    pub fn train(&mut self, rows: &[Pack], rule: UpdateRule, lr: f64) -> StepReport {
        let targets: usize = rows.iter().map(Pack::target_count).sum();
        let scale = 1.0 / targets.max(1) as f32;
        let (model, weights) = (&self.model, &self.weights);
        let at_once = self.device.tokens_at_once(TOKENS_AT_ONCE);
        let losses = in_parallel(&mut self.workers, rows, at_once, |_, worker, packs| {
            let Worker { work, gradient } = worker;
            work.device().clear_floats(gradient);
            let p = Parameters::base(&**weights);
            packs
                .iter()
                .map(|pack| model.loss_and_gradient(&p, Gradient::Weights(&mut **gradient), work, pack, scale))
                .sum::<f64>()
        });
        let gradient_norm = self.device.reduce(self.workers.iter_mut().map(|w| &mut *w.gradient).collect());
        self.update(rule, lr, gradient_norm);
        self.step += 1;
        StepReport {
            loss: losses / targets.max(1) as f64,
            gradient_norm,
            tokens: rows.iter().map(|r| r.tokens.len()).sum(),
            targets,
        }
    }

    /// Mean loss of a target in `rows`, or NaN where there is none.
    pub fn evaluate(&mut self, rows: &[Pack]) -> f64 {
        let targets: usize = rows.iter().map(Pack::target_count).sum();
        let (model, weights) = (&self.model, &self.weights);
        let at_once = self.device.tokens_at_once(TOKENS_AT_ONCE);
        let loss = in_parallel(&mut self.workers, rows, at_once, |_, worker, packs| {
            packs.iter().map(|pack| model.loss(&Parameters::base(&**weights), &mut worker.work, pack)).sum::<f64>()
        });
        loss / targets as f64
    }

    /// What went wrong on the device, if anything did.
    pub fn check(&self) -> Result<()> {
        self.device.check()
    }

    /// Weights and moments as a checkpoint names them.
    pub(crate) fn state(&self) -> [(&'static str, Cow<'_, [f32]>); 3] {
        [
            ("weights", self.device.read_trained(&self.weights)),
            ("first", self.device.read_floats(&self.first)),
            ("second", self.device.read_floats(&self.second)),
        ]
    }

    /// The reverse of [`Self::state`].
    pub(crate) fn set_state(&mut self, [weights, first, second]: [Vec<f32>; 3]) {
        self.weights = self.device.trained(weights);
        [self.first, self.second] = [first, second].map(|moments| self.device.floats(moments));
    }

    fn update(&mut self, rule: UpdateRule, lr: f64, gradient_norm: f64) {
        let rates = rule.rates(self.step, lr, gradient_norm);
        let Self { model, weights, first, second, device, workers, .. } = self;
        let (map, gradient) = (&model.map, &workers[0].gradient);
        let adamw_len = match rule.optimizer {
            Optimizer::Adamw => map.decay_len,
            Optimizer::Muon => {
                // Embedding and head come first; the blocks' matrices are what is left.
                let blocks = map.tensors.iter().filter(|t| t.spec.shape.len() == 2 && t.range.start >= map.head.end);
                let matrix = |tensor: &PlacedTensor| {
                    let shape = [tensor.spec.shape[0], tensor.spec.shape[1]];
                    PlacedMatrix { range: tensor.range.clone(), shape }
                };
                let matrices: Vec<PlacedMatrix> = blocks.map(matrix).collect();
                device.muon(weights, first, gradient, &matrices, rates);
                map.head.end
            }
        };
        device.adamw(weights, [first, second], gradient, 0..adamw_len, rates);
        let others = map.decay_len..map.len;
        device.adamw(weights, [first, second], gradient, others, AdamwRates { decay: 0.0, ..rates });
    }
}

impl UpdateRule {
    /// The numbers of AdamW's update in `step`, counted from 0.
    pub(crate) fn rates(&self, step: u64, lr: f64, gradient_norm: f64) -> AdamwRates {
        let t = (step + 1) as f64;
        let clip = f64::from(self.clip);
        AdamwRates {
            lr: lr as f32,
            decay: self.weight_decay,
            betas: self.betas,
            bias: self.betas.map(|beta| (1.0 - f64::from(beta).powf(t)) as f32),
            eps: self.eps,
            gradient_scale: if clip > 0.0 && gradient_norm > clip { clip / gradient_norm } else { 1.0 } as f32,
        }
    }
}

/// Gives each worker a contiguous share of `rows` of about as many tokens, packed for passes of at most about
/// `at_once` tokens; adds the results in the workers' order. `run` is told the worker's number. Where there are fewer rows
/// than workers, those without one help with the products of the others.
pub(crate) fn in_parallel<W: Send>(
    workers: &mut [W],
    rows: &[Pack],
    at_once: usize,
    run: impl Fn(usize, &mut W, &[Pack]) -> f64 + Sync,
) -> f64 {
    let shares = split(rows, workers.len(), at_once);
    let busy = shares.iter().filter(|share| !share.is_empty()).count().max(1);
    let threads = workers.len() / busy;
    thread::scope(|scope| {
        let run = &run;
        let workers = workers.iter_mut().zip(&shares).enumerate();
        let run = move |index, worker, share| matmul::with_threads(threads, || run(index, worker, share));
        let handles: Vec<_> =
            workers.map(|(index, (worker, share))| scope.spawn(move || run(index, worker, share))).collect();
        handles.into_iter().map(|h| h.join().expect("a training thread panicked")).sum()
    })
}

/// The rows of each worker, merged into passes of about `at_once` tokens.
fn split(rows: &[Pack], workers: usize, at_once: usize) -> Vec<Vec<Pack>> {
    let total: usize = rows.iter().map(|r| r.tokens.len()).sum();
    let mut shares = vec![Vec::<Pack>::new(); workers];
    let mut done = 0;
    for row in rows {
        // The worker in whose share of the tokens the row's middle lies.
        let middle = done + row.tokens.len() / 2;
        let share = &mut shares[(middle * workers / total.max(1)).min(workers - 1)];
        done += row.tokens.len();
        match share.last_mut() {
            Some(pack) if pack.tokens.len() + row.tokens.len() <= at_once => pack.append(row),
            _ => share.push(row.clone()),
        }
    }
    shares
}
