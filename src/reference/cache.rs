//! The KV cache: keys and values of the tokens that a model has read.

use half::f16;

/// Keys and values of every layer, in f64; grows with each forward pass.
#[derive(Clone, Debug)]
pub struct Cache {
    tokens: usize,
    width: usize,
    context: usize,
    layers: Vec<KeysValues>,
}

/// One layer's part of a cache.
#[derive(Clone, Debug, Default)]
pub(super) struct KeysValues {
    /// (S, K, D); rotated by position in rotary models.
    pub keys: Vec<f64>,
    /// (S, K, D).
    pub values: Vec<f64>,
}

impl Cache {
    /// An empty cache of `context` positions, with keys of `width` = K·D values in each layer.
    pub(super) fn new(layers: usize, width: usize, context: usize) -> Self {
        Self { tokens: 0, width, context, layers: vec![KeysValues::default(); layers] }
    }

    /// How many tokens it has room for.
    pub fn context(&self) -> usize {
        self.context
    }

    /// How many tokens it holds.
    pub fn len(&self) -> usize {
        self.tokens
    }

    /// Whether it holds no token.
    pub fn is_empty(&self) -> bool {
        self.tokens == 0
    }

    /// Removes all tokens after the first `tokens`.
    pub fn truncate(&mut self, tokens: usize) {
        self.tokens = self.tokens.min(tokens);
        for layer in &mut self.layers {
            layer.keys.truncate(self.tokens * self.width);
            layer.values.truncate(self.tokens * self.width);
        }
    }

    /// Keys and values of one layer, of the first `tokens`: (tokens, K, D) each.
    pub(crate) fn layer(&self, layer: usize, tokens: usize) -> [&[f64]; 2] {
        let KeysValues { keys, values } = &self.layers[layer];
        [keys, values].map(|part| &part[..(tokens * self.width).min(part.len())])
    }

    /// Sets one layer to what [`Cache::layer`] returned for `tokens` tokens; all layers must be
    /// set.
    pub(crate) fn restore(
        &mut self,
        layer: usize,
        tokens: usize,
        keys: Vec<f64>,
        values: Vec<f64>,
    ) {
        self.layers[layer] = KeysValues { keys, values };
        self.tokens = tokens;
    }

    /// Whether it was made for a model of these sizes.
    pub(super) fn fits(&self, layers: usize, width: usize) -> bool {
        self.layers.len() == layers && self.width == width
    }

    /// Appends one layer's new keys and values, (T, K, D) each; returns all of that layer's.
    pub(super) fn extend(&mut self, layer: usize, keys: &[f64], values: &[f64]) -> &KeysValues {
        let all = &mut self.layers[layer];
        all.keys.extend_from_slice(keys);
        all.values.extend_from_slice(values);
        all
    }

    /// Counts tokens that have been appended to every layer.
    pub(super) fn advance(&mut self, tokens: usize) {
        self.tokens += tokens;
        let len = self.tokens * self.width;
        debug_assert!(self.layers.iter().all(|l| l.keys.len() == len && l.values.len() == len));
    }
}

/// What a cache in f16 holds of a value: the nearest f16, and NaN where there is none.
pub fn cached_f16(value: f64) -> f64 {
    let half = f16::from_f64(value);
    if half.is_finite() { half.to_f64() } else { f64::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_in_f16_is_nan() {
        let held = [65_504.0, 65_519.99, -65_504.0, 2049.0, 0.0].map(cached_f16);
        assert_eq!(held, [65_504.0, 65_504.0, -65_504.0, 2048.0, 0.0]);
        let lost = [65_520.0, -65_520.0, 1e6, -1e6, f64::INFINITY, f64::NAN].map(cached_f16);
        assert!(lost.iter().all(|value| value.is_nan()), "{lost:?}");
    }
}
