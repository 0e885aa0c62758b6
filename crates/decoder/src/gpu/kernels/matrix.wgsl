// Products with a matrix whose type gives `places` and `weights`: eight weights of a row make a unit, two vectors of four,
// and `places` says which vectors of the input they meet.
struct Matrix {
    rows: u32,
    columns: u32,
    // Elements from one token's output to the next one's, and before its first.
    stride: u32,
    offset: u32,
    // 1: is added to the output, 2: has a bias.
    flags: u32,
}

@group(0) @binding(1) var<uniform> matrix: Matrix;
@group(0) @binding(2) var<storage, read> codes: array<u32>;
@group(0) @binding(3) var<storage, read> scales: array<u32>;
@group(0) @binding(4) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> output: array<f32>;
@group(0) @binding(6) var<storage, read> bias: array<f32>;

const LANES = 64u;
const ROWS = 4u;

var<workgroup> partial: array<array<f32, ROWS * TOKENS>, LANES>;

@compute @workgroup_size(LANES)
fn product(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first_row = ROWS * group.x;
    let first_token = TOKENS * group.y;
    var sums: array<f32, ROWS * TOKENS>;
    for (var unit = lane; unit < units(); unit += LANES) {
        let at = places(unit);
        var low: array<vec4<f32>, TOKENS>;
        var high: array<vec4<f32>, TOKENS>;
        for (var t = 0u; t < TOKENS; t++) {
            let start = min(first_token + t, batch.tokens - 1u) * (matrix.columns / 4u);
            low[t] = input[start + at.x];
            high[t] = input[start + at.y];
        }
        for (var r = 0u; r < ROWS; r++) {
            let row = weights(min(first_row + r, matrix.rows - 1u), unit);
            for (var t = 0u; t < TOKENS; t++) {
                sums[r * TOKENS + t] += dot(row[0], low[t]) + dot(row[1], high[t]);
            }
        }
    }
    partial[lane] = sums;
    for (var half_lanes = LANES / 2u; half_lanes > 0u; half_lanes /= 2u) {
        workgroupBarrier();
        if lane < half_lanes {
            for (var i = 0u; i < ROWS * TOKENS; i++) {
                partial[lane][i] += partial[lane + half_lanes][i];
            }
        }
    }
    workgroupBarrier();
    let row = first_row + lane / TOKENS;
    let token = first_token + lane % TOKENS;
    if lane < ROWS * TOKENS && row < matrix.rows && token < batch.tokens {
        let at = token * matrix.stride + matrix.offset + row;
        var sum = partial[0][lane];
        if (matrix.flags & 2u) != 0u {
            sum += bias[row];
        }
        if (matrix.flags & 1u) != 0u {
            sum += output[at];
        }
        output[at] = sum;
    }
}
