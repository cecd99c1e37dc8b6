//! How runs came out, and which are still to be made.

use std::collections::{BTreeMap, BTreeSet};

use crate::gpu::Program;

/// How one run of one op came out.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What ran.
    pub programs: Vec<Program>,
    /// The case, in words.
    pub case: String,
    /// ‖found − twin‖ / ‖twin‖, or another measure that is 0 where all is right; NaN where a value
    /// was no number or the device failed.
    pub error: f64,
    /// The largest error that is right.
    pub tolerance: f64,
    /// What went wrong, in words; empty where nothing did.
    pub reason: String,
}

impl Outcome {
    /// Whether the error is within the tolerance.
    pub fn ok(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// Which programs are still to be tried, and how often each was.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Only these, by [`variant`]; all without.
    pub(super) only: Option<BTreeSet<String>>,
    /// Programs that have had their turn.
    pub(super) done: BTreeSet<String>,
    pub(super) runs: BTreeMap<String, usize>,
    /// Runs that are enough for one program.
    pub(super) enough: usize,
}

impl Wanted {
    /// Whether a program should run; counts it if so.
    pub(super) fn take(&mut self, program: &Program) -> bool {
        let name = variant(program);
        let asked = self.only.as_ref().is_none_or(|only| only.contains(&name));
        if !asked || self.done.contains(&name) {
            return false;
        }
        let runs = self.runs.entry(name).or_default();
        *runs += 1;
        *runs <= self.enough
    }
}

/// Numbers that a choice sets; the others follow from shapes and flags.
const CHOSEN: [&str; 5] = ["WG", "LANES", "WG_N", "WG_T", "TILE"];

/// The name of a variant: kernel, parts, and the numbers that were chosen for the device.
pub fn variant(program: &Program) -> String {
    let mut name = program.clone();
    name.constants.retain(|(name, _)| CHOSEN.contains(name));
    name.label()
}

/// ‖found − twin‖ / ‖twin‖, and the furthest value in words.
pub(super) fn compare(found: &[f32], twin: &[f64], tolerance: f64) -> (f64, String) {
    if found.len() != twin.len() {
        return (f64::NAN, format!("{} values, not {}", found.len(), twin.len()));
    }
    if let Some(at) = found.iter().position(|value| !value.is_finite()) {
        return (f64::NAN, format!("value {at} is {}, not {}", found[at], twin[at]));
    }
    let error = distance(found, twin);
    let gaps = found.iter().zip(twin).map(|(f, t)| (f64::from(*f) - t).abs()).enumerate();
    let furthest = gaps.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|_| error > tolerance);
    let words = |(at, _): (usize, f64)| format!("value {at} is {}, not {}", found[at], twin[at]);
    (error, furthest.map(words).unwrap_or_default())
}

/// The relative L2 error; the divisor is at least the smallest normal f32, since kernels may take
/// what lies below it for zero.
pub(super) fn distance(found: &[f32], twin: &[f64]) -> f64 {
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
    let gap = squares(&mut found.iter().zip(twin).map(|(f, t)| f64::from(*f) - t));
    let size = squares(&mut twin.iter().copied());
    gap.sqrt() / size.sqrt().max(f64::from(f32::MIN_POSITIVE))
}
