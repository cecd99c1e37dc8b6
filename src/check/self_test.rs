//! Whether an adapter calculates rightly: its kernels held against their twins.
//!
//! [`doctor`] tries every variant that the adapter offers. [`verify_kernels`] tries those that a model uses,
//! and finds others where one is wrong; what passed is remembered, so that it costs time once.
//!
//! A variant that needs something special (see [`Need`](crate::gpu::Need)) and fails is excluded. One
//! that every device should run has nothing to take its place: an adapter that fails it is of no use.

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

/// How one variant of a kernel came out.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The kernel's name.
    pub kernel: String,
    /// Its parts, and the numbers that are chosen for a device.
    pub variant: String,
    /// The largest error of all its cases; none where a value was no number or the device failed.
    pub max_rel_err: Option<f64>,
    /// Whether every case was within its tolerance.
    pub ok: bool,
    /// The first case that failed, and how; empty where all is well.
    #[serde(skip)]
    pub reason: String,
    /// Whether nothing could take its place.
    #[serde(skip)]
    pub base: bool,
}

/// How an adapter came out.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One a variant, by name.
    pub verdicts: BTreeMap<String, Verdict>,
    /// Kernels and parts that are wrong and can be done without.
    pub excluded: BTreeSet<String>,
}

impl Report {
    /// Whether the adapter is of use: no variant fails that every device should run.
    pub fn ok(&self) -> bool {
        self.verdicts.values().all(|verdict| verdict.ok || !verdict.base)
    }

    /// Notes an outcome. Of several programs that failed together those with special needs are to
    /// blame, if there are any: were it another, it would fail without them too.
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

    /// Takes in what came out of another share.
    pub fn join(&mut self, other: Self) {
        for (name, other) in other.verdicts {
            match self.verdicts.entry(name) {
                // Of two opinions the worse one counts.
                Entry::Occupied(own) if !own.get().ok || other.ok => {}
                Entry::Occupied(mut own) => _ = own.insert(other),
                Entry::Vacant(place) => _ = place.insert(other),
            }
        }
        self.excluded.extend(other.excluded);
    }

    /// Fails if the adapter is of no use.
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

/// A share of all that there is to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shard {
    /// The linear maps, in all formats.
    Linear,
    /// All else.
    Rest,
}

impl Shard {
    /// Both; they take about as long.
    pub const ALL: [Self; 2] = [Self::Linear, Self::Rest];
}

/// Tries every variant that the adapter offers of one share of the kernels; `progress` hears how many
/// cases are done, and how many there are. Most of the time goes into compiling, so that two devices
/// in two threads, each with its share, take little more than half of it.
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
            for outcome in device.attempt(case.as_ref()).await? {
                report.note(&outcome);
            }
        }
        // Only programs that no earlier choice had are left for the next.
        device.filter.end_round();
    }
    Ok(report)
}

/// Runs of one program that are enough where time is short.
const ENOUGH: usize = 2;

/// Tries the programs that a model uses and that did not pass before; where one is wrong, excludes it
/// and tries what takes its place. Gives the choices that came out right, with the engine; `record`
/// holds what was learned.
///
/// `programs` tells what the model runs with some choices; `heads` are its query heads, key heads and
/// their width.
///
/// # Errors
/// [`Error::Wrong`] where nothing right is left.
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
    // What learns has a loss.
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
                for outcome in device.attempt(case.as_ref()).await? {
                    report.note(&outcome);
                }
            }
        }
        report.check(&adapter)?;
        let Report { verdicts, mut excluded } = report;
        for name in wanted.iter().filter(|name| !verdicts.contains_key(*name)) {
            log::warn!("{adapter}: {name} was not tried");
        }
        for Verdict { kernel, variant, reason, .. } in verdicts.values().filter(|v| !v.ok) {
            log::warn!("{adapter}: {kernel} ({variant}) is wrong and not used: {reason}");
        }
        // A part that is wrong somewhere has passed nowhere: it may only have been lucky.
        let suspect = |name: &str| name.split(['+', ' ']).any(|word| excluded.contains(word));
        let right = verdicts.into_iter().filter(|(name, verdict)| verdict.ok && !suspect(name));
        record.passed.extend(right.map(|(name, _)| name));
        if excluded.is_empty() {
            return Ok((device.into_engine(), selection));
        }
        record.profile.excluded.append(&mut excluded);
        selection = KernelSelection::new(&caps, record.profile.clone());
    }
}
