//! Functions of the caller's own that read and change a named value while a model runs.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;
use crate::hook::Hook;

/// A function that gets a named value in the middle of a run, and may change it; the model goes on with
/// what it leaves. It is a [`Change`](super::Change) like any other, so it works wherever edits do, in
/// the prompt and with every token that is drawn.
///
/// A run on a device stops at the value, hands it to the host and takes it back, in every layer that has
/// a function: expect a decoding step to take as long as these copies and waits do. Changes that can be
/// written as another [`Change`](super::Change) or as an [`OwnOp`](super::OwnOp) need none of that.
///
/// The function is called for each part of a text as it is read, so a long prompt comes in several calls;
/// [`HookValue::rows`] says which tokens a call is about. Where several branches compute a value of their
/// own (the norm of split queries, keys and values), it is called for each; and where logits are not
/// finite, once more while the layer at fault is looked for.
#[derive(Clone)]
pub struct HookFn(Arc<Mutex<Function>>);

type Function = dyn FnMut(HookValue<'_>) -> Result<()> + Send;

/// What a [`HookFn`] gets: a named value, or the part of it that the edit names.
#[derive(Debug)]
pub struct HookValue<'a> {
    /// The value's name.
    pub hook: Hook,
    /// Its sizes in the order that [`Hook`] documents, of the part that the edit names.
    pub shape: &'a [usize],
    /// The token of each of its rows, the size T.
    pub rows: &'a [Place],
    /// Its values, row-major. What the function leaves here is what the model goes on with; it must be
    /// finite. Scores that the mask hides are −∞ and stay hidden whatever is written there; a score that
    /// is set to −∞ becomes hidden.
    pub values: &'a mut [f32],
}

/// Where a row of a value belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The position in its sequence.
    pub position: u32,
    /// The sequence, where several texts run side by side.
    pub sequence: u32,
}

impl HookFn {
    /// Wraps a function. An error that it returns ends the run.
    pub fn new(function: impl FnMut(HookValue<'_>) -> Result<()> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(function)))
    }

    pub(super) fn call(&self, value: HookValue<'_>) -> Result<()> {
        // What a panic of the function left behind is the function's own.
        let mut function = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (*function)(value)
    }
}

/// The same function, not one that does the same.
impl PartialEq for HookFn {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for HookFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookFn")
    }
}
