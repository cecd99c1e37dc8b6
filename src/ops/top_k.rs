//! `top_k`: the most probable tokens of each row.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::gpu::{Binding, BufferId, Dispatch, Grid, Program, Recording, Tensor};

use super::choices::Choices;
use super::kernels::{kernel, part};
use super::op::{Op, ensure, word};

/// The K most probable tokens of each row with ln p, best first, ties to the lower id; and, where
/// `chosen` is given, the row's own token before them.
#[derive(Clone, Copy, Debug)]
pub struct TopK {
    /// (N, V). NaN counts as the lowest logit.
    pub logits: Tensor,
    /// K, up to V and to [`MAX_TOP_K`].
    pub k: usize,
    /// The rows' own tokens.
    pub chosen: Option<Chosen>,
    /// Pairs (id: u32, ln p: f32): (N, K); with `chosen`, (ring, N, K + 1).
    pub out: BufferId,
}

/// The tokens that [`Sample`](super::Sample) has just drawn.
#[derive(Clone, Copy, Debug)]
pub struct Chosen {
    /// (N) vec4 of u32: token, position, sequence, step; the slot of `out` is (step − 1) % ring.
    pub rows: BufferId,
    /// How many steps `out` holds, 1 or more.
    pub ring: usize,
}

/// The largest K: each costs a pass over the logits.
pub const MAX_TOP_K: usize = 256;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    columns: u32,
    stride: u32,
    rows: u32,
    ring: u32,
    k: u32,
    padding: [u32; 3],
}

impl Op for TopK {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let Self { logits, k, chosen, out } = self;
        let most = MAX_TOP_K.min(logits.columns);
        ensure(*k <= most, "top_k", || {
            format!("{k} of {} tokens; at most {most} can be listed", logits.columns)
        })?;
        ensure(chosen.is_none_or(|chosen| chosen.ring > 0), "top_k", || {
            "a ring of 0 steps".to_owned()
        })?;
        let params = Params {
            columns: word(logits.columns),
            stride: word(logits.stride() / 4),
            rows: word(logits.rows),
            ring: chosen.map_or(1, |chosen| word(chosen.ring)),
            k: word(*k),
            padding: [0; 3],
        };
        recording.push(Dispatch {
            program: choices
                .reduce_over((k + 2) * logits.stride() / 4)
                .apply(Program::new(kernel("top_k")))
                .part(part("ranking"))
                .constant("CHOSEN", f64::from(u8::from(chosen.is_some()))),
            params: bytemuck::bytes_of(&params).to_vec(),
            // Without rows their slot holds the logits, which the kernel then does not touch.
            groups: vec![vec![
                Binding::Read(logits.buffer),
                Binding::Read(chosen.map_or(logits.buffer, |chosen| chosen.rows)),
                Binding::Write(*out),
            ]],
            grid: Grid::Fixed([word(logits.rows), 1, 1]),
            weight_bytes: 0,
        });
        Ok(())
    }
}
