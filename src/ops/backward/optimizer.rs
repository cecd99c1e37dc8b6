//! What a step does with gradients: their length, and the move of the parameters.

use crate::error::Result;
use crate::gpu::{Binding, BufferId, Dispatch, Grid, Program, Recording};
use crate::ops::{Choices, Op, ensure, kernel, spread, word};

/// The sum of the squares of a buffer's values, in parts.
#[derive(Clone, Copy, Debug)]
pub struct SquareSum {
    /// The values.
    pub values: BufferId,
    /// How many; a multiple of four.
    pub count: usize,
    /// Where the parts go.
    pub out: BufferId,
    /// The first place there.
    pub slot: usize,
}

/// The length of all gradients, and what they are multiplied by.
#[derive(Clone, Copy, Debug)]
pub struct Clip {
    /// What [`SquareSum`] gave.
    pub partials: BufferId,
    /// How many parts.
    pub count: usize,
    /// Eight numbers: rate, β₁, β₂, ε, decay, 1 − β₁ᵗ, 1 − β₂ᵗ, and the longest that gradients may be,
    /// taken together; 0 for any.
    pub settings: BufferId,
    /// Four numbers: the factor, the length, 1 where that is finite and else 0, and 0.
    pub out: BufferId,
}

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

/// Fours that a workgroup of `square_sum` takes.
const PER: usize = 16_384;

impl SquareSum {
    /// In how many parts the squares of so many values come.
    pub fn slots(count: usize) -> usize {
        count.div_ceil(4 * PER)
    }
}

fn fours(op: &'static str, count: usize) -> Result<usize> {
    ensure(count.is_multiple_of(4), op, || format!("{count} values are no whole fours"))?;
    Ok(count / 4)
}

impl Op for SquareSum {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let Self { values, count, out, slot } = self;
        let fours = fours("square_sum", *count)?;
        recording.push(Dispatch {
            program: choices
                .reduce_over(PER)
                .apply(Program::new(kernel("square_sum")))
                .constant("PER", PER as f64),
            params: bytemuck::bytes_of(&[word(fours), word(*slot), 0, 0]).to_vec(),
            groups: vec![vec![Binding::Read(*values), Binding::Write(*out)]],
            grid: Grid::Fixed(spread(Self::slots(*count))),
            weight_bytes: 0,
        });
        Ok(())
    }
}

impl Op for Clip {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let Self { partials, count, settings, out } = self;
        recording.push(Dispatch {
            program: choices.reduce_over(*count).apply(Program::new(kernel("clip"))),
            params: bytemuck::bytes_of(&[word(*count), 0, 0, 0]).to_vec(),
            groups: vec![vec![
                Binding::Read(*partials),
                Binding::Read(*settings),
                Binding::Write(*out),
            ]],
            grid: Grid::Fixed([1, 1, 1]),
            weight_bytes: 0,
        });
        Ok(())
    }
}

impl Op for AdamW {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { parameters, gradient, mean, square, count, settings, clip, decays } = self;
        let fours = fours("adam_w", *count)?;
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

impl Op for Sgd {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { parameters, gradient, count, settings, clip } = self;
        let fours = fours("sgd", *count)?;
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
