//! `gain_bias`: a norm's gain and bias on their own.

use crate::error::Result;
use crate::gpu::{Binding, Dispatch, Program, Recording, Tensor};

use super::choices::Choices;
use super::kernels::kernel;
use super::op::{Op, by_fours, ensure, same_shape, word};

/// out = x ⊙ gain + bias.
#[derive(Clone, Copy, Debug)]
pub struct GainBias {
    /// (T, C).
    pub x: Tensor,
    /// (1, C).
    pub gain: Tensor,
    /// (1, C).
    pub bias: Option<Tensor>,
    /// (T, C).
    pub out: Tensor,
}

impl Op for GainBias {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { x, gain, bias, out } = self;
        same_shape("gain_bias", x, out)?;
        // Without a bias its slot holds the gain, which the kernel then reads only as that.
        let vectors = [*gain, bias.unwrap_or(*gain)];
        for vector in vectors {
            ensure(vector.columns == x.columns, "gain_bias", || {
                format!("x has {} columns, gain or bias {}", x.columns, vector.columns)
            })?;
        }
        let read = if bias.is_some() { 2 } else { 1 };
        recording.push(Dispatch {
            program: Program::new(kernel("gain_bias"))
                .constant("BIAS", f64::from(u8::from(bias.is_some()))),
            params: bytemuck::bytes_of(&[word(x.stride() / 4), 0, 0, 0]).to_vec(),
            groups: vec![vec![
                Binding::Read(x.buffer),
                Binding::Read(vectors[0].buffer),
                Binding::Read(vectors[1].buffer),
                Binding::Write(out.buffer),
            ]],
            grid: by_fours(x),
            weight_bytes: read * x.columns as u64 * 4,
        });
        Ok(())
    }
}
