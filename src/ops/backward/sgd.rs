//! `sgd`: the SGD update of parameters.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, params};
use crate::ops::op::{Op, grid_1d, to_u32, whole_vec4s};
use crate::select::{KernelSelection, kernel, part};

/// Updates parameters by SGD, and resets their gradient to 0.
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    /// The parameters.
    pub parameters: BufferId,
    /// Their gradient.
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
        vec4s: u32,
    }
}

impl Op for Sgd {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { parameters, gradient, count, settings, clip } = self;
        let vec4s = whole_vec4s("sgd", *count)?;
        let params = Params { vec4s: to_u32(vec4s) };
        recording
            .dispatch(Program::new(kernel("sgd")).part(part("optimizer_settings")), &params)
            .write(0, *parameters)
            .write(0, *gradient)
            .read(0, *settings)
            .read(0, *clip)
            .grid(grid_1d(vec4s.div_ceil(64)));
        Ok(())
    }
}
