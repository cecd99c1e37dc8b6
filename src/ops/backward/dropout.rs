//! `dropout`, the same forward and backward.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, Tensor, params};
use crate::ops::op::{Op, check_shape, to_u32};
use crate::select::{KernelSelection, kernel, part};

/// x = 0 with probability p, else x / (1 − p), in place. Twin:
/// [`dropout`](crate::reference::backward::dropout).
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    /// (T, C).
    pub x: Tensor,
    /// p, from 0 to below 1.
    pub probability: f64,
    /// Four words: the seed, its low half first, the step, and 0.
    pub draw: BufferId,
    /// Distinguishes sites that draw from the same words.
    pub site: u32,
}

params! {
    struct Params {
        columns: u32,
        stride: u32,
        site: u32,
        least: u32,
        scale: f32,
    }
}

/// The smallest of the 2³² random words that keeps a value.
fn least(probability: f64) -> u32 {
    (probability * 4_294_967_296.0).round() as u32
}

impl Op for Dropout {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { x, probability, draw, site } = self;
        check_shape((0.0..1.0).contains(probability), "dropout", || {
            format!("a probability of {probability}")
        })?;
        let params = Params {
            columns: to_u32(x.columns),
            stride: to_u32(x.stride() / 4),
            site: *site,
            least: least(*probability),
            scale: (1.0 / (1.0 - probability)) as f32,
        };
        recording
            .dispatch(Program::new(kernel("dropout")).part(part("noise")), &params)
            .write(0, x.buffer)
            .read(0, *draw)
            .grid([to_u32(x.columns.div_ceil(4 * 64)), to_u32(x.rows), 1]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_words_drop_a_value_as_its_probability_says() {
        assert_eq!([0.0, 0.25, 0.5].map(least), [0, 1 << 30, 1 << 31]);
        assert_eq!(least(0.1), 429_496_730);
    }
}
