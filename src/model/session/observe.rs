//! Observing a run: named values out, edits in.

use crate::error::{Error, Result};
use crate::gpu::{Recording, Tensor};
use crate::hook::Hook;
use crate::model::forward::{forward, logits};
use crate::model::hooks::{Action, offered, shape};
use crate::model::plan::pieces;
use crate::model::tape::{Marks, Tape};
use crate::ops::MASKED;

use super::state::{Row, Session, extent};

/// A named value over some rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Activation {
    /// Its name.
    pub hook: Hook,
    /// Its sizes, as [`Hook`] documents them: T is the number of rows, and the keys of scores and
    /// patterns are those of the furthest row.
    pub shape: Vec<usize>,
    /// Its values, row-major; scores that the mask hides are −∞.
    pub values: Vec<f32>,
}

/// The result of [`Session::observe`].
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The values read, in the order of the forward pass.
    pub activations: Vec<Activation>,
    /// (T, V).
    pub logits: Vec<f32>,
}

/// A named value that stays on the device.
#[derive(Clone, Debug, PartialEq)]
pub struct Resident {
    /// Its name.
    pub hook: Hook,
    /// Its sizes, as in [`Activation::shape`].
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
        let out = Tensor::persistent(rows.len(), self.model.config.vocab);
        self.engine.create_tensor(&out)?;
        let (recording, marks) = match self.record_with_actions(rows, actions, Some(out)) {
            Ok(recorded) => recorded,
            Err(error) => {
                self.engine.free(out.buffer);
                return Err(error);
            }
        };
        let submitted = self.submit_with_marks(rows, &recording, &marks);
        for (tensor, _) in &marks.inputs {
            self.engine.free(tensor.buffer);
        }
        let keys = extent(rows) as usize;
        let resident = |(hook, tensor): (Hook, Tensor)| {
            let shape = shape(&self.model.config, hook, rows.len(), keys);
            Resident { hook, shape, tensor }
        };
        let activations = marks.reads.into_iter().map(resident).collect();
        let kept = OnDevice { activations, logits: out };
        match submitted {
            Ok(()) => Ok(kept),
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

    /// Runs rows and returns the named values, in the order of the forward pass.
    ///
    /// # Errors
    /// As [`Session::fill`], and [`Error::Input`] for a value that the model does not have or for
    /// more rows than run at once.
    pub async fn values(&mut self, rows: &[Row], hooks: &[Hook]) -> Result<Vec<Activation>> {
        let reads: Vec<_> = hooks.iter().map(|hook| (*hook, Action::Read)).collect();
        self.run_with_actions(rows, &reads, None).await
    }

    /// Runs rows while reading and editing named values, and also returns their logits. Edits of
    /// one value apply in order, before it is read; edited keys and values stay edited in the
    /// cache.
    ///
    /// # Errors
    /// As [`Session::values`], and [`Error::Input`] for an edit that does not fit its value.
    pub async fn observe(&mut self, rows: &[Row], actions: &[(Hook, Action)]) -> Result<Observed> {
        let out = Tensor::persistent(rows.len(), self.model.config.vocab);
        self.engine.create_tensor(&out)?;
        let activations = self.run_with_actions(rows, actions, Some(out)).await;
        let logits = self.engine.read(&out).await;
        self.engine.free(out.buffer);
        Ok(Observed { activations: activations?, logits: logits? })
    }

    /// Runs rows with actions, and writes their logits into `logits_out` if it is given.
    async fn run_with_actions(
        &mut self,
        rows: &[Row],
        actions: &[(Hook, Action)],
        logits_out: Option<Tensor>,
    ) -> Result<Vec<Activation>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let (recording, marks) = self.record_with_actions(rows, actions, logits_out)?;
        let reads = marks.reads.iter().map(|(_, tensor)| tensor);
        let persistent: Vec<Tensor> =
            marks.inputs.iter().map(|(tensor, _)| tensor).chain(reads).copied().collect();
        let activations = self.run_and_read(rows, &recording, &marks).await;
        for tensor in persistent {
            self.engine.free(tensor.buffer);
        }
        activations
    }

    /// Records a run of rows with actions, after checking both.
    fn record_with_actions(
        &self,
        rows: &[Row],
        actions: &[(Hook, Action)],
        logits_out: Option<Tensor>,
    ) -> Result<(Recording, Marks)> {
        self.check(rows)?;
        if rows.len() > self.chunk {
            return Err(Error::Input(format!(
                "{} rows were given to observe, and this session runs at most {} at once; \
                 SessionOptions::chunk sets how many",
                rows.len(),
                self.chunk
            )));
        }
        for (hook, _) in actions {
            offered(&self.model.config, *hook)?;
        }
        let mut tape = Tape::with_actions(&self.selection, actions, extent(rows) as usize);
        let x = forward(&mut tape, &self.model, &self.caches, self.rows, rows.len())?;
        if let Some(out) = logits_out {
            logits(&mut tape, &self.model, x, None, out)?;
        }
        Ok(tape.finish())
    }

    /// Creates the tensors of the marks and runs the recording.
    fn submit_with_marks(
        &mut self,
        rows: &[Row],
        recording: &Recording,
        marks: &Marks,
    ) -> Result<()> {
        self.engine.write(self.rows, 0, bytemuck::cast_slice(rows))?;
        self.note(rows);
        for (tensor, values) in &marks.inputs {
            self.engine.create_tensor(tensor)?;
            self.engine.write_tensor(tensor, values)?;
        }
        for (_, tensor) in &marks.reads {
            self.engine.create_tensor(tensor)?;
        }
        let pieces = pieces(&self.model.config, &self.selection, rows.len());
        let pieces = self.engine.prepare(recording)?.in_pieces(pieces);
        self.engine.submit_pieces(&pieces, extent(rows), &[])?;
        Ok(())
    }

    /// Runs the recording, and reads back what was asked for.
    async fn run_and_read(
        &mut self,
        rows: &[Row],
        recording: &Recording,
        marks: &Marks,
    ) -> Result<Vec<Activation>> {
        self.submit_with_marks(rows, recording, marks)?;
        let config = &self.model.config;
        let mut activations = Vec::with_capacity(marks.reads.len());
        for &(hook, ref tensor) in &marks.reads {
            let mut values = self.engine.read(tensor).await?;
            if let Hook::AttnScores(layer) = hook {
                mask_scores(&mut values, tensor.columns, rows, config.window(layer));
            }
            let shape = shape(config, hook, rows.len(), extent(rows) as usize);
            activations.push(Activation { hook, shape, values });
        }
        Ok(activations)
    }
}

/// Sets scores to −∞ that the mask or an edit hides; the kernels write finite ones there.
fn mask_scores(scores: &mut [f32], keys: usize, rows: &[Row], window: Option<usize>) {
    for (scores, row) in scores.chunks_mut(keys).zip(rows.iter().cycle()) {
        let end = row.position as usize + 1;
        let seen = window.map_or(0, |window| end.saturating_sub(window))..end;
        for (key, score) in scores.iter_mut().enumerate() {
            if !seen.contains(&key) || *score <= MASKED {
                *score = f32::NEG_INFINITY;
            }
        }
    }
}
