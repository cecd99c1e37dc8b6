//! The named points of the forward pass.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// A named point of the forward pass, after TransformerLens.
///
/// Each is offered only where the tensor is truly that thing; the number is the layer, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hook {
    /// Token embedding, (T, C).
    Embed,
    /// Position embedding, (T, C); models with learned positions only.
    PosEmbed,
    /// Residual stream before the layer, (T, C).
    ResidPre(usize),
    /// Divisor of the first norm, √(var + ε), (T, 1).
    Ln1Scale(usize),
    /// First norm before gain and bias, (T, C).
    Ln1Normalized(usize),
    /// Queries before rotation, (T, H, D).
    Q(usize),
    /// Keys before rotation, (T, K, D).
    K(usize),
    /// Values, (T, K, D).
    V(usize),
    /// Queries after rotation, (T, H, D); rotary models only.
    RotQ(usize),
    /// Keys after rotation, (T, K, D); rotary models only.
    RotK(usize),
    /// Scores after scaling and masking, (H, T, T).
    AttnScores(usize),
    /// Attention pattern, rows sum to one, (H, T, T).
    Pattern(usize),
    /// Pattern-weighted values, (T, H, D).
    Z(usize),
    /// Each head's own write to the residual stream, without the output bias, (T, H, C).
    Result(usize),
    /// Divisor of the norm after attention, (T, 1); models with norms after, too.
    Ln1PostScale(usize),
    /// Norm after attention before its gain, (T, C); models with norms after, too.
    Ln1PostNormalized(usize),
    /// What attention adds to the residual stream, (T, C).
    AttnOut(usize),
    /// Residual stream between attention and perceptron, (T, C); not in attention-only models, nor
    /// where both read the stream side by side.
    ResidMid(usize),
    /// Divisor of the second norm, (T, 1).
    Ln2Scale(usize),
    /// Second norm before gain and bias, (T, C).
    Ln2Normalized(usize),
    /// Perceptron before the activation, (T, F); the gate where there is one.
    MlpPre(usize),
    /// The factor beside the gate, (T, F); models with a gate only.
    MlpPreLinear(usize),
    /// Perceptron after the activation, (T, F).
    MlpPost(usize),
    /// Divisor of the norm after the perceptron, (T, 1); models with norms after, too.
    Ln2PostScale(usize),
    /// Norm after the perceptron before its gain, (T, C); models with norms after, too.
    Ln2PostNormalized(usize),
    /// What the perceptron adds to the residual stream, (T, C).
    MlpOut(usize),
    /// Residual stream after the layer, (T, C).
    ResidPost(usize),
    /// Divisor of the final norm, (T, 1).
    LnFinalScale,
    /// Final norm before gain and bias, (T, C).
    LnFinalNormalized,
}

type LayerHook = fn(usize) -> Hook;

/// The suffixes of the per-layer names, in the order of the forward pass.
const LAYER_HOOKS: [(&str, LayerHook); 25] = [
    ("hook_resid_pre", Hook::ResidPre),
    ("ln1.hook_scale", Hook::Ln1Scale),
    ("ln1.hook_normalized", Hook::Ln1Normalized),
    ("attn.hook_q", Hook::Q),
    ("attn.hook_k", Hook::K),
    ("attn.hook_v", Hook::V),
    ("attn.hook_rot_q", Hook::RotQ),
    ("attn.hook_rot_k", Hook::RotK),
    ("attn.hook_attn_scores", Hook::AttnScores),
    ("attn.hook_pattern", Hook::Pattern),
    ("attn.hook_z", Hook::Z),
    ("attn.hook_result", Hook::Result),
    ("ln1_post.hook_scale", Hook::Ln1PostScale),
    ("ln1_post.hook_normalized", Hook::Ln1PostNormalized),
    ("hook_attn_out", Hook::AttnOut),
    ("hook_resid_mid", Hook::ResidMid),
    ("ln2.hook_scale", Hook::Ln2Scale),
    ("ln2.hook_normalized", Hook::Ln2Normalized),
    ("mlp.hook_pre", Hook::MlpPre),
    ("mlp.hook_pre_linear", Hook::MlpPreLinear),
    ("mlp.hook_post", Hook::MlpPost),
    ("ln2_post.hook_scale", Hook::Ln2PostScale),
    ("ln2_post.hook_normalized", Hook::Ln2PostNormalized),
    ("hook_mlp_out", Hook::MlpOut),
    ("hook_resid_post", Hook::ResidPost),
];

/// The names outside the layers.
const GLOBAL_HOOKS: [(&str, Hook); 4] = [
    ("hook_embed", Hook::Embed),
    ("hook_pos_embed", Hook::PosEmbed),
    ("ln_final.hook_scale", Hook::LnFinalScale),
    ("ln_final.hook_normalized", Hook::LnFinalNormalized),
];

impl Hook {
    /// The layer, for hooks inside one.
    pub fn layer(self) -> Option<usize> {
        let (_, rest) = self.parts();
        rest
    }

    /// Every hook of a model with this many layers, in the order of the forward pass.
    /// Some of them exist only in some families.
    pub fn all(layers: usize) -> Vec<Self> {
        let mut all = vec![Self::Embed, Self::PosEmbed];
        for layer in 0..layers {
            all.extend(LAYER_HOOKS.iter().map(|(_, make)| make(layer)));
        }
        all.extend([Self::LnFinalScale, Self::LnFinalNormalized]);
        all
    }

    /// Where it stands in the forward pass: hooks sorted by this are in its order.
    pub fn place(self) -> (usize, usize) {
        match (self, self.layer()) {
            (Self::Embed, _) => (0, 0),
            (Self::PosEmbed, _) => (0, 1),
            (Self::LnFinalScale, _) => (usize::MAX, 0),
            (_, None) => (usize::MAX, 1),
            (_, Some(layer)) => {
                let place = LAYER_HOOKS.iter().position(|(_, make)| make(layer) == self);
                (layer + 1, place.unwrap_or_default())
            }
        }
    }

    fn parts(self) -> (&'static str, Option<usize>) {
        if let Some((name, _)) = GLOBAL_HOOKS.iter().find(|(_, hook)| *hook == self) {
            return (name, None);
        }
        let layer = match self {
            Self::Embed | Self::PosEmbed | Self::LnFinalScale | Self::LnFinalNormalized => 0,
            Self::ResidPre(n) | Self::Ln1Scale(n) | Self::Ln1Normalized(n) => n,
            Self::Q(n) | Self::K(n) | Self::V(n) | Self::RotQ(n) | Self::RotK(n) => n,
            Self::AttnScores(n) | Self::Pattern(n) | Self::Z(n) | Self::Result(n) => n,
            Self::AttnOut(n) | Self::ResidMid(n) | Self::Ln2Scale(n) => n,
            Self::Ln2Normalized(n) | Self::MlpPre(n) | Self::MlpPreLinear(n) => n,
            Self::MlpPost(n) | Self::MlpOut(n) | Self::ResidPost(n) => n,
            Self::Ln1PostScale(n) | Self::Ln1PostNormalized(n) => n,
            Self::Ln2PostScale(n) | Self::Ln2PostNormalized(n) => n,
        };
        let name =
            LAYER_HOOKS.iter().find(|(_, make)| make(layer) == self).map_or("", |(name, _)| name);
        (name, Some(layer))
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            (name, None) => f.write_str(name),
            (name, Some(layer)) => write!(f, "blocks.{layer}.{name}"),
        }
    }
}

impl FromStr for Hook {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = match text.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')) {
            Some((layer, name)) => layer.parse().ok().and_then(|layer: usize| {
                LAYER_HOOKS.iter().find(|(known, _)| *known == name).map(|(_, make)| make(layer))
            }),
            None => GLOBAL_HOOKS.iter().find(|(name, _)| *name == text).map(|(_, hook)| *hook),
        };
        found.ok_or_else(|| {
            Error::Input(format!("no hook is named {text}; near it: {}", nearest(text).join(", ")))
        })
    }
}

/// The three hook names with the fewest edits from `text`.
fn nearest(text: &str) -> Vec<String> {
    let layer = text
        .strip_prefix("blocks.")
        .and_then(|rest| rest.split('.').next())
        .and_then(|layer| layer.parse().ok())
        .unwrap_or(0);
    let mut names: Vec<String> = GLOBAL_HOOKS
        .iter()
        .map(|(_, hook)| *hook)
        .chain(LAYER_HOOKS.iter().map(|(_, make)| make(layer)))
        .map(|hook| hook.to_string())
        .collect();
    names.sort_by_cached_key(|name| edits(name, text));
    names.truncate(3);
    names
}

/// Levenshtein's distance, for suggestions.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(80).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hook_names_read_back() {
        for hook in Hook::all(3) {
            assert_eq!(hook.to_string().parse::<Hook>().unwrap(), hook, "{hook}");
        }
        assert!(Hook::all(3).is_sorted_by_key(|hook| hook.place()));
        assert_eq!(Hook::Pattern(5).to_string(), "blocks.5.attn.hook_pattern");
    }

    #[test]
    fn an_unknown_hook_lists_its_neighbours() {
        let error = "blocks.2.attn.hook_patern".parse::<Hook>().unwrap_err().to_string();
        assert!(error.contains("blocks.2.attn.hook_pattern"), "{error}");
    }
}
