// A word holds four elements of the block's first half in its low nibbles, four of the second half in its high ones.
fn places(unit: u32) -> vec2<u32> {
    let first = 8u * (unit / 4u) + unit % 4u;
    return vec2<u32>(first, first + 4u);
}

fn weights(row: u32, unit: u32) -> mat2x4<f32> {
    let word = codes[row * (matrix.columns / 8u) + unit];
    let scale = scale_of(row * (matrix.columns / 32u) + unit / 4u);
    let low = bytes(word & 0x0f0f0f0fu) - vec4<f32>(8.0);
    let high = bytes((word >> 4u) & 0x0f0f0f0fu) - vec4<f32>(8.0);
    return mat2x4<f32>(scale * low, scale * high);
}
