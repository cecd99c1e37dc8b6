//! `penalties`: makes tokens of prompt and output less likely.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, Tensor, params};
use crate::sampling::Sampling;

use super::op::{Op, check_shape, to_u32};
use crate::select::{KernelSelection, kernel};

/// The logits with repetition, presence and frequency penalties.
#[derive(Clone, Copy, Debug)]
pub struct Penalties {
    /// (N, V).
    pub logits: Tensor,
    /// (N V) u32: how often each id occurs in prompt and output; rows are not padded.
    pub counts: BufferId,
    /// The penalties; the other fields are ignored.
    pub sampling: Sampling,
    /// (N, V).
    pub out: Tensor,
}

params! {
    struct Params {
        columns: u32,
        stride: u32,
        repetition: f32,
        presence: f32,
        frequency: f32,
    }
}

impl Op for Penalties {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { logits, counts, sampling, out } = self;
        sampling.check()?;
        check_shape((logits.rows, logits.columns) == (out.rows, out.columns), "penalties", || {
            format!(
                "logits are {} x {}, out {} x {}",
                logits.rows, logits.columns, out.rows, out.columns
            )
        })?;
        let params = Params {
            columns: to_u32(logits.columns),
            stride: to_u32(logits.stride() / 4),
            repetition: sampling.repetition_penalty,
            presence: sampling.presence_penalty,
            frequency: sampling.frequency_penalty,
        };
        recording
            .dispatch(Program::new(kernel("penalties")), &params)
            .read(0, logits.buffer)
            .read(0, *counts)
            .write(0, out.buffer)
            .grid([params.stride.div_ceil(64), to_u32(logits.rows), 1]);
        Ok(())
    }
}
