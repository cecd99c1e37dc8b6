//! The outcome of a run: its error, tolerance and reason.

use crate::gpu::Program;
use crate::measure;

/// The outcome of one run of one op.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What ran.
    pub programs: Vec<Program>,
    /// The case, as text.
    pub case: String,
    /// ‖found − twin‖ / ‖twin‖, or another measure that is 0 if everything is right; infinite if a
    /// value was not finite or the device failed.
    pub error: f64,
    /// The largest error that is accepted.
    pub tolerance: f64,
    /// What went wrong; empty if nothing did.
    pub reason: String,
}

impl Outcome {
    /// Whether the error is within the tolerance.
    pub fn ok(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// Constants that the selection sets; the others follow from shapes and flags.
const CHOSEN: [&str; 5] = ["WG", "LANES", "WG_N", "WG_T", "TILE"];

/// The name of a variant: kernel, parts, and the constants chosen for the device.
pub fn variant(program: &Program) -> String {
    let mut name = program.clone();
    name.constants.retain(|(name, _)| CHOSEN.contains(name));
    name.label()
}

/// ‖found − twin‖ / ‖twin‖, and the worst value as text; infinite if a value is missing or not
/// finite.
pub(super) fn compare(found: &[f32], twin: &[f64], tolerance: f64) -> (f64, String) {
    if found.len() != twin.len() {
        return (f64::INFINITY, format!("{} values, not {}", found.len(), twin.len()));
    }
    if let Some(at) = found.iter().position(|value| !value.is_finite()) {
        return (f64::INFINITY, format!("value {at} is {}, not {}", found[at], twin[at]));
    }
    let error = measure::relative_error(found, twin);
    let gaps = found.iter().zip(twin).map(|(f, t)| (f64::from(*f) - t).abs()).enumerate();
    let furthest = gaps.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|_| error > tolerance);
    let words = |(at, _): (usize, f64)| format!("value {at} is {}, not {}", found[at], twin[at]);
    (error, furthest.map(words).unwrap_or_default())
}
