//! Faults in shaders: small changes of the source, found by patterns in every kernel and part.

use std::fmt;

use naga::valid::{Capabilities, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
use pellucid::gpu::{Kernel, Part, Program, Sabotage, Target, link};
use pellucid::select::{KERNELS, PARTS};

use crate::common::Random;
use crate::patterns::change;
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
    /// A head, a row or a token takes the place of its neighbor.
    Rows,
    /// A term is lost, or added with the other sign.
    Term,
    /// NaN is written.
    Nan,
    /// The bits of a stored weight are misread.
    Decode,
    /// A number, a place or a result is another: for parts in which the other kinds have no place.
    Value,
}

impl Kind {
    /// The kinds that are drawn for every kernel and part.
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

    /// Whether it stands in the list of changes that no result depends on.
    fn makes_no_difference(&self) -> bool {
        NO_DIFFERENCE.contains(&self.name().as_str())
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

/// The source of a kernel or part.
fn source(name: &str) -> &'static str {
    let part = || PARTS.iter().find(|part| part.name == name).map(|part| part.source);
    kernel(name).map(|kernel| kernel.source).or_else(part).expect("a kernel or part")
}

/// One fault per kernel, two per weight format, one per part; and more, until every kind is among
/// them.
///
/// # Panics
/// If some kernel or part has no place for a fault: then it needs another pattern.
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
    // Another takes the place of one that makes no difference; the other draws stay as they are.
    for fault in &mut all {
        while fault.makes_no_difference() {
            let source = source(fault.file);
            let kind = Kind::ALL[random.index(Kind::ALL.len())];
            let drawn = draw(fault.file, source, kind, &mut random, &programs);
            *fault = drawn.unwrap_or_else(|| fault.clone());
        }
    }
    for part in PARTS {
        if !all.iter().any(|fault| fault.file == part.name) {
            let drawn = draw(part.name, part.source, Kind::Value, &mut random, &programs);
            let without = WITHOUT.contains(&part.name);
            assert_eq!(drawn.is_none(), without, "a place for a fault in {}", part.name);
            all.extend(drawn);
        }
    }
    all
}

/// Parts that compute nothing: a length, the names of fields, and no second copy.
const WITHOUT: [&str; 5] =
    ["head_array_8", "head_array_16", "head_array_32", "optimizer_settings", "kept_none"];

/// Changes that no result depends on, by name; docs/testing.md has the reasons.
const NO_DIFFERENCE: [&str; 8] = [
    "bias_backward:20:Window",
    "sample:109:Barrier",
    "linear_backward_x_tiled:53:Window",
    "linear_backward_x_tiled:54:Window",
    "linear_backward_w_tiled:49:Window",
    "radix_select:83:Loop",
    "lanes_workgroup:17:Barrier",
    "lanes_subgroups:11:Loop",
];

/// A fault that need not be drawn, by its [`name`](Fault::name).
pub(crate) fn named(name: &str) -> Option<Fault> {
    let file = name.split(':').next()?;
    let kernels = KERNELS.iter().map(|kernel| (kernel.name, kernel.source));
    let mut sources = kernels.chain(PARTS.iter().map(|part| (part.name, part.source)));
    let (file, source) = sources.find(|(known, _)| *known == file)?;
    let kinds = Kind::ALL.into_iter().chain([Kind::Value]);
    let mut all = kinds.flat_map(|kind| faults(file, source, kind));
    all.find(|fault| fault.name() == name && fault.is_valid(&programs()))
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

/// The struct of parameters with two neighbors of one type exchanged, and how many lines it had.
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
