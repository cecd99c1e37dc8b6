//! Plans that stop where a function of the caller's changes a value on the host.

use crate::config::Config;
use crate::error::Result;
use crate::gpu::{BufferId, Engine, Plan, Readback, Recording};
use crate::hook::Hook;
use crate::model::bound::Layout;
use crate::model::hook_fn::Place;
use crate::model::tape::{Call, Marks};

use super::rows::{Row, extent};

/// A plan in stages, each submitted by itself. Most plans stop nowhere: theirs are the pieces of work
/// into which a long one is cut.
#[derive(Debug)]
pub(crate) struct Staged {
    /// At least one; the last has no call.
    stages: Vec<Stage>,
    /// The buffers that hold the values at the calls.
    own: Vec<BufferId>,
}

/// Some dispatches, and what the host does after them.
#[derive(Debug)]
struct Stage {
    plan: Plan,
    call: Option<Call>,
}

impl Staged {
    /// Prepares a recording in about so many pieces, and creates what its calls need.
    ///
    /// # Errors
    /// As [`Engine::prepare`] and [`Engine::create`].
    pub(crate) fn prepare(
        engine: &mut Engine,
        recording: &Recording,
        marks: &Marks,
        pieces: usize,
    ) -> Result<Self> {
        let own = marks.stopped.iter().map(|tensor| tensor.buffer).collect();
        let mut staged = Self { stages: Vec::new(), own };
        let made = marks.stopped.iter().try_for_each(|tensor| engine.create_tensor(tensor));
        let mut rest = match made.and_then(|()| engine.prepare(recording)) {
            Ok(plan) => plan,
            Err(error) => {
                staged.free(engine);
                return Err(error);
            }
        };
        let (whole, mut done) = (rest.len().max(1), 0);
        for call in &marks.calls {
            let later = rest.split_off(call.at - done);
            done = call.at;
            staged.add(rest, Some(call.clone()), [pieces, whole]);
            rest = later;
        }
        staged.add(rest, None, [pieces, whole]);
        Ok(staged)
    }

    /// Adds dispatches in their share of the pieces.
    fn add(&mut self, plan: Plan, call: Option<Call>, [pieces, whole]: [usize; 2]) {
        let share = (pieces * plan.len()).div_ceil(whole);
        let mut pieces = plan.in_pieces(share);
        let plan = pieces.pop().unwrap_or_default();
        self.stages.extend(pieces.into_iter().map(|plan| Stage { plan, call: None }));
        self.stages.push(Stage { plan, call });
    }

    /// How many stages there are.
    pub(crate) fn len(&self) -> usize {
        self.stages.len()
    }

    /// Whether it stops for the host.
    pub(crate) fn stops(&self) -> bool {
        self.stages.iter().any(|stage| stage.call.is_some())
    }

    /// Runs all stages over these rows, then copies the named ranges for the host.
    ///
    /// # Errors
    /// As [`Engine::submit`], and those of the functions.
    pub(crate) async fn run(
        &self,
        engine: &mut Engine,
        config: &Config,
        rows: &[Row],
        reads: &[(BufferId, u64, u64)],
    ) -> Result<Option<Readback>> {
        let last = self.len() - 1;
        for stage in 0..last {
            self.run_stage(stage, engine, config, rows, &[]).await?;
        }
        self.run_stage(last, engine, config, rows, reads).await
    }

    /// The same with one stage. Waits for it only if a function follows it.
    ///
    /// # Errors
    /// As [`Staged::run`].
    pub(crate) async fn run_stage(
        &self,
        stage: usize,
        engine: &mut Engine,
        config: &Config,
        rows: &[Row],
        reads: &[(BufferId, u64, u64)],
    ) -> Result<Option<Readback>> {
        let (Stage { plan, call }, extent) = (&self.stages[stage], extent(rows));
        let Some(Call { edit, value, .. }) = call else {
            return engine.submit(&[(plan, extent)], reads);
        };
        let whole = value.of.range();
        if let Some(readback) = engine.submit(&[(plan, extent)], &[whole])? {
            let bytes = engine.finish(readback).await?;
            let mut x: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
            let place = |row: &Row| Place { position: row.position, sequence: row.sequence };
            let places: Vec<Place> = rows.iter().map(place).collect();
            let (mut width, mut window) = (edit.width(*value), None);
            if let Hook::AttnScores(layer) | Hook::Pattern(layer) = edit.hook {
                // A plan for any position gives room to all keys that the context has.
                (width, window) = (width.min(extent as usize), config.window(layer));
            }
            let layout =
                Layout { stride: value.of.stride(), start: value.start, step: value.step, width };
            if edit.call(&places, &mut x, layout, window)? {
                engine.write(value.of.buffer, 0, bytemuck::cast_slice(&x))?;
            }
        }
        if reads.is_empty() { Ok(None) } else { engine.submit(&[], reads) }
    }

    /// Frees the buffers of the calls.
    pub(crate) fn free(&self, engine: &mut Engine) {
        self.own.iter().for_each(|buffer| engine.free(*buffer));
    }
}
