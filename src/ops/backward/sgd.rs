//! `sgd`: parameters move against their gradient.

use crate::error::Result;
use crate::gpu::{Binding, BufferId, Dispatch, Grid, Program, Recording};
use crate::ops::choices::Choices;
use crate::ops::kernels::kernel;
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
    /// As for [`Clip`].
    pub settings: BufferId,
    /// What [`Clip`] gave.
    pub clip: BufferId,
}

impl Op for Sgd {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { parameters, gradient, count, settings, clip } = self;
        let fours = whole_fours("sgd", *count)?;
        let moved = [*parameters, *gradient].map(Binding::Write);
        let read = [*settings, *clip].map(Binding::Read);
        recording.push(Dispatch {
            program: Program::new(kernel("sgd")),
            params: bytemuck::bytes_of(&[word(fours), 0, 0, 0]).to_vec(),
            groups: vec![moved.into_iter().chain(read).collect()],
            grid: Grid::Fixed(spread(fours.div_ceil(64))),
            weight_bytes: 0,
        });
        Ok(())
    }
}
