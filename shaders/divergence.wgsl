// divergence: the entropy of each row's distribution p, its distance from q, and a token's rank.
//
//   entropy = -sum_v p ln p          ln p = l - m - ln sum_v exp(l_v - m), m the largest logit
//   KL(q, p) = sum_v q (ln q - ln p)
//
//   logits  (N, V)  those of p
//   last    (N, V)  those of q
//   out     (N)     bits of the entropy, bits of KL, how many tokens are before `wanted` (those of
//                   larger logits, and of equal ones those with lower ids), and how many logits
//                   are not finite
//
// One workgroup per row. Grid: (N).
// parts: reduce, argmax
struct Params { columns: u32, stride: u32, wanted: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> last: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<u32>>;

// So many terms are added by themselves first: in one sum for all, thousands of equal terms would
// be rounded the same way.
const PART: u32 = 32u;

// The padding of a row's last vec4 has no tokens.
fn four(bits: vec4<u32>, i: u32) -> vec4<f32> {
    return select(vec4(NOTHING), comparable(bits), ids_of(i) < vec4(params.columns));
}

fn strange(bits: vec4<u32>, i: u32) -> vec4<f32> {
    let endless = (bits & vec4(0x7f800000u)) == vec4(0x7f800000u);
    return select(vec4(0.0), vec4(1.0), endless & (ids_of(i) < vec4(params.columns)));
}

fn largest_of(values: vec4<f32>, lane: u32) -> f32 {
    let two = max(values.xy, values.zw);
    return max_workgroup(max(two.x, two.y), lane);
}

fn sum_of(values: vec4<f32>, lane: u32) -> f32 {
    return sum_workgroup(dot(values, vec4(1.0)), lane);
}

@compute @workgroup_size(WG)
fn divergence(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let base = group.x * params.stride;
    let vec4s = (params.columns + 3u) / 4u;
    var most = vec4(NOTHING);
    var most_last = vec4(NOTHING);
    for (var i = lane; i < vec4s; i += WG) {
        most = max(most, four(logits[base + i], i));
        most_last = max(most_last, four(last[base + i], i));
    }
    let m = largest_of(most, lane);
    let m_last = largest_of(most_last, lane);
    var sums = vec4(0.0);
    var sums_last = vec4(0.0);
    for (var first = lane; first < vec4s; first += WG * PART) {
        var part = vec4(0.0);
        var part_last = vec4(0.0);
        for (var i = first; i < min(first + WG * PART, vec4s); i += WG) {
            part += exp(four(logits[base + i], i) - m);
            part_last += exp(four(last[base + i], i) - m_last);
        }
        sums += part;
        sums_last += part_last;
    }
    let log_sum = log(sum_of(sums, lane));
    let log_sum_last = log(sum_of(sums_last, lane));
    let id = min(params.wanted, params.columns - 1u);
    let value = comparable(logits[base + id / 4u])[id % 4u];
    var entropy = vec4(0.0);
    var far = vec4(0.0);
    var before = vec4(0.0);
    var odd = vec4(0.0);
    for (var first = lane; first < vec4s; first += WG * PART) {
        var part = vec4(0.0);
        var part_far = vec4(0.0);
        for (var i = first; i < min(first + WG * PART, vec4s); i += WG) {
            let own = four(logits[base + i], i);
            // Both are rounded alike, so that equal distributions are at no distance.
            let log_p = (own - m) - log_sum;
            let log_q = (four(last[base + i], i) - m_last) - log_sum_last;
            part -= exp(log_p) * log_p;
            part_far += exp(log_q) * (log_q - log_p);
            let tied = (own == vec4(value)) & (ids_of(i) < vec4(id));
            before += select(vec4(0.0), vec4(1.0), (own > vec4(value)) | tied);
            odd += strange(logits[base + i], i) + strange(last[base + i], i);
        }
        entropy += part;
        far += part_far;
    }
    let bits = bitcast<vec2<u32>>(vec2(sum_of(entropy, lane), sum_of(far, lane)));
    // Both counts are below 2^24, so they are exact as floats.
    let counts = vec2<u32>(vec2(sum_of(before, lane), sum_of(odd, lane)));
    if lane == 0u {
        out[group.x] = vec4(bits, counts);
    }
}
