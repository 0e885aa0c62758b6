fn places(unit: u32) -> vec2<u32> {
    return vec2<u32>(2u * unit, 2u * unit + 1u);
}

fn weights(row: u32, unit: u32) -> mat2x4<f32> {
    let at = 8u * (row * units() + unit);
    let low = vec4<u32>(codes[at], codes[at + 1u], codes[at + 2u], codes[at + 3u]);
    let high = vec4<u32>(codes[at + 4u], codes[at + 5u], codes[at + 6u], codes[at + 7u]);
    return mat2x4<f32>(bitcast<vec4<f32>>(low), bitcast<vec4<f32>>(high));
}
