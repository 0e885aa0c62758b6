use crate::lora::LoraMap;
use crate::model::{Dropout, Gradient, LoraPass, Model, Pack, Parameters, Workspace};
use crate::optimizer::{StepReport, UpdateRule, adamw, in_parallel, reduce};
use crate::{Error, Result};
use std::thread;

/// How a [`LoraTrainer`] works.
#[derive(Clone, Copy, Debug)]
pub struct TrainerOptions {
    /// Share of the adapter's inputs that are dropped.
    pub dropout: f32,
    /// Seed of the dropout.
    pub seed: u64,
    /// Whether activations are computed again in the backward pass.
    pub recompute: bool,
    /// Tokens that one thread pushes through the model at a time.
    pub at_once: usize,
    /// Threads that share a step's rows.
    pub threads: usize,
}

/// A frozen base and an adapter with its moments.
pub struct LoraTrainer {
    /// The base.
    pub model: Model,
    /// The base's weights; they never change.
    pub weights: Vec<f32>,
    /// Where the adapter's matrices lie.
    pub map: LoraMap,
    /// Their values.
    pub values: Vec<f32>,
    /// AdamW's first moments.
    pub first: Vec<f32>,
    /// AdamW's second moments.
    pub second: Vec<f32>,
    /// Steps done.
    pub step: u64,
    options: TrainerOptions,
    workers: Vec<Worker>,
}

struct Worker {
    work: Workspace,
    gradient: Vec<f32>,
}

impl LoraTrainer {
    /// A trainer at step 0. Results are the same bit for bit for the same number of threads.
    pub fn new(
        model: Model,
        weights: Vec<f32>,
        map: LoraMap,
        values: Vec<f32>,
        options: TrainerOptions,
    ) -> LoraTrainer {
        assert_eq!((weights.len(), values.len()), (model.map.len, map.len), "one value for each parameter");
        let worker = || Worker {
            work: if options.recompute { Workspace::recomputing() } else { Workspace::default() },
            gradient: vec![0.0; map.len],
        };
        let workers = (0..options.threads.max(1)).map(|_| worker()).collect();
        let (first, second) = (vec![0.0; map.len], vec![0.0; map.len]);
        LoraTrainer { model, weights, map, values, first, second, step: 0, options, workers }
    }

    /// One step on the mean loss of all targets in `rows`. Neither a loss that is no number nor a part of the adapter
    /// that gets no gradient changes anything.
    pub fn train(&mut self, rows: &[Pack], rule: UpdateRule, lr: f64) -> Result<StepReport> {
        let report = self.gradient(rows);
        if !report.loss.is_finite() || !report.gradient_norm.is_finite() {
            return Err(Error::Diverged { loss: report.loss, step: self.step });
        }
        // B is zero at first, so that A gets its first gradient in the second step.
        let is_early = self.step < 2 && report.targets > 0;
        if let Some(tensor) = self.map.without_gradient(self.last_gradient(), self.step == 1).filter(|_| is_early) {
            return Err(Error::NoGradient { tensor, step: self.step });
        }
        let rates = rule.rates(self.step, lr, report.gradient_norm);
        let Self { values, first, second, workers, .. } = self;
        let threads = workers.len();
        adamw(values, [first, second], &workers[0].gradient, rates, threads);
        self.step += 1;
        Ok(report)
    }

    /// The gradient that [`Self::gradient`] has left.
    pub fn last_gradient(&self) -> &[f32] {
        &self.workers[0].gradient
    }

    /// The loss of a step on `rows`; its gradient is in [`Self::last_gradient`].
    pub fn gradient(&mut self, rows: &[Pack]) -> StepReport {
        let targets: usize = rows.iter().map(Pack::target_count).sum();
        let scale = 1.0 / targets.max(1) as f32;
        let Self { model, weights, map, values, step, options, workers, .. } = self;
        let (model, weights, map, values) = (&*model, &*weights, &*map, &*values);
        let (step, TrainerOptions { dropout, seed, at_once, .. }) = (*step, *options);
        let loss = in_parallel(workers, rows, at_once, |index, worker, packs| {
            worker.gradient.fill(0.0);
            let Worker { work, gradient } = worker;
            let mut sum = 0.0;
            for (number, pack) in packs.iter().enumerate() {
                let place = step << 24 | (index as u64) << 16 | number as u64;
                let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ place;
                let dropout = (dropout > 0.0).then_some(Dropout { share: dropout, seed });
                let lora = Some(LoraPass { map, values, dropout });
                let p = Parameters { weights, lora };
                sum += model.loss_and_gradient(&p, Gradient::Lora(gradient), work, pack, scale);
            }
            sum
        });
        let gradient_norm = reduce(workers.iter_mut().map(|w| w.gradient.as_mut_slice()).collect());
        StepReport {
            loss: loss / targets.max(1) as f64,
            gradient_norm,
            tokens: rows.iter().map(|r| r.tokens.len()).sum(),
            targets,
        }
    }

    /// Mean loss of a target in `rows`, without dropout; NaN where there is none.
    pub fn evaluate(&mut self, rows: &[Pack]) -> f64 {
        let targets: usize = rows.iter().map(Pack::target_count).sum();
        let Self { model, weights, map, values, options, workers, .. } = self;
        let (model, map, weights, values) = (&*model, &*map, &*weights, &*values);
        let loss = in_parallel(workers, rows, options.at_once, |_, worker, packs| {
            let lora = Some(LoraPass { map, values, dropout: None });
            let p = Parameters { weights, lora };
            packs.iter().map(|pack| model.loss(&p, &mut worker.work, pack)).sum::<f64>()
        });
        loss / targets as f64
    }
    /// Greedy answers to `prompts` under the adapter as it is, of at most `most` tokens each.
    pub fn answers(&mut self, prompts: &[&[u32]], most: usize, ends: impl Fn(u32) -> bool + Sync) -> Vec<Vec<u32>> {
        let Self { model, weights, map, values, workers, .. } = self;
        let (model, ends) = (&*model, &ends);
        let lora = Some(LoraPass { map, values, dropout: None });
        let p = Parameters { weights, lora };
        let mut answers = vec![Vec::new(); prompts.len()];
        let share = prompts.len().div_ceil(workers.len()).max(1);
        thread::scope(|scope| {
            for (worker, (prompts, answers)) in
                workers.iter_mut().zip(prompts.chunks(share).zip(answers.chunks_mut(share)))
            {
                scope.spawn(move || {
                    for (prompt, answer) in prompts.iter().zip(answers) {
                        *answer = model.answer(&p, &mut worker.work, prompt, most, ends);
                    }
                });
            }
        });
        answers
    }
}
