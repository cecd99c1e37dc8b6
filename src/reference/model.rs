//! The model's weights, widened to f32, and the calls that run it.

use std::collections::HashMap;

use super::cache::Cache;
use super::linear::{LinearSize, linear};
use super::observer::Observer;
use super::softcap::softcap;
use crate::checkpoint::{Checkpoint, Param, WeightsHash};
use crate::config::Config;
use crate::error::{Error, Result};

/// About how many values are read between two progress reports.
const VALUES_PER_READ: usize = 1 << 22;

/// A whole model in plain Rust: f32 weights, f64 arithmetic.
#[derive(Clone, Debug)]
pub struct Model {
    /// The hyper-parameters.
    pub config: Config,
    /// By parameter and layer; parameters outside the layers have layer 0.
    weights: HashMap<(Param, usize), Weight>,
    /// The hash of all weights as the files have them.
    hash: String,
}

/// One tensor, (outputs, inputs) row-major; a vector is one row.
#[derive(Clone, Debug)]
struct Weight {
    size: LinearSize,
    values: Vec<f32>,
}

impl Model {
    /// Reads every weight that the configuration needs.
    ///
    /// `progress` gets the number of bytes read and the number of all bytes.
    ///
    /// # Errors
    /// [`Error::Tensor`] for a tensor that is missing or has a wrong shape or type, and those of
    /// reading the file.
    pub fn load(checkpoint: &Checkpoint, progress: &mut dyn FnMut(u64, u64)) -> Result<Self> {
        let config = checkpoint.config().clone();
        let mut matrices = Vec::new();
        for param in Param::ALL.into_iter().filter(|param| param.belongs_to(&config)) {
            for layer in 0..if param.in_layer() { config.layers } else { 1 } {
                matrices.push(((param, layer), checkpoint.matrix(param, layer)?));
            }
        }
        let bytes = |rows: usize, row_bytes: usize| rows as u64 * row_bytes as u64;
        let total = matrices.iter().map(|(_, m)| bytes(m.rows, m.row_bytes())).sum();
        let mut done = 0;
        let (mut weights, mut hash) = (HashMap::new(), WeightsHash::default());
        for (place, matrix) in matrices {
            let size = LinearSize { inputs: matrix.columns, outputs: matrix.rows };
            let mut values = Vec::with_capacity(matrix.rows * matrix.columns);
            let step = (VALUES_PER_READ / matrix.columns.max(1)).max(1);
            for start in (0..matrix.rows).step_by(step) {
                let rows = start..matrix.rows.min(start + step);
                done += bytes(rows.len(), matrix.row_bytes());
                let bytes = matrix.read(rows)?;
                hash.add(&matrix, &bytes);
                values.extend(matrix.values_of(&bytes));
                progress(done, total);
            }
            weights.insert(place, Weight { size, values });
        }
        Ok(Self { config, weights, hash: hash.value() })
    }

    /// The hash of all weights as the files have them.
    pub(crate) fn hash(&self) -> &str {
        &self.hash
    }

    /// An empty key/value cache for the whole context that the model was made for.
    pub fn cache(&self) -> Cache {
        self.cache_for(self.config.context)
    }

    /// An empty key/value cache for `context` positions, at most the model's.
    ///
    /// A rotation that depends on the context depends on this one.
    pub fn cache_for(&self, context: usize) -> Cache {
        let context = context.min(self.config.context);
        Cache::new(self.config.layers, self.config.kv_width(), context)
    }

    /// Reads `tokens` after those in the cache; returns their logits, (T, V).
    ///
    /// The cache grows by the tokens.
    ///
    /// # Errors
    /// [`Error::Input`] for an id outside the vocabulary or another model's cache,
    /// [`Error::Context`] for more tokens than the cache has room for. The cache is then unchanged.
    pub fn forward(
        &self,
        cache: &mut Cache,
        tokens: &[u32],
        observer: &mut dyn Observer,
    ) -> Result<Vec<f64>> {
        let stream = self.stream(cache, tokens, observer)?;
        Ok(self.head(&stream))
    }

    /// As [`forward`](Self::forward), but returns the logits of the last token only, (V).
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and [`Error::Input`] without any token.
    pub fn forward_last(
        &self,
        cache: &mut Cache,
        tokens: &[u32],
        observer: &mut dyn Observer,
    ) -> Result<Vec<f64>> {
        if tokens.is_empty() {
            return Err(Error::Input("there is no token to read".into()));
        }
        let stream = self.stream(cache, tokens, observer)?;
        Ok(self.head(&stream[stream.len() - self.config.width..]))
    }

    /// As [`forward`](Self::forward), but returns the logits of some of the tokens only, (N, V), by
    /// their indices.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and [`Error::Input`] for an index beyond the tokens.
    pub fn forward_of(
        &self,
        cache: &mut Cache,
        tokens: &[u32],
        rows: &[usize],
        observer: &mut dyn Observer,
    ) -> Result<Vec<f64>> {
        if let Some(row) = rows.iter().find(|row| **row >= tokens.len()) {
            return Err(Error::Input(format!("there is no row {row} of {}", tokens.len())));
        }
        let stream = self.stream(cache, tokens, observer)?;
        let row = |row: &usize| &stream[row * self.config.width..][..self.config.width];
        let picked: Vec<f64> = rows.iter().flat_map(row).copied().collect();
        Ok(self.head(&picked))
    }

    /// The logits of values of the residual stream after the last layer, (N, C) to (N, V): the final
    /// norm, with its statistics computed from them, and the head.
    pub fn unembed(&self, stream: &[f64]) -> Vec<f64> {
        self.head(&self.final_norm(stream))
    }

    /// One weight as f32, (outputs, inputs) row-major or a vector; `None` if the model has none.
    ///
    /// Parameters outside the layers have layer 0.
    pub fn weight(&self, param: Param, layer: usize) -> Option<&[f32]> {
        self.weights.get(&(param, layer)).map(|weight| weight.values.as_slice())
    }

    /// A weight that the configuration requires; its absence is a bug here.
    pub(super) fn own(&self, param: Param, layer: usize) -> &[f32] {
        &self.weights[&(param, layer)].values
    }

    /// y = x Wᵀ + b for one of the layer's projections; without a bias if there is none.
    pub(super) fn linear(&self, x: &[f64], (map, bias): (Param, Param), layer: usize) -> Vec<f64> {
        let weight = &self.weights[&(map, layer)];
        linear(x, &weight.values, self.weight(bias, layer), weight.size)
    }

    /// Logits of normalized rows: (T, C) to (T, V).
    fn head(&self, stream: &[f64]) -> Vec<f64> {
        let head = if self.config.tied_head { Param::Embed } else { Param::Head };
        let logits = self.linear(stream, (head, Param::HeadBias), 0);
        match self.config.logit_softcap {
            Some(cap) => softcap(&logits, cap),
            None => logits,
        }
    }
}
