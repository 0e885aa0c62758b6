use crate::cpu::Cpu;
use crate::device::Device;
use crate::lora::LoraMap;
use crate::model::pass::{Gradient, LoraPass, Parameters};
use crate::model::{Dropout, Model, Pack};
use crate::optimizer::{StepReport, UpdateRule, Worker, in_parallel};
use crate::{Error, Result};
use std::borrow::Cow;
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
    /// Tokens that one thread pushes through the model at a time; a GPU takes more.
    pub at_once: usize,
    /// Threads that share a step's rows.
    pub threads: usize,
}

/// A frozen base and an adapter with its moments.
pub struct LoraTrainer<D: Device = Cpu> {
    /// The base.
    pub model: Model,
    /// The base's weights; they never change.
    pub weights: D::ValueBuffer,
    /// Where the adapter's matrices lie.
    pub map: LoraMap,
    /// Their values.
    pub values: D::Trained,
    /// AdamW's first moments.
    pub first: D::FloatBuffer,
    /// AdamW's second moments.
    pub second: D::FloatBuffer,
    /// Steps done.
    pub step: u64,
    device: D,
    options: TrainerOptions,
    workers: Vec<Worker<D>>,
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
        LoraTrainer::on(Cpu::new(options.threads), model, weights, map, values, options)
    }
}

impl<D: Device> LoraTrainer<D> {
    /// A trainer at step 0.
    pub fn on(
        device: D,
        model: Model,
        weights: Vec<f32>,
        map: LoraMap,
        values: Vec<f32>,
        options: TrainerOptions,
    ) -> LoraTrainer<D> {
        assert_eq!((weights.len(), values.len()), (model.map.len, map.len), "one value for each parameter");
        let options = TrainerOptions { at_once: device.tokens_at_once(options.at_once), ..options };
        let workers = Worker::all(&device, map.len, options.recompute);
        let [first, second] = [(); 2].map(|()| device.floats(vec![0.0; map.len]));
        let (weights, values) = (device.values(weights), device.trained(values));
        LoraTrainer { model, weights, map, values, first, second, step: 0, device, options, workers }
    }

    /// One step on the mean loss of all targets in `rows`. Neither a loss that is no number nor a part of the adapter
    /// that gets no gradient changes anything.
    pub fn train(&mut self, rows: &[Pack], rule: UpdateRule, lr: f64) -> Result<StepReport> {
        let report = self.gradient(rows);
        self.device.check()?;
        if !report.loss.is_finite() || !report.gradient_norm.is_finite() {
            return Err(Error::Diverged { loss: report.loss, step: self.step });
        }
        // B is zero at first, so that A gets its first gradient in the second step.
        let is_early = self.step < 2 && report.targets > 0;
        let without = if is_early { self.map.without_gradient(&self.last_gradient(), self.step == 1) } else { None };
        if let Some(tensor) = without {
            return Err(Error::NoGradient { tensor, step: self.step });
        }
        let rates = rule.rates(self.step, lr, report.gradient_norm);
        let Self { map, values, first, second, device, workers, .. } = self;
        device.adamw(values, [first, second], &workers[0].gradient, 0..map.len, rates);
        self.step += 1;
        Ok(report)
    }

    /// The gradient that [`Self::gradient`] has left.
    pub fn last_gradient(&self) -> Cow<'_, [f32]> {
        self.device.read_floats(&self.workers[0].gradient)
    }

    /// What went wrong on the device, if anything did.
    pub fn check(&self) -> Result<()> {
        self.device.check()
    }

    /// The adapter's values as they are.
    pub fn read_values(&self) -> Cow<'_, [f32]> {
        self.device.read_trained(&self.values)
    }

    /// Values and moments as a checkpoint names them.
    pub(crate) fn state(&self) -> [(&'static str, Cow<'_, [f32]>); 3] {
        let moments = [&self.first, &self.second].map(|moments| self.device.read_floats(moments));
        let [first, second] = moments;
        [("values", self.read_values()), ("first", first), ("second", second)]
    }

    /// The reverse of [`Self::state`].
    pub(crate) fn set_state(&mut self, [values, first, second]: [Vec<f32>; 3]) {
        self.values = self.device.trained(values);
        [self.first, self.second] = [first, second].map(|moments| self.device.floats(moments));
    }

    /// The loss of a step on `rows`; its gradient is in [`Self::last_gradient`].
    pub fn gradient(&mut self, rows: &[Pack]) -> StepReport {
        let targets: usize = rows.iter().map(Pack::target_count).sum();
        let scale = 1.0 / targets.max(1) as f32;
        let Self { model, weights, map, values, step, options, workers, .. } = self;
        let (model, weights, map, values) = (&*model, &**weights, &*map, &**values);
        let (step, TrainerOptions { dropout, seed, at_once, .. }) = (*step, *options);
        let loss = in_parallel(workers, rows, at_once, |index, worker, packs| {
            let Worker { work, gradient } = worker;
            work.device().clear_floats(gradient);
            let mut sum = 0.0;
            for (number, pack) in packs.iter().enumerate() {
                let place = step << 24 | (index as u64) << 16 | number as u64;
                let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ place;
                let dropout = (dropout > 0.0).then_some(Dropout { share: dropout, seed });
                let lora = Some(LoraPass { map, values, dropout });
                let p = Parameters { weights, lora };
                sum += model.loss_and_gradient(&p, Gradient::Lora(&mut **gradient), work, pack, scale);
            }
            sum
        });
        let gradient_norm = self.device.reduce(workers.iter_mut().map(|w| &mut *w.gradient).collect());
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
        let (model, map, weights, values) = (&*model, &*map, &**weights, &**values);
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
        let (model, map, weights, values, ends) = (&*model, &*map, &**weights, &**values, &ends);
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
