// ceiling_unpack: out_i = the sum of LOADS words of weights: measures how fast a format is decoded.
//
//   weights  (N, words)  words = LOADS * WG: one row per workgroup
//   out      (N, WG)     written so that no compiler can drop the loads
//
// Neighboring invocations load neighboring 16-byte words, and decode every value in them.
// Grid: (N), spread over x and y.
// parts: weight
struct Params { words: u32, rows: u32 }

override WG: u32 = 256u;
override LOADS: u32 = 8u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WG)
fn ceiling_unpack(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = id.x + id.y * 65535u;
    if row >= params.rows {
        return;
    }
    var sum = vec4<f32>(0.0);
    for (var load = 0u; load < LOADS; load++) {
        let word = load_word(row, load * WG + lane);
        for (var four = 0u; four < WORD / 4u; four++) {
            sum += word4(word, four);
        }
    }
    out[row * WG + lane] = dot(sum, vec4(1.0));
}
