//! `attention_mix`: the last step of attention on its own.

use crate::error::Result;
use crate::gpu::{Binding, BufferId, Dispatch, Grid, Program, Recording, Tensor};

use super::cache::Cache;
use super::choices::Choices;
use super::kernels::kernel;
use super::op::{Op, word};
use super::pattern::heads_of;

/// z = pattern · v.
#[derive(Clone, Copy, Debug)]
pub struct AttentionMix<'a> {
    /// (T): token, position, sequence and step of each row.
    pub rows: BufferId,
    /// (H·T, S).
    pub pattern: Tensor,
    /// Keys and values.
    pub cache: &'a Cache,
    /// (T, H·D).
    pub out: Tensor,
}

impl Op for AttentionMix<'_> {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { rows, pattern, cache, out } = self;
        let heads = heads_of("attention_mix", out, cache, pattern)?;
        for part in cache.parts.iter().filter(|part| part.first < pattern.columns) {
            let params = [
                out.rows,
                part.count.min(pattern.columns - part.first),
                heads,
                cache.heads,
                cache.width,
                pattern.stride(),
                out.stride(),
                part.count,
                part.first,
                0,
                0,
                0,
            ];
            let program = Program::new(kernel("attention_mix")).part(cache.reader());
            recording.push(Dispatch {
                program: program.constant("ADD", f64::from(u8::from(part.first > 0))),
                params: bytemuck::bytes_of(&params.map(word)).to_vec(),
                groups: vec![
                    vec![
                        Binding::Read(*rows),
                        Binding::Read(pattern.buffer),
                        Binding::Write(out.buffer),
                    ],
                    Vec::new(),
                    Vec::new(),
                    part.reads(),
                ],
                grid: Grid::Fixed([word((heads * cache.fours()).div_ceil(64)), word(out.rows), 1]),
                weight_bytes: 0,
            });
        }
        Ok(())
    }
}
