//! The backward pass of every family, of all weights and of adapters, against differences of losses.

mod common;

use checkpoint::{Family, Rotary, RotaryLayout, RotaryScaling, Shape};
use common::{adapter, model_of, pack, tiny_config};
use training::model::{Dropout, Gradient, LoraPass, Model, Pack, Parameters, Workspace};

/// The tiny model with the switches of each family.
fn shapes() -> Vec<Shape> {
    let plain = tiny_config(false).shape();
    let halved = Rotary { width: 2, layout: RotaryLayout::Neighbours, ..plain.rotary.clone() };
    let scaled = |scaling| Rotary { scaling, ..plain.rotary.clone() };
    let llama3 = RotaryScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 32 };
    let yarn = RotaryScaling::Yarn { factor: 4.0, original: 32 };
    vec![
        Shape { rotary: scaled(llama3), tie_word_embeddings: true, ..plain.clone() },
        Shape { family: Family::Qwen2, qkv_bias: true, rotary: scaled(yarn), ..plain.clone() },
        Shape { family: Family::Qwen3, head_norms: true, output_bias: true, ..plain.clone() },
        Shape { family: Family::ChatGlm, qkv_bias: true, rotary: halved.clone(), ..plain.clone() },
        Shape { family: Family::Glm, qkv_bias: true, rotary: halved.clone(), ..plain.clone() },
        Shape { family: Family::Glm4, qkv_bias: true, post_norms: true, rotary: halved, ..plain },
    ]
}

/// The difference of losses along the value where the gradient is largest, where it stands out most from rounding.
fn check_steepest(
    name: &str,
    range: std::ops::Range<usize>,
    gradient: &[f32],
    values: &[f32],
    loss: impl Fn(&[f32]) -> f64,
) {
    let steepest = range.max_by(|&a, &b| gradient[a].abs().total_cmp(&gradient[b].abs())).unwrap();
    let h = 2e-3;
    let at = |offset: f32| {
        let mut moved = values.to_vec();
        moved[steepest] += offset;
        loss(&moved)
    };
    let difference = (at(h) - at(-h)) / f64::from(2.0 * h);
    let found = f64::from(gradient[steepest]);
    assert!((found - difference).abs() <= 0.02 * found.abs() + 0.01, "{name}: {found} {difference}");
}

#[test]
fn weights_of_every_family_have_the_gradient_of_differences() {
    for shape in shapes() {
        let (model, weights) = model_of(shape);
        let pack = pack(50, 4);
        let mut gradient = vec![0.0; model.map.len];
        let p = Parameters::base(&weights);
        model.loss_and_gradient(&p, Gradient::Weights(&mut gradient), &mut Workspace::default(), &pack, 1.0);
        for tensor in &model.map.tensors {
            let name = format!("{:?} {}", model.shape.family, tensor.spec.name);
            check_steepest(&name, tensor.range.clone(), &gradient, &weights, |moved| {
                model.loss(&Parameters::base(moved), &mut Workspace::default(), &pack)
            });
        }
    }
}

#[test]
fn adapters_of_every_family_have_the_gradient_of_differences() {
    for shape in shapes() {
        let (model, weights) = model_of(shape);
        let (map, values) = adapter(&model);
        let pack = pack(50, 4);
        for dropout in [None, Some(Dropout { share: 0.3, seed: 9 })] {
            let loss = |values: &[f32], work: &mut Workspace| {
                let lora = Some(LoraPass { map: &map, values, dropout });
                model.loss(&Parameters { weights: &weights, lora }, work, &pack)
            };
            let lora = Some(LoraPass { map: &map, values: &values, dropout });
            let mut gradient = vec![0.0; map.len];
            let p = Parameters { weights: &weights, lora };
            model.loss_and_gradient(&p, Gradient::Lora(&mut gradient), &mut Workspace::default(), &pack, 1.0);
            for slot in &map.slots {
                let name = format!("{:?} {} {dropout:?}", model.shape.family, slot.target.name);
                for range in [&slot.a, &slot.b] {
                    check_steepest(&name, range.clone(), &gradient, &values, |moved| {
                        loss(moved, &mut Workspace::default())
                    });
                }
            }
        }
    }
}

fn lora_gradient(model: &Model, weights: &[f32], pack: &Pack, mut work: Workspace) -> (f64, Vec<f32>) {
    let (map, values) = adapter(model);
    let mut gradient = vec![0.0; map.len];
    let lora = Some(LoraPass { map: &map, values: &values, dropout: Some(Dropout { share: 0.1, seed: 3 }) });
    let p = Parameters { weights, lora };
    let loss = model.loss_and_gradient(&p, Gradient::Lora(&mut gradient), &mut work, pack, 1.0);
    (loss, gradient)
}

#[test]
fn recomputed_activations_give_the_very_same_gradient() {
    for shape in shapes() {
        let (model, weights) = model_of(shape);
        let pack = pack(50, 5);
        let kept = lora_gradient(&model, &weights, &pack, Workspace::default());
        let recomputed = lora_gradient(&model, &weights, &pack, Workspace::recomputing());
        assert_eq!(kept, recomputed, "{:?}", model.shape.family);
    }
}

#[test]
fn an_adapter_acts_like_weights_with_its_product_added() {
    for shape in shapes() {
        let (model, weights) = model_of(shape);
        let (map, values) = adapter(&model);
        let pack = pack(50, 6);
        let lora = Some(LoraPass { map: &map, values: &values, dropout: None });
        let found = model.logits(&Parameters { weights: &weights, lora }, &mut Workspace::default(), &pack);
        let mut merged = weights.clone();
        for slot in &map.slots {
            let tensor = model.map.tensors.iter().find(|t| t.spec.name == slot.target.name).unwrap();
            let (a, b) = (&values[slot.a.clone()], &values[slot.b.clone()]);
            for (o, row) in merged[tensor.range.clone()].chunks_exact_mut(slot.inputs).enumerate() {
                for (i, weight) in row.iter_mut().enumerate() {
                    let product: f32 = (0..map.rank).map(|r| b[o * map.rank + r] * a[r * slot.inputs + i]).sum();
                    *weight += map.scale * product;
                }
            }
        }
        let expected = model.logits(&Parameters::base(&merged), &mut Workspace::default(), &pack);
        let worst = found.iter().zip(&expected).map(|(f, e)| (f - e).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-3, "{:?}: {worst}", model.shape.family);
        let base = model.logits(&Parameters::base(&weights), &mut Workspace::default(), &pack);
        assert!(found.iter().zip(&base).any(|(f, b)| (f - b).abs() > 0.1), "the adapter does nothing");
    }
}

#[test]
fn kept_keys_and_values_give_the_answer_of_whole_passes() {
    for shape in shapes() {
        let (model, weights) = model_of(shape);
        let (map, values) = adapter(&model);
        let lora = Some(LoraPass { map: &map, values: &values, dropout: None });
        let p = Parameters { weights: &weights, lora };
        let prompt: Vec<u32> = (0..70).map(|i| i * 7 % 50).collect();
        let mut tokens = prompt.clone();
        while tokens.len() < prompt.len() + 12 {
            let mut pack = Pack::default();
            pack.push(tokens.clone(), tokens.clone());
            let logits = model.logits(&p, &mut Workspace::default(), &pack);
            let last = &logits[logits.len() - 50..];
            tokens.push((0..50).max_by(|&a, &b| last[a as usize].total_cmp(&last[b as usize])).unwrap());
        }
        let expected = &tokens[prompt.len()..];
        for mut work in [Workspace::default(), Workspace::recomputing()] {
            let found = model.answer(&p, &mut work, &prompt, 12, |_| false);
            assert_eq!(found, expected, "{:?}", model.shape.family);
            let end = expected[5];
            let until = expected.iter().take_while(|&&token| token != end);
            assert_eq!(
                model.answer(&p, &mut work, &prompt, 12, |token| token == end),
                until.copied().collect::<Vec<_>>()
            );
            // The context of 160 positions ends the answer, too.
            assert_eq!(model.answer(&p, &mut work, &prompt, 1000, |_| false).len(), 160 - prompt.len() + 1);
        }
    }
}
