// sample: draws the next token of each row and advances the row. Gumbel 1954; Maddison et al. 2014.
//
//   t = the survivor with the largest (l - m) / temperature + g, m the largest logit, g Gumbel
//       noise; at temperature 0 (GREEDY) the token with the largest l; ties go to the lower id
//
//   logits  (N, V)   penalties already applied
//   rows    (N)      token, position, sequence, step: becomes t, position + 1, sequence, step + 1
//   counts  (N V)    occurrences of each id, rows not padded; unused if COUNTS is false
//   ids     (R, N)   slot step mod R receives t, or UNDRAWN if the largest l is infinite or NaN
//
// Survivors are the top of the ranking (larger logit first, then lower id): the first `top_k`; of
// these, the smallest number whose mass reaches `top_p`; of these, those with ln(mass) >= `least`.
// One workgroup per row. Grid: (N).
// parts: reduce, argmax, radix_select, u64, noise
struct Params {
    columns: u32,
    stride: u32,
    rows: u32,
    ring: u32,
    seed: vec2<u32>,
    top_k: u32,
    // top_p 2^32.
    top_p: u32,
    // 1 / temperature.
    inverse: f32,
    // ln min_p.
    least: f32,
}

// No token.
const UNDRAWN: u32 = 0xffffffffu;

override GREEDY: bool = false;
override TOP_K: bool = false;
override TOP_P: bool = false;
override COUNTS: bool = false;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> rows: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> counts: array<u32>;
@group(0) @binding(4) var<storage, read_write> ids: array<u32>;

// The row's largest logit.
var<private> top: f32;

fn vec4s() -> u32 {
    return (params.columns + 3u) / 4u;
}

// The padding of a row's last vec4 has no tokens.
fn four(base: u32, i: u32) -> vec4<f32> {
    return select(vec4(NOTHING), comparable(logits[base + i]), ids_of(i) < vec4(params.columns));
}

// (l - m) / temperature, finite: ln of the mass, which is 1 for the best token.
fn below_top(values: vec4<f32>) -> vec4<f32> {
    return max((values - top) * params.inverse, vec4(-1e30));
}

// A mass in units of 2^-44, so that the sum of 2^19 of them fits 64 bits.
fn mass(value: f32) -> vec2<u32> {
    let scaled = exp(below_top(vec4(value)).x) * 4096.0;
    return vec2(u32(fract(scaled) * 4294967296.0), u32(scaled));
}

fn best_logit(base: u32, lane: u32) -> Token {
    var best = nobody();
    for (var i = lane; i < vec4s(); i += WG) {
        best = better(best, four(base, i), i);
    }
    return best_of_workgroup(best, lane);
}

fn draw(base: u32, row: vec4<u32>, lane: u32) -> u32 {
    var cut = everyone();
    if TOP_K {
        cut = radix_select(base, cut, Goal(false, params.top_k), lane);
    }
    if TOP_P {
        cut = radix_select(base, cut, Goal(true, params.top_p), lane);
    }
    let keys = draw_keys(vec4(params.seed, row.zw));
    var best = nobody();
    for (var i = lane; i < vec4s(); i += WG) {
        let values = four(base, i);
        let below = below_top(values);
        let kept = survive(rising(values), ids_of(i), cut) & (below >= vec4(params.least));
        if any(kept) {
            let noisy = below + gumbel(ids_of(i), keys);
            best = better(best, select(vec4(NOTHING), noisy, kept), i);
        }
    }
    return best_of_workgroup(best, lane).id;
}

@compute @workgroup_size(WG)
fn sample(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let n = group.x;
    let base = n * params.stride;
    let row = rows[n];
    let best = best_logit(base, lane);
    var id = best.id;
    if !GREEDY {
        top = best.value;
        id = draw(base, row, lane);
    }
    // Every invocation has read the row before one of them advances it.
    storageBarrier();
    if lane == 0u {
        rows[n] = vec4(id, row.y + 1u, row.z, row.w + 1u);
        let largest = logits[base + best.id / 4u][best.id % 4u];
        let finite = (largest & 0x7f800000u) != 0x7f800000u;
        ids[row.w % params.ring * params.rows + n] = select(UNDRAWN, id, finite);
        if COUNTS {
            counts[n * params.columns + id] += 1u;
        }
    }
}
