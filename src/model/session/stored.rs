//! The caches as bytes, so that what was read can outlast the session.

use crate::error::{Error, Result};
use crate::ops::CachePart;

use super::Session;

impl Session {
    /// How a position's keys lie in a layer, in words: equal words mean equal bytes.
    pub fn cache_layout(&self) -> String {
        let kinds = self
            .caches
            .first()
            .map(|cache| format!("{:?}, {} heads of {}", cache.format, cache.heads, cache.width));
        kinds.unwrap_or_default()
    }

    /// The bytes of one position's keys of one sequence in one layer, and as many of its values.
    pub fn position_bytes(&self) -> u64 {
        let cache = self.caches.first();
        cache.map_or(0, |cache| cache.position_bytes() / cache.sequences as u64)
    }

    /// Keys and values of the first sequence's first `positions`, in one layer.
    ///
    /// # Errors
    /// [`Error::Input`] for a layer or positions that the session does not have, [`Error::Device`]
    /// if the device fails.
    pub async fn read_cache(&mut self, layer: usize, positions: usize) -> Result<[Vec<u8>; 2]> {
        let bytes = positions as u64 * self.position_bytes();
        let parts = self.layer_parts(layer, bytes)?;
        let keys = parts.iter().map(|(part, bytes)| (part.k, 0, *bytes));
        let values = parts.iter().map(|(part, bytes)| (part.v, 0, *bytes));
        let reads: Vec<_> = keys.chain(values).collect();
        let Some(readback) = self.engine.submit(&[], &reads)? else {
            return Ok([Vec::new(), Vec::new()]);
        };
        let mut keys = self.engine.finish(readback).await?;
        let values = keys.split_off(bytes as usize);
        Ok([keys, values])
    }

    /// Puts back what [`Session::read_cache`] gave, in the first positions of the first sequence.
    ///
    /// # Errors
    /// [`Error::Input`] for a layer or positions that the session does not have.
    pub fn write_cache(&mut self, layer: usize, keys: &[u8], values: &[u8]) -> Result<()> {
        let longest = keys.len().max(values.len()) as u64;
        let (mut keys, mut values) = (keys, values);
        for (part, bytes) in self.layer_parts(layer, longest)? {
            for (buffer, rest) in [(part.k, &mut keys), (part.v, &mut values)] {
                let (own, others) = rest.split_at(rest.len().min(bytes as usize));
                self.engine.write(buffer, 0, own)?;
                *rest = others;
            }
        }
        Ok(())
    }

    /// The parts of a layer's cache that the first so many bytes of its first sequence lie in, with
    /// the bytes that lie in each, from its beginning on.
    fn layer_parts(&self, layer: usize, bytes: u64) -> Result<Vec<(CachePart, u64)>> {
        let position = self.position_bytes();
        let cache = self.caches.get(layer);
        let cache = cache.filter(|cache| bytes <= cache.context as u64 * position);
        let cache = cache.ok_or_else(|| {
            Error::Input(format!("layer {layer} of the cache does not hold {bytes} bytes"))
        })?;
        let own = |part: &CachePart| {
            let before = part.first as u64 * position;
            (*part, bytes.saturating_sub(before).min(part.count as u64 * position))
        };
        Ok(cache.parts.iter().map(own).filter(|(_, bytes)| *bytes > 0).collect())
    }
}
