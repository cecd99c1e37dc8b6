//! The key/value cache: what `rope` fills and attention reads.

use crate::gpu::{Binding, BufferId, Part};

use crate::select::part;

/// Keys and values of one layer, (sequence, head, position, width padded to vec4s), in one or more
/// parts split by position. What a head attends to is contiguous in memory.
#[derive(Clone, Debug)]
pub struct Cache {
    /// The parts, in order.
    pub shards: Vec<CacheShard>,
    /// How its numbers are stored.
    pub format: CacheFormat,
    /// Sequences that it holds.
    pub sequences: usize,
    /// Positions of each sequence.
    pub context: usize,
    /// K: key/value heads.
    pub heads: usize,
    /// D: width of a head.
    pub width: usize,
}

/// Consecutive positions of every sequence of a cache, in separate buffers.
#[derive(Clone, Copy, Debug)]
pub struct CacheShard {
    /// The first position that it holds.
    pub first: usize,
    /// How many positions it holds.
    pub count: usize,
    /// Keys.
    pub k: BufferId,
    /// Values.
    pub v: BufferId,
}

/// How a key/value cache stores its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheFormat {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats: half the memory.
    F16,
}

/// A part of a split cache has a multiple of this many positions, if as many fit: the most keys
/// that a workgroup takes.
const STEP: usize = 256;

impl Cache {
    /// A cache whose buffers exist only by name, for `sequences` of `context` positions and for
    /// `heads` of `width` values, in parts of at most `max_binding` bytes.
    pub fn named(
        format: CacheFormat,
        [sequences, context]: [usize; 2],
        [heads, width]: [usize; 2],
        max_binding: u64,
    ) -> Self {
        let mut cache = Self { shards: Vec::new(), format, sequences, context, heads, width };
        let fit = max_binding / cache.position_bytes().max(1);
        let fit = usize::try_from(fit).unwrap_or(usize::MAX);
        let step = match fit {
            _ if fit >= context => context.max(1),
            STEP.. => fit / STEP * STEP,
            // The largest power of two that fits; at least four, since keys are read as vec4s.
            _ => ((fit + 1).next_power_of_two() / 2).max(4),
        };
        let part = |first: usize| CacheShard {
            first,
            count: step.min(context - first),
            k: BufferId::fresh(),
            v: BufferId::fresh(),
        };
        cache.shards = (0..context).step_by(step).map(part).collect();
        cache
    }

    /// The bytes of its keys, and as many of its values.
    pub fn bytes(&self) -> u64 {
        self.context as u64 * self.position_bytes()
    }

    /// The bytes of a part's keys, and as many of its values.
    pub fn shard_bytes(&self, part: &CacheShard) -> u64 {
        part.count as u64 * self.position_bytes()
    }

    /// The bytes of the keys at one position of all sequences.
    pub fn position_bytes(&self) -> u64 {
        let value = match self.format {
            CacheFormat::F32 => 4,
            CacheFormat::F16 => 2,
        };
        (self.sequences * self.heads * self.vec4s() * 4) as u64 * value
    }

    /// The longest run of positions, at most `most`, that no boundary between parts cuts.
    pub(super) fn stretch(&self, most: usize) -> usize {
        let Some(part) = self.shards.first().filter(|_| self.shards.len() > 1) else { return most };
        (1..=most.min(part.count)).rev().find(|n| part.count.is_multiple_of(*n)).unwrap_or(1)
    }

    /// Vec4s of a head.
    pub(super) fn vec4s(&self) -> usize {
        self.width.div_ceil(4)
    }

    /// The shader part that reads it.
    pub(super) fn reader(&self) -> &'static Part {
        part(match self.format {
            CacheFormat::F32 => "cached_f32",
            CacheFormat::F16 => "cached_f16",
        })
    }

    /// The shader part that writes it.
    pub(super) fn writer(&self) -> &'static Part {
        part(match self.format {
            CacheFormat::F32 => "cache_f32",
            CacheFormat::F16 => "cache_f16",
        })
    }
}

impl CacheShard {
    pub(super) fn reads(&self) -> Vec<Binding> {
        vec![Binding::Read(self.k), Binding::Read(self.v)]
    }

    pub(super) fn writes(&self) -> Vec<Binding> {
        vec![Binding::Write(self.k), Binding::Write(self.v)]
    }
}
