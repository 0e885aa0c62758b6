const WORDS = 36u;

// Eight words hold 64 elements: 32 in their low nibbles, then 32 in their high ones.
fn places(unit: u32) -> vec2<u32> {
    let first = 64u * (unit / 32u) + 16u * (unit % 32u / 8u) + unit % 8u;
    return vec2<u32>(first, first + 8u);
}

fn byte_of(block: u32, index: u32) -> u32 {
    return (codes[block + 1u + index / 4u] >> (8u * (index % 4u))) & 255u;
}

// Scale and minimum of one of the eight sub-blocks, six bits each.
fn scale_and_min(block: u32, sub: u32) -> vec2<f32> {
    if sub < 4u {
        return vec2<f32>(vec2<u32>(byte_of(block, sub), byte_of(block, sub + 4u)) & vec2<u32>(63u));
    }
    let nibbles = byte_of(block, sub + 4u);
    let tops = vec2<u32>(byte_of(block, sub - 4u), byte_of(block, sub)) >> vec2<u32>(6u);
    return vec2<f32>(vec2<u32>(nibbles & 15u, nibbles >> 4u) | (tops << vec2<u32>(4u)));
}

fn weights(row: u32, unit: u32) -> mat2x4<f32> {
    let block = WORDS * (row * (matrix.columns / 256u) + unit / 32u);
    let factors = unpack2x16float(codes[block]);
    let word = codes[block + 4u + unit % 32u];
    let sub = 2u * (unit % 32u / 8u);
    let low = factors * scale_and_min(block, sub);
    let high = factors * scale_and_min(block, sub + 1u);
    return mat2x4<f32>(
        low.x * bytes(word & 0x0f0f0f0fu) - vec4<f32>(low.y),
        high.x * bytes((word >> 4u) & 0x0f0f0f0fu) - vec4<f32>(high.y),
    );
}
