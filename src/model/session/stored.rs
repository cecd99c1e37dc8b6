//! The caches as bytes, so that what was read can outlast the session.

use crate::error::{Error, Result};
use crate::gpu::BufferId;

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

    /// The bytes of one position's keys in one layer, and as many of its values.
    pub fn position_bytes(&self) -> u64 {
        let cache = self.caches.first();
        cache.map_or(0, |cache| cache.bytes() / (cache.sequences * cache.context) as u64)
    }

    /// Keys and values of the first sequence's first `positions`, in one layer.
    ///
    /// # Errors
    /// [`Error::Input`] for a layer or positions that the session does not have, [`Error::Device`]
    /// if the device fails.
    pub async fn read_cache(&mut self, layer: usize, positions: usize) -> Result<[Vec<u8>; 2]> {
        let bytes = positions as u64 * self.position_bytes();
        let [k, v] = self.layer_buffers(layer, bytes)?;
        let Some(readback) = self.engine.submit(&[], &[(k, 0, bytes), (v, 0, bytes)])? else {
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
        let [k, v] = self.layer_buffers(layer, longest)?;
        self.engine.write(k, 0, keys)?;
        self.engine.write(v, 0, values)
    }

    /// The buffers of a layer's keys and values, which hold so many bytes.
    fn layer_buffers(&self, layer: usize, bytes: u64) -> Result<[BufferId; 2]> {
        let cache = self.caches.get(layer).filter(|cache| bytes <= cache.bytes());
        let cache = cache.ok_or_else(|| {
            Error::Input(format!("layer {layer} of the cache does not hold {bytes} bytes"))
        })?;
        Ok([cache.k, cache.v])
    }
}
