//! `cast_f16`: f32 to f16, as stored in a matrix of that format.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, params};
use crate::ops::op::{Op, check_shape, grid_1d, to_u32};
use crate::select::{KernelSelection, kernel};

/// Rounds values to IEEE f16, as stored in a matrix of that format.
#[derive(Clone, Copy, Debug)]
pub struct CastF16 {
    /// The values.
    pub values: BufferId,
    /// How many; a multiple of eight.
    pub count: usize,
    /// Where they go.
    pub out: BufferId,
}

params! {
    struct Params {
        words: u32,
    }
}

impl Op for CastF16 {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        const OP: &str = "cast_f16";
        let Self { values, count, out } = self;
        check_shape(count.is_multiple_of(8), OP, || {
            format!("{count} values are not a multiple of eight")
        })?;
        let params = Params { words: to_u32(count / 8) };
        recording
            .dispatch(Program::new(kernel(OP)), &params)
            .read(0, *values)
            .write(0, *out)
            .grid(grid_1d((count / 8).div_ceil(64)));
        Ok(())
    }
}
