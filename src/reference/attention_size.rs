//! What the steps of attention share: sizes, which keys a row sees, and where a head's values are.

use super::dot::dot;

/// The sizes of one attention layer.
#[derive(Clone, Copy, Debug)]
pub struct AttentionSize {
    /// H: query heads.
    pub heads: usize,
    /// K: key/value heads; query head h reads key/value head h / (H / K).
    pub kv_heads: usize,
    /// D: values of one head.
    pub head_width: usize,
    /// A query sees this many latest positions, its own included; `None` is all.
    pub window: Option<usize>,
    /// Factor of q·k: 1/√D unless the model says otherwise.
    pub scale: f64,
    /// Soft cap of the scores before the mask: s = cap · tanh(s / cap), Gemma Team 2024.
    pub softcap: Option<f64>,
}

impl AttentionSize {
    /// The keys that a query at this position sees.
    pub(super) fn seen(&self, position: u32) -> std::ops::Range<usize> {
        let end = position as usize + 1;
        self.window.map_or(0, |window| end.saturating_sub(window))..end
    }

    pub(super) fn score(&self, query: &[f64], keys: &[f64], key: usize, head: usize) -> f64 {
        let score = self.scale * dot(query, self.head_of(keys, key, head));
        self.softcap.map_or(score, |cap| cap * (score / cap).tanh())
    }

    /// The key or value that query head `head` reads at one position: from (S, K, D), (D).
    pub(super) fn head_of<'a>(&self, cached: &'a [f64], key: usize, head: usize) -> &'a [f64] {
        &cached[self.place_of(key, head)]
    }

    /// The place of that key or value in (S, K, D).
    pub(super) fn place_of(&self, key: usize, head: usize) -> std::ops::Range<usize> {
        let start = (key * self.kv_heads + head / (self.heads / self.kv_heads)) * self.head_width;
        start..start + self.head_width
    }
}
