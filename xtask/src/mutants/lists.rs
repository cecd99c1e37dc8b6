//! What the faults in Rust are made of: texts, and what takes their place.

/// Patterns of ops: what the host hands to a kernel.
pub(super) const OPS: [(&str, &str, &str); 7] = [
    ("the grid is short", ".div_ceil(64)", " / 64"),
    ("the grid is short", ".div_ceil(8)", " / 8"),
    ("an epsilon", "eps as f32", "(4.0 * eps) as f32"),
    ("a scale left out", "scale as f32", "1.0"),
    ("a count off by one", "to_u32(", "to_u32(1 + "),
    ("a product for a quotient", " / cache.width", " * cache.width"),
    ("a sign", " + ", " - "),
];

/// Patterns of twins.
pub(super) const TWINS: [(&str, &str, &str); 10] = [
    ("a sum for a product", " * ", " + "),
    ("an epsilon", "+ eps", "+ 4.0 * eps"),
    ("a scale left out", " * scale", ""),
    ("a term left out", " += ", " = "),
    ("a sign", " -= ", " += "),
    ("a bound off by one", "..=", ".."),
    ("a bound off by one", " + 1", ""),
    ("a product for a quotient", " / ", " * "),
    ("a sign", " - ", " + "),
    ("a sign", " + ", " - "),
];

/// Faults for files in which the patterns find no place: file, kind, text, and what stands in for it.
pub(super) const OWN: [[&str; 4]; 16] = [
    ["src/reference/add.rs", "a sign", "*out += x", "*out -= x"],
    ["src/reference/backward/bias_backward.rs", "a sign", "*sum += dy", "*sum -= dy"],
    [
        "src/reference/layer_norm.rs",
        "a step left out",
        "rms_scale(&centered, gain.len(), eps)",
        "rms_scale(x, gain.len(), eps)",
    ],
    ["src/reference/rms_norm.rs", "a step left out", "&divide_rows(x, &scale)", "x"],
    ["src/reference/top_k.rs", "the other order", "b.1.total_cmp(&a.1)", "a.1.total_cmp(&b.1)"],
    [
        "src/reference/backward/cast_f16.rs",
        "a lost bit",
        "f16::from_f32(*value)",
        "f16::from_bits(f16::from_f32(*value).to_bits() & !1)",
    ],
    [
        "src/reference/backward/linear_backward.rs",
        "two arguments exchanged",
        "linear_backward_w(dy, x, size)",
        "linear_backward_w(x, dy, size)",
    ],
    ["src/reference/backward/rope_backward.rs", "a sign", "-frequency", "*frequency"],
    [
        "src/reference/clear_padding.rs",
        "a column off by one",
        "row[columns..]",
        "row[columns + 1..]",
    ],
    ["src/ops/activation.rs", "another function", "GeluTanh => 1", "GeluTanh => 2"],
    ["src/ops/cache.rs", "another format", "F16 => \"cached_f16\"", "F16 => \"cached_f32\""],
    [
        "src/ops/columns.rs",
        "a column off by one",
        "Self { of, start, count, step: 1 }",
        "Self { of, start: start + 1, count, step: 1 }",
    ],
    ["src/ops/kept.rs", "the wrong part", "if kept.is_some()", "if kept.is_none()"],
    ["src/ops/project.rs", "the grid is short", "[heads, rows, 1]", "[1, rows, 1]"],
    ["src/ops/softcap.rs", "a scale", "(\"SOFTCAP\", cap)", "(\"SOFTCAP\", 2.0 * cap)"],
    [
        "src/ops/backward/gradient.rs",
        "the wrong formats",
        "weight.format == Format::F32",
        "weight.format != Format::F32",
    ],
];

/// Changes that no result depends on: file, and what the changed line has; docs/testing.md has the reasons.
pub(super) const NO_DIFFERENCE: [(&str, &str); 2] = [
    ("src/ops/backward/linear_backward_w.rs", "first: to_u32(1 + piece.first)"),
    ("src/reference/model.rs", "VALUES_PER_READ * matrix.columns"),
];

/// Files without a place for a fault, and why.
pub(super) const WITHOUT: [(&str, &str); 4] = [
    (
        "src/ops/backward/optimizer_settings.rs",
        "names fields, which `shaders` compares with WGSL's",
    ),
    ("src/ops/mask.rs", "names three fields, which the ops of attention hand on"),
    ("src/ops/backward/column_sum.rs", "chooses a workgroup, which changes no result"),
    ("src/reference/observer.rs", "holds a trait that computes nothing"),
];

/// Faults in what compares, in lists, and in the rules of the house: file, kind, text, replacement.
pub(super) const CHECKS: [[&str; 4]; 10] = [
    [
        "src/measure.rs",
        "NaN is lost",
        "if error.is_nan() { f64::INFINITY } else { error }",
        "error",
    ],
    ["src/measure.rs", "a missing value is lost", "if found.len() != expected.len()", "if false"],
    ["src/measure.rs", "an infinity is lost", "if found == expected { 0.0 }", "if true { 0.0 }"],
    ["src/check/outcome.rs", "nothing fails", "self.error <= self.tolerance", "true"],
    ["src/select/registry.rs", "a kernel is not registered", "        \"rms_scale\",\n", ""],
    [
        "tests/shaders/every_op.rs",
        "an op is not reflected",
        "        self.push(RmsScale { x, eps, out: scale });\n",
        "",
    ],
    [
        "tests/tidy/skips.rs",
        "a print is a check",
        "before.starts_with(\"assert\")",
        "before.is_empty()",
    ],
    ["tests/tidy.rs", "a product file counts as a test", "            tests = false;\n", ""],
    ["tests/tidy.rs", "a word is a reason", "any(|words| words >= 3)", "any(|_| true)"],
    ["tests/shaders/text.rs", "loops of one depth only", "open.contains(&true)", "open.len() == 2"],
];
