fn places(unit: u32) -> vec2<u32> {
    return vec2<u32>(2u * unit, 2u * unit + 1u);
}

fn pairs(first: u32, second: u32) -> vec4<f32> {
    let words = vec4<u32>(first << 16u, first & 0xffff0000u, second << 16u, second & 0xffff0000u);
    return bitcast<vec4<f32>>(words);
}

fn weights(row: u32, unit: u32) -> mat2x4<f32> {
    let at = 4u * (row * units() + unit);
    return mat2x4<f32>(pairs(codes[at], codes[at + 1u]), pairs(codes[at + 2u], codes[at + 3u]));
}
