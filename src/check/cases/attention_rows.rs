//! Rows that attend to cached keys and values: the input of every step of attention.

use crate::check::device::{Device, TOLERANCE, to_f64};
use crate::check::values::Values;
use crate::error::Result;
use crate::gpu::{BufferId, Tensor};
use crate::ops::{Cache, CacheFormat};
use crate::reference::{AttentionSize, attention_scores};

use super::fixtures::filled;

/// Some rows of some sequences, attending to their cached keys and values.
#[derive(Clone, Debug)]
pub struct AttentionRows {
    /// Query heads, key heads, and their width.
    pub heads: [usize; 3],
    /// Positions of a sequence.
    pub context: usize,
    /// How many of the latest positions a row sees; all if `None`.
    pub window: Option<usize>,
    /// What scores are multiplied by.
    pub scale: f64,
    /// The soft cap on scores.
    pub softcap: Option<f64>,
    /// Position and sequence of each row.
    pub positions: Vec<(u32, u32)>,
    /// How keys and values are stored.
    pub format: CacheFormat,
    /// What the queries are.
    pub queries: Values,
    /// The most positions of a part of the cache.
    pub part: usize,
}

impl AttentionRows {
    /// Rows that see all positions before them, over f32 keys.
    pub fn new(heads: [usize; 3], context: usize, positions: Vec<(u32, u32)>) -> Self {
        let (format, queries, part) = (CacheFormat::F32, Values::Plain, usize::MAX);
        let scale = 1.0 / (heads[2] as f64).sqrt();
        Self {
            heads,
            context,
            window: None,
            scale,
            softcap: None,
            positions,
            format,
            queries,
            part,
        }
    }

    /// `count` neighboring rows of one sequence, from position `first` on.
    pub fn row_run(first: u32, count: u32) -> Vec<(u32, u32)> {
        (first..first + count).map(|position| (position, 0)).collect()
    }

    /// `count` rows of three sequences, each row at its own position.
    pub fn ragged(count: u32, context: u32) -> Vec<(u32, u32)> {
        (0..count).map(|i| (i * 37 % context, i % 3)).collect()
    }
}

/// A case's inputs on the device, and as the twins take them.
pub(super) struct Inputs {
    /// Position and sequence of each row.
    pub(super) rows: BufferId,
    /// (T, H·D).
    pub(super) q: Tensor,
    pub(super) cache: Cache,
    /// The keys that the furthest row sees.
    pub(super) extent: u32,
    pub(super) size: AttentionSize,
    pub(super) keys: Vec<f64>,
    pub(super) values: Vec<f64>,
    queries: Vec<f64>,
}

impl AttentionRows {
    /// Generates queries, and a cache full of keys and values.
    pub(super) fn upload(&self, device: &mut Device) -> Result<Inputs> {
        let &Self { heads: [heads, kv_heads, width], context, window, scale, softcap, .. } = self;
        let sequences = 1 + self.positions.iter().map(|row| row.1).max().unwrap_or(0) as usize;
        let shape = ([sequences, context], [kv_heads, width]);
        let position = Cache::named(self.format, shape.0, shape.1, u64::MAX).position_bytes();
        let limit = position.saturating_mul(self.part as u64);
        let cache = Cache::named(self.format, shape.0, shape.1, limit);
        let [keys, values] = filled(device, &cache)?;
        let count = self.positions.len();
        let queries = device.values(self.queries, count * heads * width);
        let size = AttentionSize { heads, kv_heads, head_width: width, window, scale, softcap };
        Ok(Inputs {
            rows: device.rows(&self.positions)?,
            q: device.tensor(count, heads * width, &queries)?,
            cache,
            extent: self.positions.iter().map(|row| row.0 + 1).max().unwrap_or(1),
            size,
            queries: to_f64(&queries),
            keys,
            values,
        })
    }

    /// Between large scores f32 resolves only differences of about a thousandth.
    pub(super) fn tolerance(&self) -> f64 {
        if self.queries == Values::Large { 1e-3 } else { TOLERANCE }
    }
}

impl Inputs {
    /// One sequence's part of keys or values.
    pub(super) fn sequence<'a>(&self, all: &'a [f64], sequence: u32) -> &'a [f64] {
        let length = self.cache.context * self.cache.heads * self.cache.width;
        &all[sequence as usize * length..][..length]
    }

    /// The queries of each row.
    pub(super) fn by_row(&self) -> impl Iterator<Item = &[f64]> {
        self.queries.chunks(self.q.columns)
    }

    /// (H, T, S) of the scores of each row, from those of one row at a time: a pattern is ordered
    /// by head and then row, and here every row has its own keys, so that the twin sees one at a
    /// time.
    pub(super) fn scores(&self, positions: &[(u32, u32)]) -> Vec<f64> {
        let (heads, keys) = (self.size.heads, self.cache.context);
        let rows: Vec<Vec<f64>> = self
            .by_row()
            .zip(positions)
            .map(|(q, &(position, sequence))| {
                let keys = self.sequence(&self.keys, sequence);
                attention_scores(q, keys, &[position], self.size)
            })
            .collect();
        let of_head = |head| rows.iter().flat_map(move |row| &row[head * keys..][..keys]);
        (0..heads).flat_map(of_head).copied().collect()
    }
}

impl AttentionRows {
    /// Windows, long contexts, caches in parts, and queries of all kinds: run by attention in
    /// steps, and by fused attention too.
    pub(super) fn table() -> Vec<Self> {
        let (short, long) = (CacheFormat::F16, CacheFormat::F32);
        let mut table = Vec::new();
        for format in [short, long] {
            for window in [None, Some(5), Some(1000)] {
                for positions in [vec![(299, 0), (0, 1), (150, 2)], Self::row_run(270, 30)] {
                    table.push(Self { format, window, ..Self::new([4, 2, 20], 300, positions) });
                }
            }
        }
        // Caches in parts so short that windows and tiles straddle them, and softcapped scores.
        for (format, part) in [(short, 4), (long, 17)] {
            for positions in [vec![(69, 0)], Self::ragged(3, 69), Self::row_run(35, 34)] {
                let (window, softcap) = (Some(50), Some(0.5));
                let case = Self::new([6, 2, 10], 70, positions);
                table.push(Self { format, part, window, softcap, scale: 0.7, ..case });
            }
        }
        for queries in Values::ALL {
            for positions in [Self::row_run(99, 1), Self::row_run(88, 12)] {
                table.push(Self { queries, ..Self::new([4, 2, 20], 100, positions) });
            }
        }
        table
    }
}
