//! Whether there is room for the values that an observation reads.

use crate::error::{Error, Remedy, Result};
use crate::gpu::padded;
use crate::hook::Hook;
use crate::model::hooks::{bytes_of, heads_first, shape};
use crate::model::memory::free_memory;

use super::rows::{Row, extent};
use super::state::Session;

impl Session {
    /// How many rows run at once, so that the largest value that is read, or the scores that it is
    /// made from, fit into one binding.
    pub(super) fn rows_at_once(&self, reads: &[Hook], keys: usize) -> Result<usize> {
        let limit = self.engine.gpu().caps().max_buffer_bytes();
        let mut most = self.chunk;
        for hook in reads {
            let stored: usize = match shape(&self.model.config, *hook, 1, keys)[..] {
                // Each of the rows of a head is padded.
                [heads, 1, keys] if heads_first(*hook) => heads * padded(keys),
                [_, ref row @ ..] => padded(row.iter().product()),
                [] => 1,
            };
            let fits = (limit / (4 * stored as u64)) as usize;
            if fits == 0 {
                let reason = format!(
                    "one row of {hook} takes {} bytes, and {} binds {limit}",
                    4 * stored,
                    self.engine.gpu().adapter().name
                );
                return Err(Error::memory(reason, [Remedy::ShorterText]));
            }
            most = most.min(fits);
        }
        Ok(most)
    }

    /// How many rows of logits fit into one binding.
    pub(super) fn rows_of_logits(&self) -> Result<usize> {
        let (limit, row) = (
            self.engine.gpu().caps().max_buffer_bytes(),
            4 * padded(self.model.config.vocab) as u64,
        );
        if row > limit {
            let name = &self.engine.gpu().adapter().name;
            let reason = format!("a row of logits takes {row} bytes, and {name} binds {limit}");
            return Err(Error::memory(reason, []));
        }
        Ok((limit / row) as usize)
    }

    /// Fails where the values of these rows, and so many bytes besides, exceed the free memory.
    pub(super) fn check_room(&self, reads: &[Hook], rows: &[Row], besides: usize) -> Result<()> {
        let config = &self.model.config;
        let values = bytes_of(config, reads, rows.len(), extent(rows) as usize);
        let all = values + besides as u64;
        match free_memory() {
            Some(free) if all > free => {
                let reason = format!(
                    "the values that were asked for take {} MiB, and {} MiB of memory are free",
                    all.div_ceil(1 << 20),
                    free >> 20
                );
                Err(Error::memory(reason, [Remedy::FewerValues, Remedy::ShorterText]))
            }
            _ => Ok(()),
        }
    }
}
