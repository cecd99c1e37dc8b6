//! `adam_w`: the `AdamW` update of parameters.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, params};
use crate::ops::op::{Op, grid_1d, to_u32, whole_vec4s};
use crate::select::{KernelSelection, kernel, part};

/// Updates parameters by `AdamW`, and resets their gradient to 0.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// The parameters.
    pub parameters: BufferId,
    /// Their gradient.
    pub gradient: BufferId,
    /// The moving mean of the gradient.
    pub mean: BufferId,
    /// The moving mean of its square.
    pub square: BufferId,
    /// Values in each; a multiple of four.
    pub count: usize,
    /// The [`OptimizerSettings`](super::OptimizerSettings) of the step.
    pub settings: BufferId,
    /// The [`Clipping`](super::Clipping) that [`Clip`](super::Clip) found.
    pub clip: BufferId,
    /// Whether weight decay applies: to matrices, not to vectors.
    pub decays: bool,
}

params! {
    struct Params {
        vec4s: u32,
    }
}

impl Op for AdamW {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { parameters, gradient, mean, square, count, settings, clip, decays } = self;
        let vec4s = whole_vec4s("adam_w", *count)?;
        let params = Params { vec4s: to_u32(vec4s) };
        let program = Program::new(kernel("adam_w"))
            .part(part("optimizer_settings"))
            .constant("DECAYS", *decays);
        recording
            .dispatch(program, &params)
            .write(0, *parameters)
            .write(0, *gradient)
            .write(0, *mean)
            .write(0, *square)
            .read(0, *settings)
            .read(0, *clip)
            .grid(grid_1d(vec4s.div_ceil(64)));
        Ok(())
    }
}
