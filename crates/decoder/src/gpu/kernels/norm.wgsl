// RMSNorm of each row; of the last row only, or added to what is there.
struct Norm {
    width: u32,
    epsilon: f32,
    // 1: is added to the output, 2: of the last row only.
    flags: u32,
}

@group(0) @binding(1) var<uniform> norm: Norm;
@group(0) @binding(2) var<storage, read> input: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(LANES)
fn normalize(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = select(group.x, batch.tokens - 1u, (norm.flags & 2u) != 0u);
    let start = row * norm.width;
    var sum = 0.0;
    for (var i = lane; i < norm.width; i += LANES) {
        sum += input[start + i] * input[start + i];
    }
    let factor = inverseSqrt(sum_of_lanes(lane, sum) / f32(norm.width) + norm.epsilon);
    for (var i = lane; i < norm.width; i += LANES) {
        let at = group.x * norm.width + i;
        let value = input[start + i] * factor * weight[i];
        output[at] = value + select(0.0, output[at], (norm.flags & 1u) != 0u);
    }
}
