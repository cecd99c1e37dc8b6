// Slot `column_sum`: adds sums over shares of the rows to a gradient.
override WG_N: u32 = 8u;
override WG_T: u32 = 8u;

var<workgroup> sums: array<vec4<f32>, WG_N * WG_T>;

// WG_T invocations share the rows of the same four columns. One of them adds up their sums.
fn add_columns(four: u32, own: vec4<f32>, lane: u32) {
    var sum = own;
    if WG_T > 1u {
        sums[lane] = sum;
        workgroupBarrier();
        for (var other = 1u; other < WG_T && lane < WG_N; other++) {
            sum += sums[other * WG_N + lane];
        }
    }
    if lane < WG_N && four * 4u < params.columns {
        let columns = vec4(four * 4u) + vec4(0u, 1u, 2u, 3u);
        gradient[four] += select(vec4(0.0), sum, columns < vec4(params.columns));
    }
}
