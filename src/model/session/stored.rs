//! The caches as bytes, so that they can outlive the session.

use crate::error::{Error, Result};
use crate::ops::{CacheFormat, CacheShard};

use super::state::Session;

impl Session {
    /// The layout of a position's keys in a layer, as text: equal texts mean equal layouts.
    pub fn cache_layout(&self) -> String {
        let kinds = self
            .caches
            .first()
            .map(|cache| format!("{:?}, {} heads of {}", cache.format, cache.heads, cache.width));
        kinds.unwrap_or_default()
    }

    /// How keys and values are stored.
    pub fn cache_format(&self) -> CacheFormat {
        self.caches.first().map_or(CacheFormat::F32, |cache| cache.format)
    }

    /// The bytes of one position's keys of one sequence in one layer, and as many of its values.
    pub fn position_bytes(&self) -> u64 {
        let cache = self.caches.first();
        cache.map_or(0, |cache| cache.position_bytes() / cache.sequences as u64)
    }

    /// Keys and values of the first `positions` of the first sequence, in one layer: (head,
    /// position, width padded to vec4s).
    ///
    /// # Errors
    /// [`Error::Input`] for a layer or positions that the session does not have, [`Error::Device`]
    /// if the device fails.
    pub async fn read_cache(&mut self, layer: usize, positions: usize) -> Result<[Vec<u8>; 2]> {
        let runs = self.runs(layer, positions)?;
        let keys = runs.iter().map(|run| (run.part.k, run.at, run.bytes));
        let values = runs.iter().map(|run| (run.part.v, run.at, run.bytes));
        let reads: Vec<_> = keys.chain(values).collect();
        let Some(readback) = self.engine.submit(&[], &reads)? else {
            return Ok([Vec::new(), Vec::new()]);
        };
        let mut keys = self.engine.finish(readback).await?;
        let values = keys.split_off(keys.len() / 2);
        Ok([keys, values])
    }

    /// Writes back what [`Session::read_cache`] returned, to the first positions of the first
    /// sequence, which then holds these and no others.
    ///
    /// # Errors
    /// [`Error::Input`] for a layer or positions that the session does not have, or for bytes that
    /// are not whole positions.
    pub fn write_cache(&mut self, layer: usize, keys: &[u8], values: &[u8]) -> Result<()> {
        let position = self.position_bytes().max(1) as usize;
        if keys.len() != values.len() || !keys.len().is_multiple_of(position) {
            let text = format!(
                "{} bytes of keys and {} of values, at {position} per position",
                keys.len(),
                values.len()
            );
            return Err(Error::Input(text));
        }
        let positions = keys.len() / position;
        let mut start = 0;
        for Run { part, at, bytes } in self.runs(layer, positions)? {
            let own = start..start + bytes as usize;
            self.engine.write(part.k, at, &keys[own.clone()])?;
            self.engine.write(part.v, at, &values[own.clone()])?;
            start = own.end;
        }
        self.note_written(0, positions);
        Ok(())
    }

    /// Where the first positions of the first sequence are in a layer's cache: by head, then by
    /// part.
    fn runs(&self, layer: usize, positions: usize) -> Result<Vec<Run>> {
        let cache = self.caches.get(layer).filter(|cache| positions <= cache.context);
        let cache = cache.ok_or_else(|| {
            Error::Input(format!("layer {layer} of the cache does not hold {positions} positions"))
        })?;
        let row = self.position_bytes() / cache.heads as u64;
        let of_head = |head: usize| {
            cache.shards.iter().map(move |part| Run {
                part: *part,
                at: (head * part.count) as u64 * row,
                bytes: positions.saturating_sub(part.first).min(part.count) as u64 * row,
            })
        };
        Ok((0..cache.heads).flat_map(of_head).filter(|run| run.bytes > 0).collect())
    }
}

/// Consecutive positions of one head within a part of a cache.
struct Run {
    part: CacheShard,
    /// Where they begin in its buffers, in bytes.
    at: u64,
    bytes: u64,
}
