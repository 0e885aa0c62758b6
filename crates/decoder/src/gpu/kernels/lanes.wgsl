const LANES = 64u;

var<workgroup> of_lanes: array<f32, LANES>;

// The sum over all lanes of a workgroup.
fn sum_of_lanes(lane: u32, value: f32) -> f32 {
    of_lanes[lane] = value;
    for (var half_lanes = LANES / 2u; half_lanes > 0u; half_lanes /= 2u) {
        workgroupBarrier();
        if lane < half_lanes {
            of_lanes[lane] += of_lanes[lane + half_lanes];
        }
    }
    workgroupBarrier();
    return of_lanes[0];
}
