//! Named values of the reference, read and changed as on a device.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::hook::Hook;
use crate::model::{Action, Activation, Bound};
use crate::reference::Observer;

/// Reads and edits values of rows that begin at a position.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    edits: &'a [Bound],
    reads: &'a [Hook],
    first: usize,
    seen: Vec<Activation>,
    /// The first fault of an edit.
    failed: Option<Error>,
}

impl<'a> Watch<'a> {
    /// Of the rows from position `first` on.
    pub(super) fn new(edits: &'a [Bound], reads: &'a [Hook], first: usize) -> Self {
        Self { edits, reads, first, seen: Vec::new(), failed: None }
    }

    /// The values read, in the order of the forward pass.
    ///
    /// # Errors
    /// Those of functions and ops of the caller's, after which nothing that was computed counts.
    pub(super) fn finish(mut self) -> Result<Vec<Activation>> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.seen.sort_by_key(|activation| activation.hook.place());
        Ok(self.seen)
    }
}

impl Observer for Watch<'_> {
    fn wants(&self, hook: Hook) -> bool {
        self.reads.contains(&hook) || self.edits.iter().any(|edit| edit.hook == hook)
    }

    fn see(&mut self, hook: Hook, shape: &[usize], values: &mut [f64]) {
        for edit in self.edits.iter().filter(|edit| edit.hook == hook) {
            if self.failed.is_none() {
                self.failed = edit.apply(shape, values, self.first).err();
            }
        }
        // A value that is computed for several branches is read once.
        if self.reads.contains(&hook) && !self.seen.iter().any(|seen| seen.hook == hook) {
            let values = values.iter().map(|value| *value as f32).collect();
            self.seen.push(Activation { hook, shape: shape.to_vec(), values });
        }
    }
}

/// The values to read and the edits among actions on a text of so many tokens.
pub(super) fn bind(
    config: &Config,
    actions: &[(Hook, Action)],
    tokens: usize,
) -> Result<(Vec<Hook>, Vec<Bound>)> {
    let (mut reads, mut edits) = (Vec::new(), Vec::new());
    for (hook, action) in actions {
        crate::model::offered(config, *hook)?;
        match action {
            Action::Read => reads.push(*hook),
            Action::Edit(edit) => edits.push(edit.bind_to(config, *hook, tokens)?),
        }
    }
    Ok((reads, edits))
}
