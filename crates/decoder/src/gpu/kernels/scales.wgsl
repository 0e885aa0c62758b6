// Half-precision scales, two in a word.
fn scale_of(index: u32) -> f32 {
    return unpack2x16float(scales[index / 2u])[index % 2u];
}
