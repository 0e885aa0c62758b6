//! Element-wise loops with their derivatives. Each is compiled for AVX-512, AVX2 and the target's baseline;
//! the processor decides at run time.

/// Sums are kept in this many lanes, so that the compiler may use vectors without reordering a sum by itself.
const LANES: usize = 16;

macro_rules! vectorized {
    ($($(#[$doc:meta])* pub fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)? $body:block)*) => {$(
        $(#[$doc])*
        pub fn $name($($arg: $type),*) $(-> $ret)? {
            #[inline(always)]
            fn portable($($arg: $type),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
                fn avx512($($arg: $type),*) $(-> $ret)? { portable($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $type),*) $(-> $ret)? { portable($($arg),*) }
                if is_x86_feature_detected!("avx512vl") && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("fma")
                {
                    // SAFETY: the processor has the features.
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has the features.
                    return unsafe { avx2($($arg),*) };
                }
            }
            portable($($arg),*)
        }
    )*};
}

/// e to the power of `x`, within 2 units in the last place; `x` must not exceed 88, below -87 it counts as -87.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // The sum with 1.5 * 2^23 leaves the rounded exponent in the low mantissa bits.
    const ROUND: f32 = 12_582_912.0;
    // Not `max`, whose rule for NaN costs the loops their vectors.
    let clamped = if x > -87.0 { x } else { -87.0 };
    let rounded = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (clamped - n * 0.693_359_4) - n * -2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        p = p * r + c;
    }
    let power = f32::from_bits(rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23);
    (p * r * r + r + 1.0) * power
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    let opposite = if x > -80.0 { -x } else { 80.0 };
    1.0 / (1.0 + exp(opposite))
}

#[inline(always)]
fn sum_by(len: usize, term: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let whole = len / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += term(start + lane);
        }
    }
    let mut total = 0.0;
    for sum in lanes {
        total += sum;
    }
    for i in whole..len {
        total += term(i);
    }
    total
}

#[inline(always)]
fn maximum(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (max, &v) in lanes.iter_mut().zip(chunk) {
            *max = if v > *max { v } else { *max };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |max, &v| if v > max { v } else { max })
}

vectorized! {
    /// `out = x / rms(x) * weight` for each row of `x`; the reciprocal root mean squares go to `inverse_rms`.
    pub fn rms_norm(out: &mut [f32], inverse_rms: &mut [f32], x: &[f32], weight: &[f32], eps: f32) {
        let width = weight.len();
        for ((out, x), inverse) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(inverse_rms) {
            let x = &x[..width];
            *inverse = 1.0 / (sum_by(width, |i| x[i] * x[i]) / width as f32 + eps).sqrt();
            for ((out, x), w) in out.iter_mut().zip(x).zip(weight) {
                *out = x * *inverse * w;
            }
        }
    }

    /// Adds the gradient of [`rms_norm`]'s input to `d_x` and that of its weight to `d_weight`, if it is wanted.
    pub fn rms_norm_backward(
        d_x: &mut [f32], d_weight: Option<&mut [f32]>, d_out: &[f32], x: &[f32], inverse_rms: &[f32], weight: &[f32],
    ) {
        let (width, mut d_weight) = (weight.len(), d_weight);
        for (row, &inverse) in inverse_rms.iter().enumerate() {
            let row = row * width..(row + 1) * width;
            let (x, dy, dx) = (&x[row.clone()], &d_out[row.clone()], &mut d_x[row]);
            let dot = sum_by(width, |i| x[i] * dy[i] * weight[i]);
            let shrink = dot * inverse * inverse * inverse / width as f32;
            for i in 0..width {
                dx[i] += dy[i] * weight[i] * inverse - x[i] * shrink;
            }
            if let Some(d_weight) = d_weight.as_deref_mut() {
                for i in 0..width {
                    d_weight[i] += dy[i] * x[i] * inverse;
                }
            }
        }
    }

    /// Rotates the halves of the first `2 * cos.len()` elements of each of the first `heads` heads of a row by `angle`
    /// (`direction` -1 for the backward pass).
    pub fn rotate_halves(row: &mut [f32], heads: usize, width: usize, cos: &[f32], sin: &[f32], direction: f32) {
        let half = cos.len();
        for head in row.chunks_exact_mut(width).take(heads) {
            let (a, b) = head[..2 * half].split_at_mut(half);
            for i in 0..half {
                let (x, y, s) = (a[i], b[i], sin[i] * direction);
                a[i] = x * cos[i] - y * s;
                b[i] = y * cos[i] + x * s;
            }
        }
    }

    /// As [`rotate_halves`], each element against its neighbour.
    pub fn rotate_neighbours(row: &mut [f32], heads: usize, width: usize, cos: &[f32], sin: &[f32], direction: f32) {
        for head in row.chunks_exact_mut(width).take(heads) {
            for (i, pair) in head.chunks_exact_mut(2).take(cos.len()).enumerate() {
                let (x, y, s) = (pair[0], pair[1], sin[i] * direction);
                pair[0] = x * cos[i] - y * s;
                pair[1] = y * cos[i] + x * s;
            }
        }
    }

    /// Adds `bias` to each row of `x`.
    pub fn add_bias(x: &mut [f32], bias: &[f32]) {
        for row in x.chunks_exact_mut(bias.len()) {
            for (x, b) in row.iter_mut().zip(bias) {
                *x += b;
            }
        }
    }

    /// Adds the gradient of [`add_bias`]'s bias to `d_bias`: the sum of all rows.
    pub fn add_bias_backward(d_bias: &mut [f32], d_out: &[f32]) {
        for row in d_out.chunks_exact(d_bias.len()) {
            for (d, x) in d_bias.iter_mut().zip(row) {
                *d += x;
            }
        }
    }

    /// Sets a share of the values to 0 and scales the others up; which ones, only `mask` and the place decide.
    pub fn drop_out(out: &mut [f32], x: &[f32], mask: DropMask) {
        for (i, (out, x)) in out.iter_mut().zip(x).enumerate() {
            *out = if mask.keeps(i as u32) { x * mask.scale } else { 0.0 };
        }
    }

    /// Adds the gradient of [`drop_out`]'s input to `d_x`.
    pub fn drop_out_backward(d_x: &mut [f32], d_out: &[f32], mask: DropMask) {
        for (i, (d_x, d)) in d_x.iter_mut().zip(d_out).enumerate() {
            *d_x += if mask.keeps(i as u32) { d * mask.scale } else { 0.0 };
        }
    }

    /// Turns a row of scores into probabilities over its first `visible` entries (0 after them); returns the
    /// logarithm of the sum of exponentials.
    pub fn softmax_row(row: &mut [f32], visible: usize) -> f32 {
        let (seen, hidden) = row.split_at_mut(visible);
        hidden.fill(0.0);
        let max = maximum(seen);
        for v in seen.iter_mut() {
            *v = exp(*v - max);
        }
        let sum = sum_by(seen.len(), |i| seen[i]);
        let inverse = 1.0 / sum;
        for v in seen.iter_mut() {
            *v *= inverse;
        }
        max + sum.ln()
    }

    /// The probabilities of [`softmax_row`] again, from its result.
    pub fn softmax_row_again(row: &mut [f32], visible: usize, log_sum: f32) {
        let (seen, hidden) = row.split_at_mut(visible);
        hidden.fill(0.0);
        for v in seen.iter_mut() {
            *v = exp(*v - log_sum);
        }
    }

    /// `d_probability` becomes the gradient of the scores: `p * (dp - dot) * scale`.
    pub fn softmax_row_backward(d_probability: &mut [f32], probability: &[f32], dot: f32, scale: f32) {
        for (dp, p) in d_probability.iter_mut().zip(probability) {
            *dp = p * (*dp - dot) * scale;
        }
    }

    /// The scalar product.
    pub fn dot(a: &[f32], b: &[f32]) -> f32 {
        let b = &b[..a.len()];
        sum_by(a.len(), |i| a[i] * b[i])
    }

    /// `out = silu(gate) * up` for each row `[gate, up]` of `gate_up`.
    pub fn swiglu(out: &mut [f32], gate_up: &[f32], width: usize) {
        for (out, row) in out.chunks_exact_mut(width).zip(gate_up.chunks_exact(2 * width)) {
            let (gate, up) = row.split_at(width);
            for ((out, &g), &u) in out.iter_mut().zip(gate).zip(up) {
                *out = g * sigmoid(g) * u;
            }
        }
    }

    /// `gate_up` becomes its own gradient, given that of [`swiglu`]'s output.
    pub fn swiglu_backward(gate_up: &mut [f32], d_out: &[f32], width: usize) {
        for (row, d_out) in gate_up.chunks_exact_mut(2 * width).zip(d_out.chunks_exact(width)) {
            let (gate, up) = row.split_at_mut(width);
            // Copies of a few values at a time: two mutable slices in one loop keep the compiler from vectors.
            for ((gate, up), d) in gate.chunks_mut(LANES).zip(up.chunks_mut(LANES)).zip(d_out.chunks(LANES)) {
                let (mut g, mut u, mut d_lanes) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
                let len = gate.len();
                g[..len].copy_from_slice(gate);
                u[..len].copy_from_slice(up);
                d_lanes[..len].copy_from_slice(d);
                for i in 0..LANES {
                    let s = sigmoid(g[i]);
                    let d_gate = d_lanes[i] * u[i] * s * (1.0 + g[i] * (1.0 - s));
                    u[i] = d_lanes[i] * g[i] * s;
                    g[i] = d_gate;
                }
                gate.copy_from_slice(&g[..len]);
                up.copy_from_slice(&u[..len]);
            }
        }
    }

    /// Returns the loss -ln p(target) of a row of logits; the logits become `scale` times the loss's gradient.
    pub fn cross_entropy_row(logits: &mut [f32], target: usize, scale: f32) -> f32 {
        let max = maximum(logits);
        let at_target = logits[target] - max;
        for v in logits.iter_mut() {
            *v = exp(*v - max);
        }
        let sum = sum_by(logits.len(), |i| logits[i]);
        let factor = scale / sum;
        for v in logits.iter_mut() {
            *v *= factor;
        }
        logits[target] -= scale;
        sum.ln() - at_target
    }

    /// `sum += x`.
    pub fn add(sum: &mut [f32], x: &[f32]) {
        for (s, x) in sum.iter_mut().zip(x) {
            *s += x;
        }
    }

    /// The sum of squares, in f64 over blocks.
    pub fn sum_of_squares(x: &[f32]) -> f64 {
        let mut total = 0.0;
        for block in x.chunks(1024) {
            total += f64::from(sum_by(block.len(), |i| block[i] * block[i]));
        }
        total
    }

    /// One AdamW update (Loshchilov and Hutter, 2019) of a slice of weights and its two moments.
    pub fn adamw(weights: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32], rates: AdamwRates) {
        let AdamwRates { lr, decay, betas, bias, eps, gradient_scale } = rates;
        let step = lr / bias[0];
        let inverse_bias = 1.0 / bias[1];
        for (((w, m), v), &g) in weights.iter_mut().zip(first).zip(second).zip(gradient) {
            let g = g * gradient_scale;
            *m = betas[0] * *m + (1.0 - betas[0]) * g;
            *v = betas[1] * *v + (1.0 - betas[1]) * g * g;
            *w = *w - lr * decay * *w - step * *m / ((*v * inverse_bias).sqrt() + eps);
        }
    }
}

/// Which values a dropout keeps: a function of the place, so that the backward pass needs no memory of it.
#[derive(Clone, Copy, Debug)]
pub struct DropMask {
    /// What places are mixed with.
    pub(crate) seed: u32,
    /// Places whose hash lies below are dropped.
    pub(crate) threshold: u32,
    /// Of what is kept.
    pub(crate) scale: f32,
}

impl DropMask {
    /// A mask that drops about `share` of the values, another for each `seed`.
    pub fn new(share: f32, seed: u64) -> DropMask {
        let seed = hash(hash(seed as u32) ^ (seed >> 32) as u32);
        let threshold = (f64::from(share) * f64::from(u32::MAX)) as u32;
        DropMask { seed, threshold, scale: 1.0 / (1.0 - share) }
    }

    #[inline(always)]
    fn keeps(self, place: u32) -> bool {
        hash(place ^ self.seed) >= self.threshold
    }
}

/// An integer hash with little bias (C. Wellons' lowbias32).
#[inline(always)]
fn hash(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// The numbers of one AdamW update.
#[derive(Clone, Copy, Debug)]
pub struct AdamwRates {
    /// Learning rate.
    pub lr: f32,
    /// Weight decay, decoupled: it is multiplied by the learning rate only.
    pub decay: f32,
    /// Decay of the first and of the second moment.
    pub betas: [f32; 2],
    /// Corrections of the moments' bias towards zero: `1 - beta^t`.
    pub bias: [f32; 2],
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Factor on the gradient (clipping).
    pub gradient_scale: f32,
}
