//! Data-parallel training steps: threads share the batch, then the update of the weights.

use crate::kernels::{self, AdamwRates};
use crate::model::{Gradient, Model, Pack, Parameters, Workspace};
use crate::muon;
use std::ops::Range;
use std::thread;

/// Tokens that one thread pushes through the model at a time; bounds the activations' memory.
const TOKENS_AT_ONCE: usize = 2048;
/// Values that one thread reduces and updates at a time.
const CHUNK: usize = 1 << 16;

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
pub struct Trainer {
    /// The model.
    pub model: Model,
    /// Its weights.
    pub weights: Vec<f32>,
    /// AdamW's first moments, Muon's momentum.
    pub first: Vec<f32>,
    /// AdamW's second moments.
    pub second: Vec<f32>,
    /// Steps done.
    pub step: u64,
    workers: Vec<Worker>,
}

#[derive(Default)]
struct Worker {
    work: Workspace,
    gradient: Vec<f32>,
}

impl Trainer {
    /// A trainer at step 0. Results are the same bit for bit for the same number of `threads`.
    pub fn new(model: Model, weights: Vec<f32>, threads: usize) -> Trainer {
        let len = model.map.len;
        assert_eq!(weights.len(), len, "one value for each parameter");
        let workers = (0..threads.max(1)).map(|_| Worker { gradient: vec![0.0; len], ..Worker::default() }).collect();
        Trainer { model, weights, first: vec![0.0; len], second: vec![0.0; len], step: 0, workers }
    }

    /// One step on the mean loss of all targets in `rows`.
    pub fn train(&mut self, rows: &[Pack], rule: UpdateRule, lr: f64) -> StepReport {
        let targets: usize = rows.iter().map(Pack::target_count).sum();
        let scale = 1.0 / targets.max(1) as f32;
        let (model, weights) = (&self.model, &self.weights);
        let losses = in_parallel(&mut self.workers, rows, TOKENS_AT_ONCE, |_, worker, packs| {
            worker.gradient.fill(0.0);
            let Worker { work, gradient } = worker;
            let p = Parameters::base(weights);
            packs
                .iter()
                .map(|pack| model.loss_and_gradient(&p, Gradient::Weights(gradient), work, pack, scale))
                .sum::<f64>()
        });
        let gradient_norm = self.reduce();
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
        let loss = in_parallel(&mut self.workers, rows, TOKENS_AT_ONCE, |_, worker, packs| {
            packs.iter().map(|pack| model.loss(&Parameters::base(weights), &mut worker.work, pack)).sum::<f64>()
        });
        loss / targets as f64
    }

    /// Adds all gradients to the first worker's; returns the norm.
    fn reduce(&mut self) -> f64 {
        reduce(self.workers.iter_mut().map(|w| w.gradient.as_mut_slice()).collect())
    }

    fn update(&mut self, rule: UpdateRule, lr: f64, gradient_norm: f64) {
        let rates = rule.rates(self.step, lr, gradient_norm);
        let decay_len = self.model.map.decay_len;
        let adamw_len = match rule.optimizer {
            Optimizer::Adamw => decay_len,
            Optimizer::Muon => self.update_blocks(rates),
        };
        self.adamw(0..adamw_len, rates);
        self.adamw(decay_len..self.weights.len(), AdamwRates { decay: 0.0, ..rates });
    }

    fn adamw(&mut self, range: Range<usize>, rates: AdamwRates) {
        let threads = self.workers.len();
        let (weights, gradient) = (&mut self.weights[range.clone()], &self.workers[0].gradient[range.clone()]);
        adamw(weights, [&mut self.first[range.clone()], &mut self.second[range]], gradient, rates, threads);
    }

    /// Muon's update of the blocks' matrices; returns where they start.
    fn update_blocks(&mut self, rates: AdamwRates) -> usize {
        let map = &self.model.map;
        let start = map.head.end;
        let (mut weights, mut momentum) = (&mut self.weights[start..], &mut self.first[start..]);
        let mut matrices = Vec::new();
        for tensor in map.tensors.iter().filter(|t| t.spec.shape.len() == 2 && t.range.start >= start) {
            let (w, m);
            (w, weights) = weights.split_at_mut(tensor.range.len());
            (m, momentum) = momentum.split_at_mut(tensor.range.len());
            let gradient = &self.workers[0].gradient[tensor.range.clone()];
            matrices.push((w, m, gradient, [tensor.spec.shape[0], tensor.spec.shape[1]]));
        }
        for_chunks(matrices, self.workers.len(), |(w, m, g, shape)| {
            muon::update(w, m, g, shape, rates.lr, rates.decay);
        });
        start
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

/// Adds all gradients to the first one, always in the same order; returns its norm.
pub(crate) fn reduce(gradients: Vec<&mut [f32]>) -> f64 {
    let threads = gradients.len();
    let mut gradients = gradients.into_iter();
    let first = gradients.next().expect("at least one worker");
    let others: Vec<&[f32]> = gradients.map(|g| &*g).collect();
    let chunks: Vec<(usize, &mut [f32])> = first.chunks_mut(CHUNK).enumerate().collect();
    let squares = for_chunks(chunks, threads, |(index, chunk)| {
        for other in &others {
            kernels::add(chunk, &other[index * CHUNK..][..chunk.len()]);
        }
        kernels::sum_of_squares(chunk)
    });
    squares.iter().sum::<f64>().sqrt()
}

/// AdamW's update, shared by `threads`.
pub(crate) fn adamw(
    weights: &mut [f32],
    moments: [&mut [f32]; 2],
    gradient: &[f32],
    rates: AdamwRates,
    threads: usize,
) {
    let [first, second] = moments;
    let moments = first.chunks_mut(CHUNK).zip(second.chunks_mut(CHUNK));
    let chunks = weights.chunks_mut(CHUNK).zip(moments).zip(gradient.chunks(CHUNK)).collect();
    for_chunks(chunks, threads, |((w, (m, v)), g)| kernels::adamw(w, m, v, g, rates));
}

/// Gives each worker a contiguous share of `rows` of about as many tokens, packed for passes of at most about
/// `at_once` tokens; adds the results in the workers' order. `run` is told the worker's number.
pub(crate) fn in_parallel<W: Send>(
    workers: &mut [W],
    rows: &[Pack],
    at_once: usize,
    run: impl Fn(usize, &mut W, &[Pack]) -> f64 + Sync,
) -> f64 {
    let shares = split(rows, workers.len(), at_once);
    thread::scope(|scope| {
        let run = &run;
        let workers = workers.iter_mut().zip(&shares).enumerate();
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

/// Runs `run` on every chunk, in `threads` contiguous shares; the results keep the chunks' order.
fn for_chunks<C: Send, R: Send>(chunks: Vec<C>, threads: usize, run: impl Fn(C) -> R + Sync) -> Vec<R> {
    let share = chunks.len().div_ceil(threads).max(1);
    let mut chunks = chunks.into_iter();
    let shares: Vec<Vec<C>> = (0..threads).map(|_| chunks.by_ref().take(share).collect()).collect();
    thread::scope(|scope| {
        let run = &run;
        let handles: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(move || share.into_iter().map(run).collect::<Vec<R>>()))
            .collect();
        handles.into_iter().flat_map(|h| h.join().expect("a training thread panicked")).collect()
    })
}
