struct Batch {
    tokens: u32,
    // Position of the first of them.
    start: u32,
}

@group(0) @binding(0) var<uniform> batch: Batch;

fn bytes(word: u32) -> vec4<f32> {
    return vec4<f32>(vec4<u32>(word, word >> 8u, word >> 16u, word >> 24u) & vec4<u32>(255u));
}

fn signed_bytes(word: u32) -> vec4<f32> {
    let top = vec4<i32>(vec4<u32>(word << 24u, word << 16u, word << 8u, word));
    return vec4<f32>(top >> vec4<u32>(24u));
}
