//! `adam_w`: parameters move by AdamW.

use crate::error::Result;
use crate::gpu::{Binding, BufferId, Dispatch, Grid, Program, Recording};
use crate::ops::choices::Choices;
use crate::ops::kernels::kernel;
use crate::ops::op::{Op, spread, whole_fours, word};

/// Moves parameters by `AdamW`, and makes their gradient 0.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// What moves.
    pub parameters: BufferId,
    /// Its gradient.
    pub gradient: BufferId,
    /// The moving mean of the gradient.
    pub mean: BufferId,
    /// The moving mean of its square.
    pub square: BufferId,
    /// Values in each; a multiple of four.
    pub count: usize,
    /// As for [`Clip`].
    pub settings: BufferId,
    /// What [`Clip`] gave.
    pub clip: BufferId,
    /// Whether decay pulls at them: at matrices, not at vectors.
    pub decays: bool,
}

impl Op for AdamW {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { parameters, gradient, mean, square, count, settings, clip, decays } = self;
        let fours = whole_fours("adam_w", *count)?;
        let moved = [*parameters, *gradient, *mean, *square].map(Binding::Write);
        let read = [*settings, *clip].map(Binding::Read);
        recording.push(Dispatch {
            program: Program::new(kernel("adam_w"))
                .constant("DECAYS", f64::from(u8::from(*decays))),
            params: bytemuck::bytes_of(&[word(fours), 0, 0, 0]).to_vec(),
            groups: vec![moved.into_iter().chain(read).collect()],
            grid: Grid::Fixed(spread(fours.div_ceil(64))),
            weight_bytes: 0,
        });
        Ok(())
    }
}
