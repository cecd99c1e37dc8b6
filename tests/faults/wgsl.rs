//! Faults in shaders: small changes of the source, found by patterns in every kernel and part.

use std::fmt;

use naga::valid::{Capabilities, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
use pellucid::gpu::{Kernel, Part, Program, Sabotage, Target, link};
use pellucid::select::{KERNELS, PARTS};

use crate::common::Random;
use crate::programs::programs;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A factor is left out.
    Scale,
    /// An epsilon is four times as large.
    Epsilon,
    /// A window or another bound of positions is off by one.
    Window,
    /// A loop skips its last iteration.
    Loop,
    /// Two parameters of one type are exchanged.
    Params,
    /// A barrier is dropped.
    Barrier,
    /// A head, a row or a token takes the place of its neighbour.
    Rows,
    /// A term is lost, or added with the other sign.
    Term,
    /// NaN is written.
    Nan,
    /// The bits of a stored weight are misread.
    Decode,
}

impl Kind {
    pub(crate) const ALL: [Self; 10] = [
        Self::Scale,
        Self::Epsilon,
        Self::Window,
        Self::Loop,
        Self::Params,
        Self::Barrier,
        Self::Rows,
        Self::Term,
        Self::Nan,
        Self::Decode,
    ];
}

/// A changed shader.
#[derive(Clone)]
pub(crate) struct Fault {
    /// The kernel or part.
    pub(crate) file: &'static str,
    pub(crate) kind: Kind,
    /// The line that changes, counted from 1.
    line: usize,
    was: String,
    is: String,
    source: String,
}

/// `rms_norm:37 Epsilon: params.eps -> ...`: a line of the report.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, kind, line, was, is, .. } = self;
        write!(f, "{file}:{line} {kind:?}: `{}` -> `{}`", was.trim(), is.trim())
    }
}

impl Fault {
    /// The same, short enough to type.
    pub(crate) fn name(&self) -> String {
        format!("{}:{}:{:?}", self.file, self.line, self.kind)
    }

    /// The sources that an engine runs instead.
    pub(crate) fn sabotage(&self) -> Sabotage {
        let source: &'static str = self.source.clone().leak();
        let mut sabotage = Sabotage::default();
        if let Some(&Kernel { name, op, needs, .. }) = kernel(self.file) {
            sabotage.kernels = vec![Kernel { name, op, source, needs }].leak();
        }
        if let Some(&Part { name, needs, .. }) = PARTS.iter().find(|part| part.name == self.file) {
            sabotage.parts = vec![Part { name, source, needs }].leak();
        }
        sabotage
    }

    /// Whether the result is valid WGSL.
    fn is_valid(&self, programs: &[Program]) -> bool {
        let Sabotage { kernels, parts, .. } = self.sabotage();
        let has = |program: &&Program| {
            program.kernel.name == self.file || program.parts.iter().any(|p| p.name == self.file)
        };
        let mut program = programs.iter().find(has).expect("a program that has it").clone();
        program.kernel = kernels.first().unwrap_or(program.kernel);
        for part in &mut program.parts {
            *part = parts.iter().find(|other| other.name == part.name).unwrap_or(part);
        }
        let parsed = naga::front::wgsl::parse_str(&link(&program, Target::Naga));
        let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
        validator.subgroup_stages(ShaderStages::COMPUTE);
        validator.subgroup_operations(SubgroupOperationSet::all());
        parsed.is_ok_and(|module| validator.validate(&module).is_ok())
    }
}

fn kernel(name: &str) -> Option<&'static Kernel> {
    KERNELS.iter().find(|kernel| kernel.name == name)
}

/// One fault per kernel, two per weight format, one per part if it has a place for one; and more,
/// until every kind is among them.
///
/// # Panics
/// If some kernel has no place for a fault: then it needs another pattern.
pub(crate) fn drawn(seed: u64) -> Vec<Fault> {
    let mut random = Random::new(seed);
    let programs = programs();
    let mut all = Vec::new();
    let kernels = KERNELS.iter().map(|kernel| (kernel.name, kernel.source, 1));
    let parts = PARTS.iter().map(|part| {
        let count = if part.name.starts_with("weight_") { 2 } else { 1 };
        (part.name, part.source, count)
    });
    for (file, source, count) in kernels.chain(parts) {
        let mut kinds: Vec<Kind> = Kind::ALL.to_vec();
        let mut found = 0;
        while found < count && !kinds.is_empty() {
            let kind = kinds.swap_remove(random.index(kinds.len()));
            let drawn = draw(file, source, kind, &mut random, &programs);
            found += drawn.iter().count();
            all.extend(drawn);
        }
        let must = kernel(file).is_some() || count == 2;
        assert!(found == count || !must, "no place for {count} faults in {file}");
    }
    for kind in Kind::ALL {
        while !all.iter().any(|fault| fault.kind == kind) {
            let kernel = &KERNELS[random.index(KERNELS.len())];
            all.extend(draw(kernel.name, kernel.source, kind, &mut random, &programs));
        }
    }
    all
}

/// A fault of this kind that is valid WGSL, if there is one.
fn draw(
    file: &'static str,
    source: &str,
    kind: Kind,
    random: &mut Random,
    programs: &[Program],
) -> Option<Fault> {
    let mut places = faults(file, source, kind);
    while !places.is_empty() {
        let fault = places.swap_remove(random.index(places.len()));
        if fault.is_valid(programs) {
            return Some(fault);
        }
    }
    None
}

/// Every place for a fault of this kind.
fn faults(file: &'static str, source: &str, kind: Kind) -> Vec<Fault> {
    let mut found = Vec::new();
    let lines: Vec<&str> = source.lines().collect();
    let bodies =
        lines.iter().position(|line| line.starts_with("fn ") || line.starts_with("@compute"));
    for (at, line) in lines.iter().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let changed = match kind {
            Kind::Params if line.starts_with("struct Params") => params(&lines[at..]),
            Kind::Params => Vec::new(),
            _ if bodies.is_none_or(|first| at < first) => Vec::new(),
            _ => change(kind, code, source),
        };
        for (count, is) in changed {
            let after = lines[at + count..].iter().copied();
            let whole: Vec<&str> =
                lines[..at].iter().copied().chain([is.as_str()]).chain(after).collect();
            let mut text = whole.join("\n") + "\n";
            if kind == Kind::Nan {
                text +=
                    "fn planted() -> f32 { var bits = 0x7fc00000u; return bitcast<f32>(bits); }\n";
            }
            let was = lines[at..at + count].join(" ");
            found.push(Fault { file, kind, line: at + 1, was, is, source: text });
        }
    }
    found
}

/// The struct of parameters with two neighbours of one type exchanged, and how many lines it had.
fn params(lines: &[&str]) -> Vec<(usize, String)> {
    let count = 1 + lines.iter().position(|line| line.ends_with('}')).expect("the struct ends");
    let code = lines[..count].iter().map(|line| line.split("//").next().unwrap_or_default());
    let text: String = code.collect();
    let (_, fields) = text.split_once('{').expect("a struct");
    let fields: Vec<(&str, &str)> = fields
        .trim_end_matches('}')
        .split(',')
        .filter_map(|field| field.split_once(':'))
        .map(|(name, kind)| (name.trim(), kind.trim()))
        .collect();
    let exchanged = |i: usize| {
        let mut fields = fields.clone();
        (fields[i], fields[i + 1]) = (fields[i + 1], fields[i]);
        let fields: Vec<String> =
            fields.iter().map(|(name, kind)| format!("{name}: {kind}")).collect();
        (count, format!("struct Params {{ {} }}", fields.join(", ")))
    };
    let alike = |i: &usize| fields[*i].1 == fields[i + 1].1;
    (0..fields.len().saturating_sub(1)).filter(alike).map(exchanged).collect()
}

/// The line with one change, for each place of it.
fn change(kind: Kind, line: &str, source: &str) -> Vec<(usize, String)> {
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
        _ => Vec::new(),
    };
    found.into_iter().map(|line| (1, line)).collect()
}

/// Ways in which the decoding of a weight may go wrong.
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

/// The line changed to store NaN: into a buffer that the kernel writes, or through an epilogue.
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

/// The same for occurrences that do not start inside a word.
fn each_word(line: &str, was: &str, is: &str) -> Vec<String> {
    let starts =
        |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_.".contains(c));
    let places = line.match_indices(was).filter(|(at, _)| starts(*at));
    places.map(|(at, _)| format!("{}{is}{}", &line[..at], &line[at + was.len()..])).collect()
}
