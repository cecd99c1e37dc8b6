//! `dropout`, forwards and backwards alike.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::gpu::{Binding, BufferId, Dispatch, Grid, Program, Recording, Tensor};
use crate::ops::choices::Choices;
use crate::ops::kernels::{kernel, part};
use crate::ops::op::{Op, ensure, word};
use crate::reference::backward::dropout_threshold;

/// x = 0 by chance, else x / (1 − p), in place. Twin: [`dropout`](crate::reference::backward::dropout).
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    /// (T, C).
    pub x: Tensor,
    /// p, from 0 to below 1.
    pub probability: f64,
    /// Four words: the seed, its low half first, the step, and 0.
    pub draw: BufferId,
    /// Tells places apart that draw from the same words.
    pub site: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    columns: u32,
    stride: u32,
    site: u32,
    least: u32,
    scale: f32,
    padding: [u32; 3],
}

impl Op for Dropout {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { x, probability, draw, site } = self;
        ensure((0.0..1.0).contains(probability), "dropout", || {
            format!("a probability of {probability}")
        })?;
        let params = Params {
            columns: word(x.columns),
            stride: word(x.stride() / 4),
            site: *site,
            least: dropout_threshold(*probability),
            scale: (1.0 / (1.0 - probability)) as f32,
            padding: [0; 3],
        };
        recording.push(Dispatch {
            program: Program::new(kernel("dropout")).part(part("noise")),
            params: bytemuck::bytes_of(&params).to_vec(),
            groups: vec![vec![Binding::Write(x.buffer), Binding::Read(*draw)]],
            grid: Grid::Fixed([word(x.columns.div_ceil(4 * 64)), word(x.rows), 1]),
            weight_bytes: 0,
        });
        Ok(())
    }
}
