// One head of one token: queries are turned in place, keys and values go to the cache in half precision.
struct Heads {
    queries: u32,
    keys: u32,
    head_dim: u32,
    // How many leading elements are turned.
    turned: u32,
    // 1: pairs lie half the turned elements apart, 2: queries have a norm, 4: keys have one.
    flags: u32,
    epsilon: f32,
}

@group(0) @binding(1) var<uniform> heads: Heads;
@group(0) @binding(2) var<storage, read_write> rows: array<f32>;
// Cosine and sine of each pair, token by token.
@group(0) @binding(3) var<storage, read> turns: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read> query_norm: array<f32>;
@group(0) @binding(5) var<storage, read> key_norm: array<f32>;
@group(0) @binding(6) var<storage, read_write> keys: array<u32>;
@group(0) @binding(7) var<storage, read_write> values: array<u32>;

const WIDEST = 256u;

var<workgroup> head: array<f32, WIDEST>;

fn turned(i: u32, token: u32) -> f32 {
    if i >= heads.turned {
        return head[i];
    }
    let pairs = heads.turned / 2u;
    let halves = (heads.flags & 1u) != 0u;
    let pair = select(i / 2u, i % pairs, halves);
    let is_second = select(i % 2u == 1u, i >= pairs, halves);
    let first = head[select(2u * pair, pair, halves)];
    let second = head[select(2u * pair + 1u, pair + pairs, halves)];
    let turn = turns[token * pairs + pair];
    return select(first * turn.x - second * turn.y, first * turn.y + second * turn.x, is_second);
}

@compute @workgroup_size(LANES)
fn place(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let number = group.x;
    let token = group.y;
    let start = (token * (heads.queries + 2u * heads.keys) + number) * heads.head_dim;
    let is_query = number < heads.queries;
    let is_key = !is_query && number < heads.queries + heads.keys;
    var sum = 0.0;
    for (var i = lane; i < heads.head_dim; i += LANES) {
        let value = rows[start + i];
        head[i] = value;
        sum += value * value;
    }
    let factor = inverseSqrt(sum_of_lanes(lane, sum) / f32(heads.head_dim) + heads.epsilon);
    for (var i = lane; i < heads.head_dim; i += LANES) {
        if is_query && (heads.flags & 2u) != 0u {
            head[i] *= factor * query_norm[i];
        }
        if is_key && (heads.flags & 4u) != 0u {
            head[i] *= factor * key_norm[i];
        }
    }
    workgroupBarrier();
    let words = heads.head_dim / 2u;
    for (var word = lane; word < words; word += LANES) {
        var pair = vec2<f32>(head[2u * word], head[2u * word + 1u]);
        if is_query || is_key {
            pair = vec2<f32>(turned(2u * word, token), turned(2u * word + 1u, token));
        }
        if is_query {
            rows[start + 2u * word] = pair.x;
            rows[start + 2u * word + 1u] = pair.y;
            continue;
        }
        let kv_head = number - heads.queries - select(heads.keys, 0u, is_key);
        let at = ((batch.start + token) * heads.keys + kv_head) * words + word;
        if is_key {
            keys[at] = pack2x16float(pair);
        } else {
            values[at] = pack2x16float(pair);
        }
    }
}
