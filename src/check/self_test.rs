//! Whether an adapter computes correctly: its kernels are compared with their twins.
//!
//! [`doctor`] tests every variant that the adapter offers. [`verify_kernels`] tests those that a
//! model uses, and replaces wrong ones; what passed is recorded, so that it costs time only once.
//!
//! A variant that needs something special (see [`Need`](crate::gpu::Need)) and fails is excluded.
//! One that every device should run has no replacement: an adapter that fails it is unusable.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::gpu::{Engine, Need, Program};
use crate::select::KernelSelection;
use crate::tune::Record;

use super::device::Device;
use super::outcome::{Outcome, variant};
use super::run_filter::RunFilter;
use super::suites::{self, Suite};

/// The result of one variant of a kernel.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The kernel's name.
    pub kernel: String,
    /// Its parts, and the constants chosen for the device.
    pub variant: String,
    /// The largest error over all its cases; `None` if a value was not finite or the device failed.
    pub max_rel_err: Option<f64>,
    /// Whether every case was within its tolerance.
    pub ok: bool,
    /// The first case that failed, and how; empty if none did.
    #[serde(skip)]
    pub reason: String,
    /// Whether nothing could replace it.
    #[serde(skip)]
    pub base: bool,
}

/// The result of an adapter.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One per variant, by name.
    pub verdicts: BTreeMap<String, Verdict>,
    /// Kernels and parts that are wrong and can be replaced.
    pub excluded: BTreeSet<String>,
}

impl Report {
    /// Whether the adapter is usable: no variant that every device should run fails.
    pub fn ok(&self) -> bool {
        self.verdicts.values().all(|verdict| verdict.ok || !verdict.base)
    }

    /// Records an outcome. If several programs failed together, those with special needs are
    /// blamed, if there are any: any other would fail without them too.
    fn note(&mut self, outcome: &Outcome) {
        let ok = outcome.ok();
        let blamed = |program: &&Program| ok || special(program);
        let mut programs: Vec<&Program> = outcome.programs.iter().filter(blamed).collect();
        if programs.is_empty() {
            programs = outcome.programs.iter().collect();
        }
        for program in programs {
            let name = variant(program);
            let kernel = program.kernel.name;
            let verdict = self.verdicts.entry(name.clone()).or_insert_with(|| Verdict {
                kernel: kernel.to_owned(),
                variant: name[kernel.len()..].trim_start_matches(['+', ' ']).to_owned(),
                max_rel_err: Some(0.0),
                ok: true,
                reason: String::new(),
                base: !special(program),
            });
            let error = outcome.error.is_finite().then_some(outcome.error);
            verdict.max_rel_err = verdict.max_rel_err.zip(error).map(|(a, b)| a.max(b));
            if !ok && verdict.ok {
                verdict.ok = false;
                verdict.reason = format!("{} in {}", outcome.reason, outcome.case);
                self.excluded.extend(wrong(program).map(str::to_owned));
            }
        }
    }

    /// Merges the report of another shard.
    pub fn join(&mut self, other: Self) {
        for (name, other) in other.verdicts {
            match self.verdicts.entry(name) {
                // Of two verdicts the worse one counts.
                Entry::Occupied(own) if !own.get().ok || other.ok => {}
                Entry::Occupied(mut own) => _ = own.insert(other),
                Entry::Vacant(place) => _ = place.insert(other),
            }
        }
        self.excluded.extend(other.excluded);
    }

    /// Fails if the adapter is unusable.
    ///
    /// # Errors
    /// [`Error::Wrong`], naming the kernels.
    pub fn check(&self, adapter: &str) -> Result<()> {
        let failed = self.verdicts.iter().filter(|(_, verdict)| !verdict.ok && verdict.base);
        let (kernels, reasons): (Vec<String>, Vec<&str>) =
            failed.map(|(name, verdict)| (name.clone(), verdict.reason.as_str())).unzip();
        let Some(reason) = reasons.first() else { return Ok(()) };
        Err(Error::Wrong { adapter: adapter.to_owned(), kernels, reason: (*reason).to_owned() })
    }
}

/// Whether a program needs what some devices lack.
fn special(program: &Program) -> bool {
    program.needs().next().is_some()
}

/// The kernel, or the parts, without which a program needs nothing special.
fn wrong(program: &Program) -> impl Iterator<Item = &'static str> {
    let needs = |needs: &[Need]| !needs.is_empty();
    let kernel = program.kernel;
    let parts = program.parts.iter().filter(move |part| needs(part.needs)).map(|part| part.name);
    needs(kernel.needs).then_some(kernel.name).into_iter().chain(parts)
}

/// A shard of all the cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shard {
    /// The linear layers, in all formats.
    Linear,
    /// Everything else.
    Rest,
}

impl Shard {
    /// Both; they take about the same time.
    pub const ALL: [Self; 2] = [Self::Linear, Self::Rest];
}

/// Tests every variant that the adapter offers of one shard of the kernels; `progress` is called
/// with the number of cases done and their total. Most of the time goes into compilation, so two
/// devices in two threads, each with its shard, take little more than half of it.
///
/// # Errors
/// [`Error::Device`] if the device is lost, [`Error::Memory`] if it has too little.
pub async fn doctor(
    engine: Engine,
    shard: Shard,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Report> {
    let caps = engine.gpu().caps().clone();
    let mut device = Device::new(engine, KernelSelection::defaults(&caps));
    let mut report = Report::default();
    let selection = KernelSelection::all(&caps);
    let Suite { once, variants } = match shard {
        Shard::Linear => suites::linear(),
        Shard::Rest => suites::rest(),
    };
    let total = once.len() + selection.len() * variants.len();
    let mut done = 0;
    for (i, selection) in selection.into_iter().enumerate() {
        device.selection = selection;
        let first = once.iter().filter(|_| i == 0);
        for case in first.chain(&variants) {
            progress(done, total);
            done += 1;
            for outcome in case.attempt(&mut device).await? {
                report.note(&outcome);
            }
        }
        // The next selection runs only programs that no earlier one had.
        device.filter.end_round();
    }
    Ok(report)
}

/// Enough runs of one program when time is short.
const ENOUGH: usize = 2;

/// Tests the programs that a model uses and that have not passed before; if one is wrong, excludes
/// it and tests its replacement. Returns the engine and a selection that passed; `record` holds
/// what was learned.
///
/// `programs` lists what the model runs with a given selection; `heads` are its query heads, key
/// heads and their width.
///
/// # Errors
/// [`Error::Wrong`] if no correct variant is left.
pub async fn verify_kernels(
    engine: Engine,
    record: &mut Record,
    heads: [usize; 3],
    programs: &dyn Fn(&KernelSelection) -> Result<Vec<Program>>,
) -> Result<(Engine, KernelSelection)> {
    let caps = engine.gpu().caps().clone();
    let adapter = engine.gpu().adapter().name.clone();
    let mut selection = KernelSelection::new(&caps, record.profile.clone());
    let mut device = Device::new(engine, selection.clone());
    #[cfg_attr(not(feature = "train"), expect(unused_mut, reason = "training adds cases"))]
    let mut table = suites::quick(heads);
    // A model that is trained has a loss.
    #[cfg(feature = "train")]
    if programs(&selection)?.iter().any(|program| program.kernel.name == "cross_entropy") {
        table.extend(suites::quick_training(heads));
    }
    loop {
        let used: BTreeSet<String> = programs(&selection)?.iter().map(variant).collect();
        let wanted: BTreeSet<String> = used.difference(&record.passed).cloned().collect();
        if wanted.is_empty() {
            return Ok((device.into_engine(), selection));
        }
        let mut report = Report::default();
        device.filter = RunFilter::only(wanted.clone(), ENOUGH);
        for trial in selection.trials() {
            device.selection = trial;
            for case in &table {
                for outcome in case.attempt(&mut device).await? {
                    report.note(&outcome);
                }
            }
        }
        report.check(&adapter)?;
        let Report { verdicts, mut excluded } = report;
        for name in wanted.iter().filter(|name| !verdicts.contains_key(*name)) {
            log::warn!("{adapter}: {name} was not tested");
        }
        for Verdict { kernel, variant, reason, .. } in verdicts.values().filter(|v| !v.ok) {
            log::warn!("{adapter}: {kernel} ({variant}) is wrong and not used: {reason}");
        }
        // A part that fails in one variant counts as failed in all: the others may only have been
        // lucky.
        let uses_excluded = |name: &str| name.split(['+', ' ']).any(|word| excluded.contains(word));
        let right =
            verdicts.into_iter().filter(|(name, verdict)| verdict.ok && !uses_excluded(name));
        record.passed.extend(right.map(|(name, _)| name));
        if excluded.is_empty() {
            return Ok((device.into_engine(), selection));
        }
        record.profile.excluded.append(&mut excluded);
        selection = KernelSelection::new(&caps, record.profile.clone());
    }
}
