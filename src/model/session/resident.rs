//! Observing a run whose values stay on the device.

use crate::error::{Error, Result};
use crate::gpu::{BufferId, Tensor};
use crate::hook::Hook;
use crate::model::edit::Action;
use crate::model::hooks::{offered, shape};
use crate::model::memory::pieces;

use super::observe::{Wanted, reads};
use super::rows::{Row, extent};
use super::state::Session;

/// A named value that stays on the device.
#[derive(Clone, Debug, PartialEq)]
pub struct Resident {
    /// Its name.
    pub hook: Hook,
    /// Its sizes, as in [`Activation::shape`](super::Activation::shape).
    pub shape: Vec<usize>,
    /// Its tensor, with a row for each row of values, padded to [`Tensor::stride`]. The first size
    /// is its rows and the product of the others its columns; for scores and patterns all sizes but
    /// the last are its rows. Scores that the mask hides are below −10³⁰.
    pub tensor: Tensor,
}

/// What [`Session::observe_on_device`] leaves on the device, until [`Session::release`].
#[derive(Debug)]
pub struct OnDevice {
    /// The values read, in the order of the forward pass.
    pub activations: Vec<Resident>,
    /// (T, V).
    pub logits: Tensor,
}

impl Session {
    /// Runs rows while reading and editing named values, as [`Session::observe`] does, but reads
    /// nothing back: values and logits stay in buffers that an app's own passes can use, through
    /// [`Engine::buffer`](crate::gpu::Engine::buffer). Does not wait.
    ///
    /// # Errors
    /// As [`Session::observe`]; [`Error::Input`] for no rows.
    pub fn observe_on_device(
        &mut self,
        rows: &[Row],
        actions: &[(Hook, Action)],
    ) -> Result<OnDevice> {
        if rows.is_empty() {
            return Err(Error::Input("there are no rows to observe".to_owned()));
        }
        self.check(rows)?;
        let reads = reads(actions);
        reads.iter().try_for_each(|hook| offered(&self.model.config, *hook))?;
        let most = self.rows_at_once(&reads, extent(rows) as usize)?;
        if rows.len() > most {
            return Err(Error::Input(format!(
                "{} rows were given to stay on the device, which runs at most {most} of them at once",
                rows.len(),
            )));
        }
        let edits = self.bind(rows, actions)?;
        if let Some(edit) = edits.iter().find(|edit| edit.stops()) {
            return Err(Error::Input(format!(
                "values stay on the device where nothing waits for it, and a function changes {}",
                edit.hook
            )));
        }
        let own = self.edits.len();
        let out = Tensor::persistent(rows.len(), self.model.config.vocab);
        let wanted = Wanted { out, index: BufferId::fresh(), top: None };
        let (recording, marks) = self.record(rows, &reads, &edits, Some(wanted))?;
        let submitted = self.engine.create_tensor(&out).and_then(|()| {
            edits[own..].iter().try_for_each(|edit| self.write_operand(edit))?;
            self.begin(rows, &marks)?;
            let pieces = pieces(&self.model.config, &self.selection, rows.len());
            let pieces = self.engine.prepare(&recording)?.in_pieces(pieces);
            self.engine.submit_pieces(&pieces, extent(rows), &[])
        });
        self.free_operands(&edits[own..]);
        let keys = extent(rows) as usize;
        let resident = |(hook, tensor): (Hook, Tensor)| {
            let shape = shape(&self.model.config, hook, rows.len(), keys);
            Resident { hook, shape, tensor }
        };
        let activations = marks.reads.into_iter().map(resident).collect();
        let kept = OnDevice { activations, logits: out };
        match submitted {
            Ok(_) => Ok(kept),
            Err(error) => {
                self.release(kept);
                Err(error)
            }
        }
    }

    /// Frees what was left on the device; passes that use it keep it until they end.
    pub fn release(&mut self, kept: OnDevice) {
        self.engine.free(kept.logits.buffer);
        for activation in kept.activations {
            self.engine.free(activation.tensor.buffer);
        }
    }
}
