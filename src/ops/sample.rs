//! `sample`: the next token of each row.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, Tensor, params};
use crate::sampling::Sampling;

use super::op::{Op, check_shape, to_u32};
use crate::select::{KernelSelection, kernel, part};

/// What [`Sample`] writes for a row whose largest logit is infinite or NaN: no token.
pub const UNDRAWN: u32 = u32::MAX;

/// Draws the next token of each row and moves the row on.
///
/// Row n becomes (t, position + 1, sequence, step + 1), t the token drawn for (seed, sequence, step);
/// t goes to `ids[(step % ring) · N + n]` and adds one to `counts[n · V + t]`. From logits of which
/// even the largest is not finite, [`UNDRAWN`] goes to `ids`; t is then any token.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// (N, V), penalties already applied. NaN counts as the lowest logit.
    pub logits: Tensor,
    /// (N) vec4 of u32: token, position, sequence, step.
    pub rows: BufferId,
    /// (N V) u32: how often each id occurs in prompt and output; rows are not padded.
    pub counts: Option<BufferId>,
    /// Temperature, top-k, top-p, min-p and seed; the penalties are ignored.
    pub sampling: Sampling,
    /// (ring, N) u32.
    pub ids: BufferId,
    /// How many steps `ids` holds, 1 or more.
    pub ring: usize,
}

/// The largest vocabulary: the probabilities of this many tokens can be summed without overflow.
const MAX_VOCAB: usize = 1 << 19;

/// A token this far below the best cannot win: the noise is between −2.82 and 16.64.
const NEGLIGIBLE: f64 = -20.0;

/// Bounds the inverse temperature, so that the difference of equal logits times it stays zero.
const MAX_INVERSE: f64 = 1e30;

params! {
    struct Params {
        columns: u32,
        stride: u32,
        rows: u32,
        ring: u32,
        seed: [u32; 2],
        top_k: u32,
        top_p: u32,
        inverse: f32,
        least: f32,
    }
}

impl Op for Sample {
    fn record(&self, recording: &mut Recording, selection: &KernelSelection) -> Result<()> {
        let Self { logits, rows, counts, sampling, ids, ring } = self;
        sampling.check()?;
        check_shape((1..=MAX_VOCAB).contains(&logits.columns), "sample", || {
            format!("a vocabulary of {}; it must be from 1 to {MAX_VOCAB}", logits.columns)
        })?;
        check_shape(*ring > 0, "sample", || "a ring of 0 steps".to_owned())?;
        let columns = to_u32(logits.columns);
        let share = (f64::from(sampling.top_p) * (1_u64 << 32) as f64).max(1.0);
        let params = Params {
            columns,
            stride: to_u32(logits.stride() / 4),
            rows: to_u32(logits.rows),
            ring: to_u32(*ring),
            seed: [sampling.seed as u32, (sampling.seed >> 32) as u32],
            top_k: sampling.top_k,
            top_p: share as u32,
            inverse: (1.0 / f64::from(sampling.temperature)).min(MAX_INVERSE) as f32,
            least: f64::from(sampling.min_p).ln().max(NEGLIGIBLE) as f32,
        };
        // The passes of top-k and top-p together if there are ties at both boundaries.
        let program = selection
            .reduce_over(18 * logits.stride() / 4)
            .apply(Program::new(kernel("sample")))
            .part(part("argmax"))
            .part(part("radix_select"))
            .part(part("u64"))
            .part(part("noise"))
            .constant("GREEDY", sampling.temperature == 0.0)
            .constant("TOP_K", (1..columns).contains(&sampling.top_k))
            .constant("TOP_P", sampling.top_p < 1.0)
            .constant("COUNTS", counts.is_some());
        // Without counts their slot holds a dummy buffer, which the kernel then ignores.
        let counts = counts.unwrap_or_else(|| recording.tensor(1, 1).buffer);
        recording
            .dispatch(program, &params)
            .read(0, logits.buffer)
            .write(0, *rows)
            .write(0, counts)
            .write(0, *ids)
            .grid([to_u32(logits.rows), 1, 1]);
        Ok(())
    }
}
