// Slot `radix_select`: finds where the top of the ranking ends, without a sort. The cut is the
// last token's logit, as bits that order like it, found eight at a time from integer histograms,
// whose sums do not depend on the order of addition. If only some of the tokens with that logit
// belong to the top, the last id among them is found in the same way.
// Calls slot `reduce`, `u64` and `argmax`; and `vec4s`, `four` and `mass` of the kernel.

// The last token of the top of the ranking, its logit as the bits of `rising`.
struct Cut {
    bits: u32,
    id: u32,
}

// How much of the remaining tokens to keep: a count, or a share of their mass, over 2^32.
struct Goal {
    by_mass: bool,
    amount: u32,
}

// One digit of the selection.
struct Pass {
    goal: Goal,
    // The position of the digit.
    shift: u32,
    // 0: digits of logits. Otherwise digits of the ids of tokens with these bits, low ids first.
    tie: u32,
}

// The digits found so far, the weight still to reach among tokens that share them, and 1 if these
// are several tokens of which only some are kept.
struct Found {
    digits: u32,
    wanted: vec2<u32>,
    tied: u32,
}

var<workgroup> low: array<atomic<u32>, 256>;
var<workgroup> high: array<atomic<u32>, 256>;
var<workgroup> found: Found;

// Before the selection all tokens survive; the padding, whose value is NOTHING, never does.
fn everyone() -> Cut {
    return Cut(rising(vec4(-LARGEST)).x, 0xffffffffu);
}

fn survive(bits: vec4<u32>, ids: vec4<u32>, cut: Cut) -> vec4<bool> {
    return (bits > vec4(cut.bits)) | ((bits == vec4(cut.bits)) & (ids <= vec4(cut.id)));
}

// Bits that order like the values; those of -0 and 0 are equal.
fn rising(values: vec4<f32>) -> vec4<u32> {
    let bits = bitcast<vec4<u32>>(values);
    return select(bits | vec4(0x80000000u), ~bits, bits > vec4(0x80000000u));
}

fn value_of(bits: u32) -> f32 {
    return bitcast<f32>(select(~bits, bits & 0x7fffffffu, bits >= 0x80000000u));
}

fn weight(value: f32, goal: Goal) -> vec2<u32> {
    if goal.by_mass {
        return mass(value);
    }
    return vec2(1u, 0u);
}

fn add(bin: u32, amount: vec2<u32>) {
    let before = atomicAdd(&low[bin], amount.x);
    let carried = amount.y + select(0u, 1u, before + amount.x < before);
    if carried > 0u {
        atomicAdd(&high[bin], carried);
    }
}

fn weight_of(bin: u32) -> vec2<u32> {
    return vec2(atomicLoad(&low[bin]), atomicLoad(&high[bin]));
}

fn wanted_of(goal: Goal) -> vec2<u32> {
    if !goal.by_mass {
        return vec2(goal.amount, 0u);
    }
    var total = vec2(0u);
    for (var bin = 0u; bin < 256u; bin++) {
        total = plus(total, weight_of(bin));
    }
    return share(total, goal.amount);
}

// The digit of the histogram at which the weights, best first, reach the goal.
fn settle(at: Pass) {
    let first = at.shift == 24u;
    let known = select(found.digits, 0u, first);
    var wanted = found.wanted;
    if first && at.tie == 0u {
        wanted = wanted_of(at.goal);
    }
    var bin = 255u;
    while bin > 0u && less(weight_of(bin), wanted) {
        wanted = minus(wanted, weight_of(bin));
        bin--;
    }
    let digits = known | (bin << at.shift);
    let whole = weight_of(bin);
    let several = any(whole != weight(value_of(digits), at.goal));
    found = Found(digits, wanted, select(0u, 1u, several && less(wanted, whole)));
}

// Finds the next digit.
fn narrow(base: u32, cut: Cut, at: Pass, lane: u32) {
    for (var bin = lane; bin < 256u; bin += WG) {
        atomicStore(&low[bin], 0u);
        atomicStore(&high[bin], 0u);
    }
    workgroupBarrier();
    let known = 0xffffff00u << at.shift;
    for (var i = lane; i < vec4s(); i += WG) {
        let values = four(base, i);
        let bits = rising(values);
        let digits = select(bits, ~ids_of(i), vec4(at.tie > 0u));
        let alike = ((digits ^ vec4(found.digits)) & vec4(known)) == vec4(0u);
        let meant = (bits == vec4(at.tie)) | vec4(at.tie == 0u);
        let counted = survive(bits, ids_of(i), cut) & alike & meant;
        for (var j = 0u; j < 4u; j++) {
            if counted[j] {
                add((digits[j] >> at.shift) & 255u, weight(values[j], at.goal));
            }
        }
    }
    workgroupBarrier();
    if lane == 0u {
        settle(at);
    }
    workgroupBarrier();
}

// The cut at which the weights of the tokens above the old one, best first, reach the goal.
fn radix_select(base: u32, cut: Cut, goal: Goal, lane: u32) -> Cut {
    for (var shift = 32u; shift > 0u; shift -= 8u) {
        narrow(base, cut, Pass(goal, shift - 8u, 0u), lane);
    }
    let logit = workgroupUniformLoad(&found);
    var id = select(0xffffffffu, cut.id, logit.digits == cut.bits);
    if logit.tied != 0u {
        for (var shift = 32u; shift > 0u; shift -= 8u) {
            narrow(base, cut, Pass(goal, shift - 8u, logit.digits), lane);
        }
        id = ~workgroupUniformLoad(&found).digits;
    }
    return Cut(logit.digits, id);
}
