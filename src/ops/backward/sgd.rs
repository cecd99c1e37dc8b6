//! `sgd`: parameters move against their gradient.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, params};
use crate::ops::choices::Choices;
use crate::ops::kernels::{kernel, part};
use crate::ops::op::{Op, spread, whole_fours, word};

/// Moves parameters against their gradient, and makes that 0.
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    /// What moves.
    pub parameters: BufferId,
    /// Its gradient.
    pub gradient: BufferId,
    /// Values in each; a multiple of four.
    pub count: usize,
    /// The [`OptimizerSettings`](super::OptimizerSettings) of the step.
    pub settings: BufferId,
    /// The [`Clipping`](super::Clipping) that [`Clip`](super::Clip) found.
    pub clip: BufferId,
}

params! {
    struct Params {
        fours: u32,
    }
}

impl Op for Sgd {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { parameters, gradient, count, settings, clip } = self;
        let fours = whole_fours("sgd", *count)?;
        let params = Params { fours: word(fours) };
        recording
            .dispatch(Program::new(kernel("sgd")).part(part("optimizer_settings")), &params)
            .write(0, *parameters)
            .write(0, *gradient)
            .read(0, *settings)
            .read(0, *clip)
            .grid(spread(fours.div_ceil(64)));
        Ok(())
    }
}
