// Slot `argmax`: the order of tokens, larger values first, then lower ids. Calls slot `reduce`.

// Comparable values lie within -LARGEST and LARGEST, so that their differences stay finite.
const LARGEST: f32 = 1e38;
// Below every comparable value: no token.
const NOTHING: f32 = -2e38;

struct Token {
    value: f32,
    id: u32,
}

// The best tokens that an invocation has seen, one for each component of a vec4.
struct Best {
    values: vec4<f32>,
    ids: vec4<u32>,
}

// Logits from their bits, which show a NaN where comparisons may not; it counts as the lowest.
fn comparable(bits: vec4<u32>) -> vec4<f32> {
    let values = clamp(bitcast<vec4<f32>>(bits), vec4(-LARGEST), vec4(LARGEST));
    let nan = (bits & vec4(0x7fffffffu)) > vec4(0x7f800000u);
    return select(values, vec4(-LARGEST), nan);
}

fn ids_of(four: u32) -> vec4<u32> {
    return vec4(four * 4u) + vec4(0u, 1u, 2u, 3u);
}

fn nobody() -> Best {
    return Best(vec4(NOTHING), vec4(0u));
}

// vec4s come in ascending order, so on a tie the earlier one stays.
fn better(best: Best, values: vec4<f32>, four: u32) -> Best {
    let more = values > best.values;
    return Best(select(best.values, values, more), select(best.ids, ids_of(four), more));
}

// The best token of all invocations. Ids are below 2^24, so they are exact as floats.
fn best_of_workgroup(best: Best, lane: u32) -> Token {
    let two = max(best.values.xy, best.values.zw);
    let value = max_workgroup(max(two.x, two.y), lane);
    let ids = select(vec4(-16777215.0), -vec4<f32>(best.ids), best.values == vec4(value));
    let lower = max(ids.xy, ids.zw);
    return Token(value, u32(-max_workgroup(max(lower.x, lower.y), lane)));
}
