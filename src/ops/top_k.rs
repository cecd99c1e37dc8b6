//! `top_k`: the most probable tokens of each row.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, Tensor, params};

use super::op::{Op, check_shape, to_u32};
use crate::select::{KernelSelection, kernel, part};

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

/// The largest K: each token costs a pass over the logits.
pub const MAX_TOP_K: usize = 256;

params! {
    struct Params {
        columns: u32,
        stride: u32,
        rows: u32,
        ring: u32,
        k: u32,
    }
}

impl Op for TopK {
    fn record(&self, recording: &mut Recording, selection: &KernelSelection) -> Result<()> {
        let Self { logits, k, chosen, out } = self;
        let most = MAX_TOP_K.min(logits.columns);
        check_shape(*k <= most, "top_k", || {
            format!("{k} of {} tokens; at most {most} can be listed", logits.columns)
        })?;
        check_shape(chosen.is_none_or(|chosen| chosen.ring > 0), "top_k", || {
            "a ring of 0 steps".to_owned()
        })?;
        let params = Params {
            columns: to_u32(logits.columns),
            stride: to_u32(logits.stride() / 4),
            rows: to_u32(logits.rows),
            ring: chosen.map_or(1, |chosen| to_u32(chosen.ring)),
            k: to_u32(*k),
        };
        let program = selection
            .reduce_over((k + 2) * logits.stride() / 4)
            .apply(Program::new(kernel("top_k")))
            .part(part("argmax"))
            .constant("CHOSEN", chosen.is_some());
        recording
            .dispatch(program, &params)
            // Without rows their slot holds the logits, which the kernel then does not touch.
            .read(0, logits.buffer)
            .read(0, chosen.map_or(logits.buffer, |chosen| chosen.rows))
            .write(0, *out)
            .grid([to_u32(logits.rows), 1, 1]);
        Ok(())
    }
}
