// top_k: the K most probable tokens of each row with ln p, best first, ties to the lower id.
//
//   ln p = l - m - ln sum_v exp(l_v - m), m the largest logit
//
//   logits  (N, V)
//   rows    (N)          token, position, sequence, step, after `sample`; unused unless CHOSEN
//   out     (N, K)       id, bits of ln p; where CHOSEN, (R, N, K + 1): in slot step - 1 mod R the
//                        token of the row, then the K best
//
// Each round finds the best token after the previous one: K is small, so no sort is needed.
// One workgroup per row. Grid: (N).
// parts: reduce, argmax
struct Params {
    columns: u32,
    stride: u32,
    rows: u32,
    ring: u32,
    k: u32,
}

override CHOSEN: bool = false;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec2<u32>>;

// The padding of a row's last vec4 has no tokens.
fn four(base: u32, i: u32) -> vec4<f32> {
    return select(vec4(NOTHING), comparable(logits[base + i]), ids_of(i) < vec4(params.columns));
}

// The best of the tokens that come after `last`.
fn next_best(base: u32, last: Token, lane: u32) -> Token {
    let vec4s = (params.columns + 3u) / 4u;
    var best = nobody();
    for (var i = lane; i < vec4s; i += WG) {
        let values = four(base, i);
        let same = (values == vec4(last.value)) & (ids_of(i) > vec4(last.id));
        let after = (values < vec4(last.value)) | same;
        best = better(best, select(vec4(NOTHING), values, after), i);
    }
    return best_of_workgroup(best, lane);
}

// A token and ln p, which is minus infinity if the logit is.
fn pair(token: Token, log_sum: f32) -> vec2<u32> {
    let log_p = bitcast<u32>(token.value - log_sum);
    return vec2(token.id, select(log_p, 0xff800000u, token.value == -LARGEST));
}

@compute @workgroup_size(WG)
fn top_k(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let n = group.x;
    let base = n * params.stride;
    var token = next_best(base, Token(-NOTHING, 0u), lane);
    let m = token.value;
    var sums = vec4(0.0);
    let vec4s = (params.columns + 3u) / 4u;
    for (var i = lane; i < vec4s; i += WG) {
        sums += exp(four(base, i) - m);
    }
    let log_sum = m + log(sum_workgroup(dot(sums, vec4(1.0)), lane));
    var at = n * params.k;
    if CHOSEN {
        let row = rows[n];
        at = ((row.w - 1u) % params.ring * params.rows + n) * (params.k + 1u);
        if lane == 0u {
            let value = four(base, row.x / 4u)[row.x % 4u];
            out[at] = pair(Token(value, row.x), log_sum);
        }
        at++;
    }
    for (var j = 0u; j < params.k; j++) {
        if lane == 0u {
            out[at + j] = pair(token, log_sum);
        }
        token = next_best(base, token, lane);
    }
}
