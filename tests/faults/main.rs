//! Faults planted in kernels and in what the host passes to them; a named case must catch each.
//!
//! The list is made from the registry of kernels and parts, and drawn with a seed. Ten of them, one
//! of each kind, run with the other tests; `cargo xtask mutants` runs all. `PELLUCID_FAULTS` names
//! those to run instead of the ten, separated by commas; they need not be drawn. See docs/testing.md.

#[path = "../common/barriers.rs"]
mod barriers;
mod ceilings;
#[path = "../common/mod.rs"]
mod common;
mod host;
mod patterns;
#[path = "../common/programs.rs"]
mod programs;
mod wgsl;

use std::collections::BTreeSet;

use pellucid::check::cases::{Case, Linear};
use pellucid::check::{self, Device, Outcome};
use pellucid::format::Format;
use pellucid::gpu::{AdapterChoice, Caps, Engine, Need, Program, Sabotage};
use pellucid::select::{KERNELS, KernelSelection, Lanes, LanesKind, PARTS};
use pollster::block_on;

use barriers::{is_called_again, without_last_barrier};
use common::{gpu, own_gpu};
use wgsl::{Fault, Kind};

/// The seed of every list and every draw.
const SEED: u64 = 20_261_129;

/// A planted change, and the kernel or part whose cases then run.
#[derive(Clone)]
struct Planted {
    name: String,
    words: String,
    file: &'static str,
    sabotage: Sabotage,
}

impl From<&Fault> for Planted {
    fn from(fault: &Fault) -> Self {
        let (name, words) = (fault.name(), fault.to_string());
        Self { name, words, file: fault.file, sabotage: fault.sabotage() }
    }
}

/// The whole list.
fn all() -> Vec<Planted> {
    let shaders = wgsl::drawn(SEED);
    shaders.iter().map(Planted::from).chain(host::drawn(SEED)).collect()
}

/// One of each kind: ten in shaders, and those on the host's side.
fn some() -> Vec<Planted> {
    let shaders = wgsl::drawn(SEED);
    let caps = gpu().caps().clone();
    let able = |fault: &&Fault| lacks(&caps, fault.file).is_none();
    let one = |kind: Kind| shaders.iter().filter(able).find(|fault| fault.kind == kind);
    let ten = Kind::ALL.map(|kind| Planted::from(one(kind).expect("a fault of each kind")));
    ten.into_iter().chain(host::drawn(SEED)).collect()
}

/// What the adapter lacks that a kernel or part needs.
fn lacks(caps: &Caps, file: &str) -> Option<&'static str> {
    let kernels = KERNELS.iter().map(|kernel| (kernel.name, kernel.needs));
    let mut all = kernels.chain(PARTS.iter().map(|part| (part.name, part.needs)));
    let (_, needs) = all.find(|(name, _)| *name == file).expect("a kernel or part");
    needs.iter().find_map(|need| match need {
        Need::Subgroups => caps.subgroups.is_none().then_some("subgroups"),
        Need::F16 => (!caps.f16).then_some("f16 arithmetic"),
    })
}

/// Runs the cases of a kernel or part up to the first that fails; also gives how many were checked.
fn run(file: &'static str, sabotage: Sabotage) -> (usize, Option<Outcome>) {
    let engine = || Engine::sabotaged(own_gpu(&AdapterChoice::default()), sabotage);
    let defaults = KernelSelection::defaults(gpu().caps());
    if file.starts_with("ceiling_") {
        // Ceilings are measurements, and the self-test has no case for them.
        return attempt(file, engine(), defaults, &ceilings::Ceiling(file));
    }
    let (mut judged, mut failed) = block_on(check::first_failure(engine(), file)).unwrap();
    // Subgroups are narrow on a CPU, and its own self-test skips lanes that span several.
    let wide = file == "lanes_subgroups" && failed.is_none();
    for lanes in [16, 32].into_iter().filter(|_| wide) {
        let lanes = Lanes { kind: LanesKind::AcrossSubgroups, size: 64, lanes };
        let selection = KernelSelection { lanes, forced: true, ..defaults.clone() };
        let (more, other) =
            attempt(file, engine(), selection, &Linear::plain(Format::F32, 1, [250, 516]));
        judged += more;
        failed = failed.or(other);
    }
    (judged, failed)
}

/// Whether the changed text breaks a rule to which the tests of shaders hold it.
fn breaks_a_rule(file: &str, sabotage: Sabotage) -> bool {
    let mut sources = sabotage.parts.iter().map(|part| part.source);
    is_called_again(file) && sources.any(|source| !without_last_barrier(source).is_empty())
}

/// Runs one case, as [`run`] does.
fn attempt(
    file: &str,
    engine: Engine,
    selection: KernelSelection,
    case: &dyn Case,
) -> (usize, Option<Outcome>) {
    let mut outcomes = block_on(case.attempt(&mut Device::new(engine, selection))).unwrap();
    outcomes.retain(|outcome| {
        let has = |program: &Program| {
            program.kernel.name == file || program.parts.iter().any(|part| part.name == file)
        };
        outcome.programs.iter().any(has)
    });
    (outcomes.len(), outcomes.into_iter().find(|outcome| !outcome.ok()))
}

#[test]
fn every_kernel_and_part_has_a_fault_and_every_format_two() {
    let all = all();
    for fault in &all {
        println!("fault\t{}\t{}", fault.name, fault.words);
    }
    let names: BTreeSet<&str> = all.iter().map(|fault| fault.name.as_str()).collect();
    assert_eq!(names.len(), all.len(), "a fault stands twice in the list");
    let of = |file: &str| all.iter().filter(|fault| fault.file == file).count();
    for kernel in KERNELS {
        assert!(of(kernel.name) >= 1, "{} has no fault", kernel.name);
    }
    for part in PARTS.iter().filter(|part| part.name.starts_with("weight_")) {
        assert!(of(part.name) >= 2, "{} has {} faults", part.name, of(part.name));
    }
}

#[test]
fn planted_faults_are_caught() {
    let asked = std::env::var("PELLUCID_FAULTS").ok();
    let faults = match &asked {
        None => some(),
        Some(names) => {
            let all = all();
            let one = |name| {
                let mut names = all.iter().map(|fault| fault.name.as_str());
                match names.position(|known| known == name) {
                    Some(at) => all[at].clone(),
                    None => {
                        let fault = wgsl::named(name);
                        Planted::from(&fault.unwrap_or_else(|| panic!("no fault is {name}")))
                    }
                }
            };
            names.split(',').map(one).collect()
        }
    };
    let caps = gpu().caps().clone();
    let mut survivors = Vec::new();
    for Planted { name, words, file, sabotage } in faults {
        if let Some(missing) = lacks(&caps, file) {
            println!("unable\t{name}\tthe adapter has no {missing}");
            continue;
        }
        match run(file, sabotage) {
            (0, _) => survivors.push(format!("{words}: no case runs it")),
            (_, None) if breaks_a_rule(file, sabotage) => {
                println!("caught\t{name}\t`sums_over_a_workgroup_leave_its_memory_free` (shaders)");
            }
            (judged, None) => survivors.push(format!("{words}: {judged} results are right")),
            (_, Some(outcome)) => println!("caught\t{name}\t{}", outcome.case),
        }
    }
    assert!(survivors.is_empty(), "not caught:\n{}", survivors.join("\n"));
}

/// Without a fault, the cases that catch them pass; otherwise they would catch anything.
#[test]
fn the_ceilings_kernels_calculate_what_they_say() {
    for kernel in KERNELS.iter().filter(|kernel| kernel.name.starts_with("ceiling_")) {
        let (judged, failed) = run(kernel.name, Sabotage::default());
        assert!(judged > 0 && failed.is_none(), "{}: {failed:?}", kernel.name);
    }
}
