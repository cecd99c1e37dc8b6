//! What any value of the residual stream would say: the most probable tokens, how sure it is and how far
//! it is from what the model says in the end. Logits stay on the device, those of some rows at a time.

use crate::error::Result;
use crate::gpu::{BufferId, Plan, Tensor};
use crate::model::memory::pieces;
use crate::model::tape::Tape;
use crate::ops::{Divergence, TopK};

use super::state::Session;

/// What a row of the stream stands for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Readout {
    /// The most probable tokens, (id, ln p), best first.
    pub(crate) top: Vec<(u32, f32)>,
    /// −Σ p ln p, in nats.
    pub(crate) entropy: f64,
    /// KL(last ‖ this), in nats.
    pub(crate) kl: f64,
    /// How many tokens are before the wanted one.
    pub(crate) rank: usize,
    /// Whether all logits are finite; the numbers mean nothing otherwise.
    pub(crate) finite: bool,
}

/// The buffers that readings of up to so many rows go through.
struct Room {
    x: Tensor,
    last: Tensor,
    pairs: BufferId,
    numbers: BufferId,
}

impl Session {
    /// Reads values of the stream, each (N, C), as if they were the last layer's, beside those of the
    /// last: for each value and row the `top` most probable tokens, at most
    /// [`MAX_TOP_K`](crate::ops::MAX_TOP_K), and the rank of `wanted`.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the device fails, [`Error::Memory`](crate::Error::Memory)
    /// if it has no room for a row of logits.
    pub(crate) async fn readings(
        &mut self,
        values: &[&[f32]],
        last: &[f32],
        top: usize,
        wanted: u32,
    ) -> Result<Vec<Vec<Readout>>> {
        let (width, vocab) = (self.model.config.width, self.model.config.vocab);
        let most = self.chunk.min(self.rows_of_logits()?).clamp(1, (last.len() / width).max(1));
        let room = Room {
            x: Tensor::persistent(most, width),
            last: Tensor::persistent(most, vocab),
            pairs: BufferId::fresh(),
            numbers: BufferId::fresh(),
        };
        let made = self
            .engine
            .create_tensor(&room.x)
            .and_then(|()| self.engine.create_tensor(&room.last))
            .and_then(|()| self.engine.create(room.pairs, (most * top.max(1) * 8) as u64))
            .and_then(|()| self.engine.create(room.numbers, (most * 16) as u64));
        let found = match made {
            Ok(()) => self.read_rows(&room, values, last, [top, wanted as usize]).await,
            Err(error) => Err(error),
        };
        for buffer in [room.x.buffer, room.last.buffer, room.pairs, room.numbers] {
            self.engine.free(buffer);
        }
        found
    }

    async fn read_rows(
        &mut self,
        room: &Room,
        values: &[&[f32]],
        last: &[f32],
        [top, wanted]: [usize; 2],
    ) -> Result<Vec<Vec<Readout>>> {
        let width = self.model.config.width;
        let mut found: Vec<Vec<Readout>> = vec![Vec::new(); values.len()];
        let mut plans: Option<(usize, [Vec<Plan>; 2])> = None;
        for (part, last) in last.chunks(room.x.rows * width).enumerate() {
            let rows = last.len() / width;
            if plans.as_ref().is_none_or(|(planned, _)| *planned != rows) {
                plans = Some((rows, self.reading_plans(room, rows, [top, wanted])?));
            }
            let Some((_, [ends, reads])) = &plans else { continue };
            self.engine.write_tensor(&Tensor { rows, ..room.x }, last)?;
            self.engine.submit_pieces(ends, 1, &[])?;
            for (values, found) in values.iter().zip(&mut found) {
                let own = &values[part * room.x.rows * width..][..last.len()];
                self.engine.write_tensor(&Tensor { rows, ..room.x }, own)?;
                let pairs = (room.pairs, 0, (rows * top * 8) as u64);
                let wanted = [pairs, (room.numbers, 0, (rows * 16) as u64)];
                // Without any most probable tokens there is nothing to copy of them.
                let wanted = &wanted[usize::from(top == 0)..];
                let Some(readback) = self.engine.submit_pieces(reads, 1, wanted)? else { continue };
                let bytes = self.engine.finish(readback).await?;
                let (pairs, numbers) = bytes.split_at(rows * top * 8);
                let pairs: Vec<[u32; 2]> = bytemuck::pod_collect_to_vec(pairs);
                let numbers: Vec<[u32; 4]> = bytemuck::pod_collect_to_vec(numbers);
                for (row, [entropy, kl, rank, strange]) in numbers.into_iter().enumerate() {
                    let pairs = &pairs[row * top..][..top];
                    found.push(Readout {
                        top: pairs.iter().map(|[id, bits]| (*id, f32::from_bits(*bits))).collect(),
                        entropy: f64::from(f32::from_bits(entropy)),
                        kl: f64::from(f32::from_bits(kl)),
                        rank: rank as usize,
                        finite: strange == 0,
                    });
                }
            }
        }
        Ok(found)
    }

    /// The plan that makes the last value's logits, and the one that reads another beside them.
    fn reading_plans(
        &mut self,
        room: &Room,
        rows: usize,
        [top, wanted]: [usize; 2],
    ) -> Result<[Vec<Plan>; 2]> {
        let x = Tensor { rows, ..room.x };
        let last = Tensor { rows, ..room.last };
        let mut ends = Tape::new(&self.selection);
        self.record_head(&mut ends, x, last)?;
        let mut reads = Tape::new(&self.selection);
        let own = reads.tensor(rows, last.columns);
        self.record_head(&mut reads, x, own)?;
        if top > 0 {
            reads.push(TopK { logits: own, k: top, chosen: None, out: room.pairs })?;
        }
        reads.push(Divergence { logits: own, last, wanted: wanted as u32, out: room.numbers })?;
        let pieces = pieces(&self.model.config, &self.selection, rows);
        let [ends, reads] = [ends, reads].map(|tape| tape.finish().0);
        let plans = [self.engine.prepare(&ends)?, self.engine.prepare(&reads)?];
        Ok(plans.map(|plan| plan.in_pieces(pieces)))
    }
}
