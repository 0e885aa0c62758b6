use super::*;

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
