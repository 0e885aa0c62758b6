//! The hand-written backward pass against candle's automatic one in f64, and against differences of losses.

mod common;

use candle_core::{D, DType, Device, Result, Tensor, Var};
use common::{pack, tiny_model};
use training::model::{Gradient, IGNORE, Model, Pack, Parameters, Workspace};

/// The same model in differentiable candle operations.
struct Oracle<'a> {
    model: &'a Model,
    vars: Vec<Var>,
}

impl<'a> Oracle<'a> {
    fn new(model: &'a Model, weights: &[f32]) -> Result<Oracle<'a>> {
        let var = |t: &training::parameters::PlacedTensor| {
            let values: Vec<f64> = weights[t.range.clone()].iter().map(|&w| f64::from(w)).collect();
            Var::from_tensor(&Tensor::from_vec(values, t.spec.shape.as_slice(), &Device::Cpu)?)
        };
        Ok(Oracle { model, vars: model.map.tensors.iter().map(var).collect::<Result<_>>()? })
    }

    fn weight(&self, name: &str) -> &Tensor {
        let index = self.model.map.tensors.iter().position(|t| t.spec.name == name).unwrap();
        self.vars[index].as_tensor()
    }

    fn norm(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let mean = x.sqr()?.mean_keepdim(D::Minus1)?;
        x.broadcast_div(&(mean + self.model.shape.rms_norm_eps)?.sqrt()?)?.broadcast_mul(self.weight(name))
    }

    fn project(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        x.matmul(&self.weight(name).t()?)
    }

    /// `[length, heads * width]` to `[heads, length, width]`, rotated by position where `rotated`.
    fn heads(&self, x: &Tensor, heads: usize, rotated: bool) -> Result<Tensor> {
        let (width, length) = (self.model.shape.head_dim, x.dim(0)?);
        let x = x.reshape((length, heads, width))?.transpose(0, 1)?.contiguous()?;
        if !rotated {
            return Ok(x);
        }
        let half = width / 2;
        let theta = self.model.shape.rotary.base;
        let angle = |p: usize, i: usize| p as f64 * theta.powf(-(2.0 * i as f64) / width as f64);
        let angles: Vec<f64> = (0..length).flat_map(|p| (0..width).map(move |i| angle(p, i % half))).collect();
        let angles = Tensor::from_vec(angles, (1, length, width), &Device::Cpu)?;
        let (a, b) = (x.narrow(2, 0, half)?, x.narrow(2, half, half)?);
        let turned = Tensor::cat(&[&b.neg()?, &a], 2)?;
        x.broadcast_mul(&angles.cos()?)? + turned.broadcast_mul(&angles.sin()?)?
    }

    fn attention(&self, x: &Tensor, layer: &str) -> Result<Tensor> {
        let c = &self.model.shape;
        let (length, heads, shared) = (x.dim(0)?, c.num_attention_heads, c.num_attention_heads / c.num_key_value_heads);
        let part = |name: &str| self.project(x, &format!("{layer}.self_attn.{name}.weight"));
        let q = self.heads(&part("q_proj")?, heads, true)?;
        let k = self.heads(&part("k_proj")?, c.num_key_value_heads, true)?;
        let v = self.heads(&part("v_proj")?, c.num_key_value_heads, false)?;
        let each: Vec<u32> = (0..heads).map(|h| (h / shared) as u32).collect();
        let each = Tensor::new(each, &Device::Cpu)?;
        let (k, v) = (k.index_select(&each, 0)?, v.index_select(&each, 0)?);
        let hidden = |i: usize, j: usize| if j > i { f64::NEG_INFINITY } else { 0.0 };
        let mask: Vec<f64> = (0..length).flat_map(|i| (0..length).map(move |j| hidden(i, j))).collect();
        let mask = Tensor::from_vec(mask, (1, length, length), &Device::Cpu)?;
        let scores = (q.matmul(&k.transpose(1, 2)?.contiguous()?)? / (c.head_dim as f64).sqrt())?;
        let p = candle_nn::ops::softmax(&scores.broadcast_add(&mask)?, D::Minus1)?;
        let out = p.matmul(&v)?.transpose(0, 1)?.contiguous()?.reshape((length, c.query_size()))?;
        self.project(&out, &format!("{layer}.self_attn.o_proj.weight"))
    }

    fn logits(&self, tokens: &[u32]) -> Result<Tensor> {
        let c = &self.model.shape;
        let ids = Tensor::new(tokens, &Device::Cpu)?;
        let mut x = self.weight("model.embed_tokens.weight").index_select(&ids, 0)?;
        for l in 0..c.num_hidden_layers {
            let layer = format!("model.layers.{l}");
            let normed = self.norm(&x, &format!("{layer}.input_layernorm.weight"))?;
            x = (x + self.attention(&normed, &layer)?)?;
            let normed = self.norm(&x, &format!("{layer}.post_attention_layernorm.weight"))?;
            let gate = self.project(&normed, &format!("{layer}.mlp.gate_proj.weight"))?;
            let up = self.project(&normed, &format!("{layer}.mlp.up_proj.weight"))?;
            x = (x + self.project(&(gate.silu()? * up)?, &format!("{layer}.mlp.down_proj.weight"))?)?;
        }
        let head = if c.tie_word_embeddings { "model.embed_tokens.weight" } else { "lm_head.weight" };
        self.project(&self.norm(&x, "model.norm.weight")?, head)
    }

    /// The summed loss; every document is a model call of its own.
    fn loss(&self, pack: &Pack) -> Result<Tensor> {
        let mut total = Tensor::zeros((), DType::F64, &Device::Cpu)?;
        for segment in pack.segments.iter().map(|s| s.tokens.clone()) {
            let picked: Vec<u32> =
                (0..segment.len()).filter(|&i| pack.targets[segment.start + i] != IGNORE).map(|i| i as u32).collect();
            if picked.is_empty() {
                continue;
            }
            let targets: Vec<u32> = picked.iter().map(|&i| pack.targets[segment.start + i as usize]).collect();
            let logits = self.logits(&pack.tokens[segment.clone()])?;
            let logits = logits.index_select(&Tensor::new(picked, &Device::Cpu)?, 0)?;
            let targets = Tensor::new(targets, &Device::Cpu)?.unsqueeze(1)?;
            let log_p = candle_nn::ops::log_softmax(&logits, D::Minus1)?.gather(&targets, 1)?;
            total = (total - log_p.sum_all()?)?;
        }
        Ok(total)
    }
}

fn relative_error(found: &[f32], expected: &[f64]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = norm(&mut found.iter().zip(expected).map(|(&f, &e)| f64::from(f) - e));
    difference / norm(&mut expected.iter().copied()).max(1e-12)
}

fn check_against_candle(tied: bool) -> Result<()> {
    let (model, weights) = tiny_model(tied);
    let pack = pack(50, 3);
    let scale = 1.0 / pack.target_count() as f32;
    let mut gradient = vec![0.0; model.map.len];
    let loss = model.loss_and_gradient(
        &Parameters::base(&weights),
        Gradient::Weights(&mut gradient),
        &mut Workspace::default(),
        &pack,
        scale,
    );

    let oracle = Oracle::new(&model, &weights)?;
    let expected = oracle.loss(&pack)?;
    let gradients = (&expected * f64::from(scale))?.backward()?;
    let expected = expected.to_scalar::<f64>()?;
    assert!((loss - expected).abs() <= 1e-5 * expected, "loss {loss}, candle {expected}");
    for (tensor, var) in model.map.tensors.iter().zip(&oracle.vars) {
        let expected = gradients.get(var).expect("every tensor has a gradient").flatten_all()?.to_vec1::<f64>()?;
        let error = relative_error(&gradient[tensor.range.clone()], &expected);
        assert!(error <= 1e-4, "{}: relative error {error:.2e}", tensor.spec.name);
    }
    Ok(())
}

#[test]
fn gradients_equal_candles_with_tied_embeddings() -> Result<()> {
    check_against_candle(true)
}

#[test]
fn gradients_equal_candles_with_a_separate_head() -> Result<()> {
    check_against_candle(false)
}

#[test]
fn gradients_equal_central_differences() {
    let (model, weights) = tiny_model(true);
    let pack = pack(50, 4);
    let mut work = Workspace::default();
    let mut gradient = vec![0.0; model.map.len];
    model.loss_and_gradient(&Parameters::base(&weights), Gradient::Weights(&mut gradient), &mut work, &pack, 1.0);
    for tensor in &model.map.tensors {
        // Where the gradient is largest the differences stand out most from f32's rounding.
        let steepest = tensor.range.clone().max_by(|&a, &b| gradient[a].abs().total_cmp(&gradient[b].abs())).unwrap();
        let mut loss_at = |offset: f32| {
            let mut moved = weights.clone();
            moved[steepest] += offset;
            model.loss(&Parameters::base(&moved), &mut work, &pack)
        };
        let h = 2e-3;
        let difference = (loss_at(h) - loss_at(-h)) / f64::from(2.0 * h);
        let found = f64::from(gradient[steepest]);
        assert!((found - difference).abs() <= 0.02 * found.abs() + 0.01, "{}: {found} {difference}", tensor.spec.name);
    }
}

#[test]
fn documents_of_a_pack_do_not_see_each_other() {
    let (model, weights) = tiny_model(true);
    let whole = pack(50, 5);
    let mut work = Workspace::default();
    let logits = model.logits(&Parameters::base(&weights), &mut work, &whole);
    for segment in whole.segments.iter().map(|s| s.tokens.clone()) {
        let mut alone = Pack::default();
        alone.push(whole.tokens[segment.clone()].to_vec(), whole.targets[segment.clone()].to_vec());
        let expected = model.logits(&Parameters::base(&weights), &mut work, &alone);
        let found = &logits[segment.start * 50..segment.end * 50];
        let worst = found.iter().zip(&expected).map(|(f, e)| (f - e).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-4, "{segment:?}: {worst}");
    }
}

#[test]
fn chats_that_share_a_prefix_have_the_gradients_of_whole_chats() {
    let (model, weights) = tiny_model(true);
    let documents = pack(50, 6);
    let [instruction, parts @ ..] = documents.segments.as_slice() else { unreachable!() };
    let tokens = |range: &std::ops::Range<usize>| documents.tokens[range.clone()].to_vec();
    let targets = |range: &std::ops::Range<usize>| documents.targets[range.clone()].to_vec();
    let instruction = [tokens(&instruction.tokens), (1..20).collect()].concat();
    let ignored = vec![IGNORE; instruction.len()];

    let (mut shared, mut whole) = (Pack::default(), Pack::default());
    shared.push([3, 4, 5], [4, 5, 6]);
    whole.push([3, 4, 5], [4, 5, 6]);
    let prefix = shared.push(instruction.clone(), ignored.clone());
    for part in parts {
        shared.push_after(prefix.clone(), tokens(&part.tokens), targets(&part.tokens));
        whole.push(
            [instruction.clone(), tokens(&part.tokens)].concat(),
            [ignored.clone(), targets(&part.tokens)].concat(),
        );
    }
    // Moved to another place in a longer pack, as the trainer does.
    let mut moved = Pack::default();
    moved.append(&shared);
    moved.append(&shared);
    let mut work = Workspace::default();
    let mut run = |pack: &Pack, scale: f32| {
        let mut gradient = vec![0.0; model.map.len];
        let loss = model.loss_and_gradient(
            &Parameters::base(&weights),
            Gradient::Weights(&mut gradient),
            &mut work,
            pack,
            scale,
        );
        (loss * f64::from(scale), gradient.into_iter().map(f64::from).collect::<Vec<f64>>())
    };
    let (expected_loss, expected) = run(&whole, 1.0);
    for (pack, scale) in [(&shared, 1.0), (&moved, 0.5)] {
        let (loss, gradient) = run(pack, scale);
        assert!((loss - expected_loss).abs() <= 1e-5 * expected_loss, "{loss} {expected_loss}");
        for tensor in &model.map.tensors {
            let found: Vec<f32> = gradient[tensor.range.clone()].iter().map(|&g| g as f32).collect();
            let error = relative_error(&found, &expected[tensor.range.clone()]);
            assert!(error <= 1e-4, "{}: relative error {error:.2e}", tensor.spec.name);
        }
    }
}
