struct Matrix {
    rows: u32,
    columns: u32,
}

@group(0) @binding(1) var<uniform> matrix: Matrix;
@group(0) @binding(2) var<storage, read> codes: array<u32>;
@group(0) @binding(3) var<storage, read> scales: array<u32>;
@group(0) @binding(4) var<storage, read> tokens: array<u32>;
@group(0) @binding(5) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(64)
fn embed(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= units() {
        return;
    }
    let row = weights(tokens[id.y], id.x);
    let at = places(id.x);
    let start = id.y * (matrix.columns / 4u);
    output[start + at.x] = row[0];
    if at.y < matrix.columns / 4u {
        output[start + at.y] = row[1];
    }
}
