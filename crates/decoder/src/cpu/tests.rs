use std::ops::Range;

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

/// More than a stripe, and no whole number of them.
const COLUMNS: usize = 1536;
/// The last ones fill no panel.
const ROWS: usize = 19;

/// Blocks of one byte all over but for their half-precision numbers, which are 1.
fn blocks<F: Format>(byte: u8, halves_at: usize) -> Vec<u8> {
    let mut block = vec![byte; F::BLOCK_BYTES];
    for half in block[halves_at..][..2 * F::HALVES].as_chunks_mut::<2>().0 {
        *half = half::f16::ONE.to_le_bytes();
    }
    block.repeat(COLUMNS / (SUB * F::SUBS))
}

/// The products of `ROWS` equal rows with each of the inputs.
fn products<F: Format>(cpu: Cpu, blocks: &[u8], inputs: &[f32]) -> Vec<f32> {
    let packing = cpu.packing();
    let lanes = packing.lanes;
    let unit_bytes = unit_bytes::<F>() * lanes;
    let panels = Panels::new::<F>(lanes, ROWS, COLUMNS);
    let mut weights = vec![0; panels.bytes().unwrap()];
    for row in 0..ROWS {
        for (index, block) in blocks.chunks_exact(F::BLOCK_BYTES).enumerate() {
            let unit = &mut weights[panels.unit(row / lanes, index * SUB * F::SUBS)..][..unit_bytes];
            pack::<F>(block, unit, row % lanes, packing);
        }
    }
    let mut activations = Activations::default();
    quantize(cpu, rounding::<F>(), inputs, COLUMNS, &mut activations);
    let mut out = vec![0.0; ROWS * inputs.len() / COLUMNS];
    let inputs = activations.rounded(rounding::<F>());
    let (out_slice, scratch) = (&mut out[..], &mut Scratch::new());
    matmul::<F>(cpu, &mut Job { weights: &weights, rows: ROWS, columns: COLUMNS, inputs, out: out_slice, scratch });
    out
}

fn check<F: Format>(halves_at: usize) {
    // As many signs as there are rows to a tile, and one row more.
    let signs: [fn(usize) -> bool; 5] = [|_| true, |_| false, |i| i % 2 == 0, |i| i % 4 < 2, |i| i / 16 % 2 == 0];
    let row = |sign: fn(usize) -> bool| (0..COLUMNS).map(move |i| if sign(i) { 127.0 } else { -127.0 });
    let inputs: Vec<f32> = signs.into_iter().flat_map(row).collect();
    for byte in [0, 0x7f, 0x80, 0xff] {
        let blocks = blocks::<F>(byte, halves_at);
        let mut unit = vec![0; unit_bytes::<F>()];
        let alone = Packing { lanes: 1, bias: 0, fields: false };
        let weights = blocks.chunks_exact(F::BLOCK_BYTES).flat_map(|block| {
            let mut values = vec![0.0; SUB * F::SUBS];
            pack::<F>(block, &mut unit, 0, alone);
            unpack_lane::<F>(&unit, 0, alone, &mut values);
            values
        });
        let weights: Vec<f64> = weights.map(f64::from).collect();
        let tolerance = weights.iter().map(|weight| weight.abs() * 127.0).sum::<f64>() * 1e-5;
        for cpu in Cpu::available() {
            let batch = products::<F>(cpu, &blocks, &inputs);
            for (input, found) in inputs.chunks_exact(COLUMNS).zip(batch.chunks_exact(ROWS)) {
                let exact: f64 = weights.iter().zip(input).map(|(weight, &x)| weight * f64::from(x)).sum();
                for found in found {
                    let error = (f64::from(*found) - exact).abs();
                    assert!(error <= tolerance, "{found} for {exact}: bytes of {byte:#x} on {}", cpu.name());
                }
                assert_eq!(products::<F>(cpu, &blocks, input), found, "bytes of {byte:#x} on {}", cpu.name());
            }
        }
    }
}

#[test]
fn the_largest_codes_and_activations_overflow_nothing() {
    check::<Q4_0>(0);
    check::<Q4_1>(0);
    check::<Q5_0>(0);
    check::<Q5_1>(0);
    check::<Q8_0>(0);
    check::<Q4K>(0);
    check::<Q5K>(0);
    check::<Q6K>(Q6K::BLOCK_BYTES - 2);
}

/// Positions of the cache: two whole blocks and a part of one.
const CONTEXT: usize = 70;

fn noise(index: usize) -> f32 {
    ((index * 7919 + index / 13 * 104_729) % 2003) as f32 / 1001.5 - 1.0
}

/// What `queries` of `[tokens][heads][head_dim]`, the last ones of the context, see in a cache of [`noise`]; heads from `heads` only.
fn attended(
    cpu: Cpu,
    cache_type: CacheType,
    head_dim: usize,
    queries: &[f32],
    row_heads: usize,
    heads: Range<usize>,
) -> Vec<f32> {
    let mut cache = HeadCache::new(cache_type, cpu);
    cache.reserve(CONTEXT, head_dim).unwrap();
    for position in 0..CONTEXT {
        let [key, value] = [0, 1].map(|part| keys_or_values(part, position, head_dim));
        cache.set(position, &key, &value);
    }
    let mut out = vec![0.0; queries.len()];
    let tokens = queries.len() / row_heads / head_dim;
    let start = CONTEXT - tokens;
    let mut job = Attention { head_dim, start, tokens, queries, row_heads, heads, out: &mut out };
    attend(cpu, &mut job, &cache, &mut AttentionScratch::default());
    out
}

fn keys_or_values(part: usize, position: usize, head_dim: usize) -> Vec<f32> {
    (0..head_dim).map(|i| noise((part * CONTEXT + position) * head_dim + i)).collect()
}

/// The same by the book.
fn exactly_attended(head_dim: usize, query: &[f32], seen: usize) -> Vec<f64> {
    let dot = |key: Vec<f32>| key.iter().zip(query).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let score = |position| (dot(keys_or_values(0, position, head_dim)) / (head_dim as f64).sqrt()).exp();
    let weights: Vec<f64> = (0..seen).map(score).collect();
    let total: f64 = weights.iter().sum();
    let mut out = vec![0.0; head_dim];
    for (position, weight) in weights.iter().enumerate() {
        let values = keys_or_values(1, position, head_dim);
        out.iter_mut().zip(values).for_each(|(out, value)| *out += weight / total * f64::from(value));
    }
    out
}

#[test]
fn attention_is_exact_for_any_number_of_queries_and_width_of_heads() {
    for (cache_type, tolerance) in [(CacheType::F32, 1e-5), (CacheType::F16, 1e-3), (CacheType::Q8, 2e-2)] {
        // 36 and 100 fill no vector of every set.
        for (head_dim, (heads, tokens)) in
            [36, 64, 100].into_iter().flat_map(|d| [(d, (3, 1)), (d, (5, 1)), (d, (5, 40))])
        {
            let queries: Vec<f32> = (0..tokens * heads * head_dim).map(|i| 3.0 * noise(i + 17)).collect();
            let first_seen = CONTEXT - tokens + 1;
            let exact: Vec<f64> = queries
                .chunks_exact(head_dim)
                .enumerate()
                .flat_map(|(row, query)| exactly_attended(head_dim, query, first_seen + row / heads))
                .collect();
            for cpu in Cpu::available() {
                let name =
                    format!("{head_dim} wide, {heads} queries of {tokens} tokens, {cache_type:?}, {}", cpu.name());
                let together = attended(cpu, cache_type, head_dim, &queries, heads, 0..heads);
                for (found, exact) in together.iter().zip(&exact) {
                    assert!((f64::from(*found) - exact).abs() <= tolerance, "{found} for {exact}: {name}");
                }
                // A shard may hold some of the queries only: that changes nothing.
                let parts = [0..1, 1..heads].map(|part| attended(cpu, cache_type, head_dim, &queries, heads, part));
                let sum: Vec<f32> = parts[0].iter().zip(&parts[1]).map(|(a, b)| a + b).collect();
                assert_eq!(sum, together, "{name}");
            }
        }
    }
}
