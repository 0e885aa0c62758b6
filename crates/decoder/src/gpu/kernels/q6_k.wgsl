// 210 bytes and two of padding.
const WORDS = 53u;

// Each half of a block has 16 words of low nibbles for 128 elements, eight words of two upper bits, eight scales.
fn places(unit: u32) -> vec2<u32> {
    let inner = unit % 16u;
    let first = 64u * (unit / 32u) + 32u * (unit % 32u / 16u) + 8u * (inner / 8u) + inner % 8u;
    return vec2<u32>(first, first + 16u);
}

fn weights(row: u32, unit: u32) -> mat2x4<f32> {
    let block = WORDS * (row * (matrix.columns / 256u) + unit / 32u);
    let part = unit % 32u / 16u;
    let inner = unit % 16u;
    let nibbles = codes[block + unit % 32u];
    let tops = codes[block + 32u + 8u * part + inner % 8u] >> (2u * (inner / 8u));
    let low = (nibbles & 0x0f0f0f0fu) | ((tops & 0x03030303u) << 4u);
    let high = ((nibbles >> 4u) & 0x0f0f0f0fu) | (((tops >> 4u) & 0x03030303u) << 4u);
    // Sixteen elements share a scale; the high ones lie 64 elements further.
    let index = 2u * (inner / 8u) + inner % 8u / 4u;
    let small = block + 48u + 2u * part;
    let factor = unpack2x16float(codes[block + 52u]).x;
    let scale = factor * vec2<f32>(signed_bytes(codes[small])[index], signed_bytes(codes[small + 1u])[index]);
    return mat2x4<f32>(
        scale.x * (bytes(low) - vec4<f32>(32.0)),
        scale.y * (bytes(high) - vec4<f32>(32.0)),
    );
}
