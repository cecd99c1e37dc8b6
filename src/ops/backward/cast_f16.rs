//! `cast_f16`: f32 to f16, as a matrix of that format has it.

use crate::error::Result;
use crate::gpu::{Binding, BufferId, Dispatch, Grid, Program, Recording};
use crate::ops::choices::Choices;
use crate::ops::kernels::kernel;
use crate::ops::op::{Op, ensure, spread, word};

/// Rounds values to IEEE halves, as a matrix of that format has them.
#[derive(Clone, Copy, Debug)]
pub struct CastF16 {
    /// The values.
    pub values: BufferId,
    /// How many; a multiple of eight.
    pub count: usize,
    /// Where they go.
    pub out: BufferId,
}

impl Op for CastF16 {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        const OP: &str = "cast_f16";
        let Self { values, count, out } = self;
        ensure(count.is_multiple_of(8), OP, || format!("{count} values are no whole eights"))?;
        recording.push(Dispatch {
            program: Program::new(kernel(OP)),
            params: bytemuck::bytes_of(&[word(count / 8), 0, 0, 0]).to_vec(),
            groups: vec![vec![Binding::Read(*values), Binding::Write(*out)]],
            grid: Grid::Fixed(spread((count / 8).div_ceil(64))),
            weight_bytes: 0,
        });
        Ok(())
    }
}
