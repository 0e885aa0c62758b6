// One query head of one token over all keys up to its own, sixty-four at a time, with the softmax's sum and largest score carried along.
struct Heads {
    queries: u32,
    keys: u32,
    head_dim: u32,
}

@group(0) @binding(1) var<uniform> heads: Heads;
@group(0) @binding(2) var<storage, read> rows: array<f32>;
@group(0) @binding(3) var<storage, read> keys: array<u32>;
@group(0) @binding(4) var<storage, read> values: array<u32>;
@group(0) @binding(5) var<storage, read_write> output: array<f32>;

const LANES = 64u;
const WIDEST = 256u;

var<workgroup> query: array<f32, WIDEST>;
var<workgroup> scores: array<f32, LANES>;
var<workgroup> folded: array<f32, LANES>;

@compute @workgroup_size(LANES)
fn attend(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let token = group.y;
    let words = heads.head_dim / 2u;
    let kv_head = group.x / (heads.queries / heads.keys);
    let start = (token * (heads.queries + 2u * heads.keys) + group.x) * heads.head_dim;
    for (var i = lane; i < heads.head_dim; i += LANES) {
        query[i] = rows[start + i] * inverseSqrt(f32(heads.head_dim));
    }
    let positions = batch.start + token + 1u;
    var largest = -3.0e38;
    var total = 0.0;
    // Of the two words that this lane has of a value, at most.
    var sums: array<vec2<f32>, 2>;
    for (var first = 0u; first < positions; first += LANES) {
        workgroupBarrier();
        let position = first + lane;
        var score = -3.0e38;
        if position < positions {
            let at = (position * heads.keys + kv_head) * words;
            score = 0.0;
            for (var word = 0u; word < words; word++) {
                score += dot(unpack2x16float(keys[at + word]), vec2<f32>(query[2u * word], query[2u * word + 1u]));
            }
        }
        folded[lane] = score;
        for (var half_lanes = LANES / 2u; half_lanes > 0u; half_lanes /= 2u) {
            workgroupBarrier();
            if lane < half_lanes {
                folded[lane] = max(folded[lane], folded[lane + half_lanes]);
            }
        }
        workgroupBarrier();
        let now_largest = max(largest, folded[0]);
        let shrink = exp(largest - now_largest);
        largest = now_largest;
        scores[lane] = select(0.0, exp(score - largest), position < positions);
        workgroupBarrier();
        total *= shrink;
        sums[0] *= shrink;
        sums[1] *= shrink;
        for (var i = 0u; i < min(LANES, positions - first); i++) {
            total += scores[i];
            let at = ((first + i) * heads.keys + kv_head) * words;
            if lane < words {
                sums[0] += scores[i] * unpack2x16float(values[at + lane]);
            }
            if lane + LANES < words {
                sums[1] += scores[i] * unpack2x16float(values[at + lane + LANES]);
            }
        }
    }
    let out = (token * heads.queries + group.x) * heads.head_dim;
    for (var i = 0u; i < 2u; i++) {
        let word = lane + i * LANES;
        if word < words {
            output[out + 2u * word] = sums[i].x / total;
            output[out + 2u * word + 1u] = sums[i].y / total;
        }
    }
}
