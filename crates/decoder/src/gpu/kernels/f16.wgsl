fn places(unit: u32) -> vec2<u32> {
    return vec2<u32>(2u * unit, 2u * unit + 1u);
}

fn pairs(first: u32, second: u32) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(first), unpack2x16float(second));
}

fn weights(row: u32, unit: u32) -> mat2x4<f32> {
    let at = 4u * (row * units() + unit);
    return mat2x4<f32>(pairs(codes[at], codes[at + 1u]), pairs(codes[at + 2u], codes[at + 3u]));
}
