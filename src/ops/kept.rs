//! The part `kept`: a second copy of what an op adds up.

use crate::gpu::{Binding, Program, Tensor};

use crate::select::part;

/// Fills a kernel's `kept` slot.
pub(super) fn keeping(program: Program, kept: Option<Tensor>) -> Program {
    program.part(part(if kept.is_some() { "kept_copy" } else { "kept_none" }))
}

/// What the slot binds, in group 3.
pub(super) fn kept_binding(kept: Option<Tensor>) -> Option<Binding> {
    kept.map(|kept| Binding::Write(kept.buffer))
}
