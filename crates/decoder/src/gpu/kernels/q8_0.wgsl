fn places(unit: u32) -> vec2<u32> {
    return vec2<u32>(2u * unit, 2u * unit + 1u);
}

fn weights(row: u32, unit: u32) -> mat2x4<f32> {
    let at = row * (matrix.columns / 4u) + 2u * unit;
    let scale = scale_of(row * (matrix.columns / 32u) + unit / 4u);
    return mat2x4<f32>(scale * signed_bytes(codes[at]), scale * signed_bytes(codes[at + 1u]));
}
