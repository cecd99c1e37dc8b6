//! The part `softcap`.

use crate::gpu::Program;

use crate::select::part;

/// Fills a kernel's `softcap` slot.
pub(super) fn capped(program: Program, cap: Option<f64>) -> Program {
    let program = program.part(part("softcap"));
    cap.into_iter().fold(program, |program, cap| program.constant("SOFTCAP", cap))
}
