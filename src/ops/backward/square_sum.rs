//! `square_sum`: the squared norm of a gradient, in parts.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, params};
use crate::ops::op::{Op, grid_1d, to_u32, whole_vec4s};
use crate::select::{KernelSelection, kernel};

/// The sum of the squares of a buffer's values, in parts.
#[derive(Clone, Copy, Debug)]
pub struct SquareSum {
    /// The values.
    pub values: BufferId,
    /// How many; a multiple of four.
    pub count: usize,
    /// Where the parts go.
    pub out: BufferId,
    /// The first index there.
    pub slot: usize,
}

/// Vec4s per workgroup of `square_sum`.
const PER: usize = 16_384;

impl SquareSum {
    /// The number of parts for this many values.
    pub fn slots(count: usize) -> usize {
        count.div_ceil(4 * PER)
    }
}

params! {
    struct Params {
        vec4s: u32,
        slot: u32,
    }
}

impl Op for SquareSum {
    fn record(&self, recording: &mut Recording, selection: &KernelSelection) -> Result<()> {
        let Self { values, count, out, slot } = self;
        let vec4s = whole_vec4s("square_sum", *count)?;
        let params = Params { vec4s: to_u32(vec4s), slot: to_u32(*slot) };
        let program = selection
            .reduce_over(PER)
            .apply(Program::new(kernel("square_sum")))
            .constant("PER", PER as f64);
        recording
            .dispatch(program, &params)
            .read(0, *values)
            .write(0, *out)
            .grid(grid_1d(Self::slots(*count)));
        Ok(())
    }
}
