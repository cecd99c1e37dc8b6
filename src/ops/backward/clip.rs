//! `clip`: the norm of all gradients, and the factor that clips them.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, params};
use crate::ops::op::{Op, to_u32};
use crate::select::{KernelSelection, kernel, part};

/// The norm of all gradients, and the factor that clips them.
#[derive(Clone, Copy, Debug)]
pub struct Clip {
    /// The results of [`SquareSum`](super::SquareSum).
    pub partials: BufferId,
    /// How many parts.
    pub count: usize,
    /// The [`OptimizerSettings`](super::OptimizerSettings) of the step.
    pub settings: BufferId,
    /// Where the [`Clipping`](super::Clipping) goes.
    pub out: BufferId,
}

params! {
    struct Params {
        count: u32,
    }
}

impl Op for Clip {
    fn record(&self, recording: &mut Recording, selection: &KernelSelection) -> Result<()> {
        let Self { partials, count, settings, out } = self;
        let params = Params { count: to_u32(*count) };
        let program = selection
            .reduce_over(*count)
            .apply(Program::new(kernel("clip")))
            .part(part("optimizer_settings"));
        recording
            .dispatch(program, &params)
            .read(0, *partials)
            .read(0, *settings)
            .write(0, *out)
            .grid([1, 1, 1]);
        Ok(())
    }
}
