//! The patterns by which a line of a shader gets a fault.

use crate::wgsl::Kind;

/// The line with one change, for each place of it.
pub(crate) fn change(kind: Kind, line: &str, source: &str) -> Vec<(usize, String)> {
    let is_for = line.trim_start().starts_with("for ");
    let found = match kind {
        Kind::Scale => scales(line),
        Kind::Epsilon => {
            [each(line, "params.eps", "(4.0 * params.eps)"), each(line, "+ eps", "+ 4.0 * eps")]
                .concat()
        }
        Kind::Window if is_for => Vec::new(),
        Kind::Window => [
            each(line, "params.window)", "params.window + 1u)"),
            each(line, " + 1u", ""),
            each(line, " - 1u", ""),
            each(line, "<= row.y", "< row.y"),
            each(line, "< vec4(end)", "<= vec4(end)"),
        ]
        .concat(),
        Kind::Loop if is_for => {
            let bound = |end: &str| each(line, end, &end.replacen(" <", " + 1u <", 1));
            let ends = line.split(';').nth(1).and_then(|end| end.split(" &&").next());
            ends.filter(|end| end.contains(" < ")).map(bound).unwrap_or_default()
        }
        Kind::Barrier if line.trim().ends_with("Barrier();") => vec![String::new()],
        Kind::Rows => ["head", "row", "t", "id.y", "group.x", "token", "n", "first", "sequence"]
            .iter()
            .flat_map(|name| {
                let name = format!("{name} ");
                let times = each_word(line, &(name.clone() + "* "), &format!("({name}^ 1u) * "));
                let rest = each_word(line, &(name.clone() + "% "), &format!("({name}+ 1u) % "));
                [times, rest].concat()
            })
            .collect(),
        Kind::Term if !is_for => [each(line, " += ", " = "), each(line, " -= ", " += ")].concat(),
        Kind::Nan => nan(line, source),
        Kind::Decode => DECODING.iter().flat_map(|(was, is)| each(line, was, is)).collect(),
        Kind::Value => VALUES.iter().flat_map(|(was, is)| each(line, was, is)).collect(),
        _ => Vec::new(),
    };
    found.into_iter().map(|line| (1, line)).collect()
}

/// How the decoding of a weight may go wrong.
const DECODING: [(&str, &str); 14] = [
    ("0x0f0f0f0fu", "0x07070707u"),
    ("0x03030303u", "0x01010101u"),
    ("0xffff0000u", "0xfffe0000u"),
    ("63u", "31u"),
    ("<< 16u", "<< 15u"),
    ("<< 4u", "<< 3u"),
    ("- 32.0", "- 31.0"),
    ("- 16.0", "- 15.0"),
    ("- 8.0", "- 7.0"),
    ("- 4.0", "- 3.0"),
    ("unpack4xI8", "unpack4xU8"),
    (" - word.scale.y", ""),
    (" + word.scale.y", ""),
    ("four % 2u", "(four + 1u) % 2u"),
];

/// What may be another in a part that calls a function or two.
const VALUES: [(&str, &str); 14] = [
    ("0.044715", "0.05"),
    ("0.3989422804014327", "0.4"),
    ("0.7071067811865476", "0.7"),
    ("1.0 / 3.0", "1.0 / 4.0"),
    ("0x7feb352du", "0x7feb352fu"),
    ("0x846ca68bu", "0x846ca689u"),
    ("> best.values", "< best.values"),
    ("pack4(value)", "pack4(value.yxzw)"),
    ("(word.y)", "(word.x)"),
    ("[at]", "[at ^ 1u]"),
    ("vec4(8u)", "vec4(4u)"),
    ("return value", "return 2.0 * value"),
    ("subgroupAdd(value)", "value"),
    ("subgroupMax(value)", "value"),
];

/// The names of factors.
const FACTORS: [&str; 22] = [
    "scale",
    "fade",
    "inverse",
    "mass",
    "factor",
    "gain",
    "rate",
    "weight",
    "SCALE",
    "amplitude",
    "params",
    "stats",
    "clip",
    "share",
    "d",
    "word",
    "b1",
    "b2",
    "temperature",
    "weights",
    "turn",
    "a",
];

/// The line without one of its factors: `x * scale`, `scale * x`, `x / mass`.
fn scales(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices(" * ").chain(line.match_indices(" / ")) {
        let after = &line[at + 3..];
        let end = path_end(after);
        if is_factor(&after[..end]) {
            found.push(format!("{}{}", &line[..at], &after[end..]));
        }
        let start = line[..at].rfind([' ', '(']).map_or(0, |start| start + 1);
        if line[at..].starts_with(" * ") && is_factor(&line[start..at]) {
            found.push(format!("{}{}", &line[..start], after));
        }
    }
    found
}

/// Whether a path such as `params.scale` is a factor, not a stride or a count.
fn is_factor(path: &str) -> bool {
    let words = || path.split(|c: char| !c.is_alphanumeric() && c != '_');
    let counts =
        ["stride", "width", "words", "heads", "columns", "rows", "context", "count", "per"];
    let counted = words().any(|word| counts.iter().any(|count| word.ends_with(count)));
    !path.contains('(') && !counted && words().next().is_some_and(|word| FACTORS.contains(&word))
}

/// Where a path ends that may have fields and indices.
fn path_end(text: &str) -> usize {
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ if depth > 0 || letter.is_alphanumeric() || "_.".contains(letter) => {}
            _ => return at,
        }
    }
    text.len()
}

/// The line that stores NaN: into a buffer that the kernel writes, or through a store.
fn nan(line: &str, source: &str) -> Vec<String> {
    let code = line.trim_start();
    if let Some((before, value)) = line.split_once("store4(").and_then(|_| line.rsplit_once(", ")) {
        let value = value.trim_end().trim_end_matches(");");
        return vec![format!("{before}, {value} * planted());")];
    }
    let written = |name: &str| source.contains(&format!("read_write> {name}: array<"));
    let target = code.split_once('[').is_some_and(|(name, _)| written(name));
    let assigned =
        [" = ", " += ", " -= "].iter().find_map(|sign| line.split_once(sign).map(|p| (p, sign)));
    match assigned {
        Some(((to, value), sign)) if target && value.trim_end().ends_with(';') => {
            let value = value.trim_end().trim_end_matches(';');
            vec![format!("{to}{sign}({value}) * planted();")]
        }
        _ => Vec::new(),
    }
}

/// The line with one occurrence replaced, for each of them.
fn each(line: &str, was: &str, is: &str) -> Vec<String> {
    let places = line.match_indices(was);
    places.map(|(at, _)| format!("{}{is}{}", &line[..at], &line[at + was.len()..])).collect()
}

/// The same for occurrences that do not begin within a word.
fn each_word(line: &str, was: &str, is: &str) -> Vec<String> {
    let starts =
        |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_.".contains(c));
    let places = line.match_indices(was).filter(|(at, _)| starts(*at));
    places.map(|(at, _)| format!("{}{is}{}", &line[..at], &line[at + was.len()..])).collect()
}
