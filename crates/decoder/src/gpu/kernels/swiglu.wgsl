struct Hidden {
    width: u32,
}

@group(0) @binding(1) var<uniform> hidden: Hidden;
@group(0) @binding(2) var<storage, read_write> gate: array<f32>;
@group(0) @binding(3) var<storage, read> up: array<f32>;

@compute @workgroup_size(64)
fn swiglu(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < hidden.width {
        let at = id.y * hidden.width + id.x;
        gate[at] = gate[at] / (1.0 + exp(-gate[at])) * up[at];
    }
}
