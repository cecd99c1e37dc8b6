//! Edits that hold for every run of a session, and values that prefill and decode keep.

use crate::error::Result;
use crate::gpu::BufferId;
use crate::hook::Hook;
use crate::model::bound::Bound;
use crate::model::edit::Edit;
use crate::model::hooks::offered;
use crate::model::tape::Tape;

use super::state::Session;

impl Session {
    /// Changes named values in every run from now on: in prefill, in decode, in scores and in
    /// observations. An empty list ends that. The caches keep what earlier runs wrote: keys and
    /// values that were made with other edits are for the caller to fill anew.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) for an edit that does not fit the model,
    /// [`Error::Memory`](crate::Error::Memory) if the device has no room for its tensor; the edits
    /// are then as before.
    pub fn set_edits(&mut self, edits: &[(Hook, Edit)]) -> Result<()> {
        let bind =
            |(hook, edit): &(Hook, Edit)| edit.bind(&self.model.config, *hook, self.context());
        let edits = edits.iter().map(bind).collect::<Result<Vec<_>>>()?;
        for (made, edit) in edits.iter().enumerate() {
            if let Err(error) = self.write_operand(edit) {
                self.free_operands(&edits[..made]);
                return Err(error);
            }
        }
        let before = std::mem::replace(&mut self.edits, edits);
        self.free_operands(&before);
        self.forget_plans();
        Ok(())
    }

    /// Keeps these values of every row that prefill reads and decode adds.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) for a value that the model does not have.
    pub(crate) fn keep(&mut self, hooks: &[Hook]) -> Result<()> {
        hooks.iter().try_for_each(|hook| offered(&self.model.config, *hook))?;
        if self.kept != hooks {
            self.kept = hooks.to_vec();
            self.forget_plans();
        }
        Ok(())
    }

    /// Frees the tensors that edits read.
    pub(super) fn free_operands(&mut self, edits: &[Bound]) {
        let operands = edits.iter().filter_map(|edit| edit.input());
        operands.for_each(|(operand, _)| self.engine.free(operand.buffer));
    }

    /// A tape for runs of any position, with the session's edits and the values that it keeps.
    pub(crate) fn tape(&self, rows: BufferId) -> Tape<'_> {
        Tape::with_edits(&self.selection, &self.kept, &self.edits, rows, usize::MAX)
    }
}
