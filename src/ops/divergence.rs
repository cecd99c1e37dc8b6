//! `divergence`: how sure a distribution is, and how far it is from another.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, Tensor, params};

use super::op::{Op, check_shape, same_shape, to_u32};
use crate::select::{KernelSelection, kernel, part};

/// The entropy of each row's distribution, its divergence from another, and the rank of a token.
#[derive(Clone, Copy, Debug)]
pub struct Divergence {
    /// (N, V). NaN counts as the lowest logit.
    pub logits: Tensor,
    /// (N, V): the logits of the other.
    pub last: Tensor,
    /// The token whose rank is counted, from 0.
    pub wanted: u32,
    /// (N) vec4 of u32: the bits of the entropy and of KL(last ‖ own), in nats; the rank; how many logits
    /// of the two are infinite or NaN.
    pub out: BufferId,
}

params! {
    struct Params {
        columns: u32,
        stride: u32,
        wanted: u32,
    }
}

impl Op for Divergence {
    fn record(&self, recording: &mut Recording, selection: &KernelSelection) -> Result<()> {
        let Self { logits, last, wanted, out } = self;
        same_shape("divergence", logits, last)?;
        check_shape((*wanted as usize) < logits.columns, "divergence", || {
            format!("the rank of token {wanted} of {}", logits.columns)
        })?;
        let params = Params {
            columns: to_u32(logits.columns),
            stride: to_u32(logits.stride() / 4),
            wanted: *wanted,
        };
        let program = selection
            .reduce_over(6 * logits.stride() / 4)
            .apply(Program::new(kernel("divergence")))
            .part(part("argmax"));
        recording
            .dispatch(program, &params)
            .read(0, logits.buffer)
            .read(0, last.buffer)
            .write(0, *out)
            .grid([to_u32(logits.rows), 1, 1]);
        Ok(())
    }
}
