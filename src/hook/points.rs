//! The named values of the forward pass: one row per point, in the order of the pass.
//!
//! A new point needs a row here, a mark where the pass computes its value, and the same mark in the
//! reference.

use std::fmt;

/// Makes [`Point`], [`Hook`] and the table behind both from one row per point.
///
/// A row holds the point, with `(layer)` if it exists once per layer; its name; its shape; what the
/// model needs for it to exist; what it is; its names in TransformerLens 4; and its short forms. Where
/// two points share a spelling, a model has only one of them, or the first counts.
macro_rules! points {
    ($(
        $point:ident $(($layer:ident))? $name:literal ($($size:tt),+) [$($need:ident),*] $about:literal
        v4 [$($version4:literal),*] short [$($short:literal),*]
    )+) => {
        /// A named place in the forward pass, in the order of the pass.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Point {
            $(#[doc = points!(@doc $about, ($($size),+), [$($need),*])] $point,)+
        }

        /// A named value of the forward pass, named as in TransformerLens: a [`Point`] and its
        /// layer.
        ///
        /// A hook exists only in models that compute exactly that tensor; layers count from 0.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Hook {
            $(
                #[doc = points!(@doc $about, ($($size),+), [$($need),*])]
                $point $((points!(@usize $layer)))?,
            )+
        }

        /// The row of each point, in the order of [`Point`].
        const POINTS: &[Row] = &[$(Row {
            point: Point::$point,
            name: $name,
            shape: &[$(points!(@size $size)),+],
            needs: &[$(Need::$need),*],
            about: $about,
            version4: &[$($version4),*],
            short: &[$($short),*],
        },)+];

        impl Point {
            /// The value at this point in a layer; `layer` is ignored outside the layers.
            pub fn at(self, layer: usize) -> Hook {
                match self {
                    $(Self::$point => Hook::$point $((points!(@first layer, $layer)))?,)+
                }
            }
        }

        impl Hook {
            /// The point.
            pub fn point(self) -> Point {
                match self {
                    $(Self::$point $((points!(@any $layer)))? => Point::$point,)+
                }
            }

            /// The layer, for hooks inside the layers.
            pub fn layer(self) -> Option<usize> {
                match self {
                    $(Self::$point $(($layer))? => None $(.or(Some($layer)))?,)+
                }
            }
        }
    };
    (@doc $about:literal, ($first:tt $(, $rest:tt)*), [$($need:ident),*]) => {
        concat!(
            $about, ", (", stringify!($first) $(, ", ", stringify!($rest))*, ")",
            $("; needs [`", stringify!($need), "`](Need::", stringify!($need), ")",)* "."
        )
    };
    (@usize $layer:ident) => { usize };
    (@any $layer:ident) => { _ };
    (@first $value:ident, $layer:ident) => { $value };
    (@size 1) => { Size::One };
    (@size $size:ident) => { Size::$size };
}

points! {
    Embed "hook_embed" (T, C) [] "Token embedding"
        v4 ["embed.hook_out"] short ["embed"]
    PosEmbed "hook_pos_embed" (T, C) [LearnedPositions] "Position embedding"
        v4 ["pos_embed.hook_out"] short ["pos_embed"]
    ResidPre(layer) "hook_resid_pre" (T, C) [] "Residual stream before the layer"
        v4 ["hook_in"] short ["resid_pre"]
    AttnIn(layer) "hook_attn_in" (T, C) []
        "The stream as attention reads it; a change reaches attention only"
        v4 ["ln1.hook_in"] short ["attn_in"]
    QInput(layer) "hook_q_input" (T, C) []
        "The stream as the queries read it, before the norm; a change reaches the queries only"
        v4 [] short ["q_input"]
    KInput(layer) "hook_k_input" (T, C) []
        "The stream as the keys read it, before the norm; a change reaches the keys only"
        v4 [] short ["k_input"]
    VInput(layer) "hook_v_input" (T, C) []
        "The stream as the values read it, before the norm; a change reaches the values only"
        v4 [] short ["v_input"]
    Ln1Scale(layer) "ln1.hook_scale" (T, 1) [] "Divisor of the first norm, √(var + ε)"
        v4 [] short ["ln1_scale", "ln1.scale"]
    Ln1Normalized(layer) "ln1.hook_normalized" (T, C) [] "First norm before gain and bias"
        v4 [] short ["ln1_normalized", "ln1.normalized"]
    Q(layer) "attn.hook_q" (T, H, D) [] "Queries before their norm and rotation"
        v4 ["attn.q.hook_out", "attn.q_norm.hook_in"] short ["q_norm_in", "q"]
    K(layer) "attn.hook_k" (T, K, D) [] "Keys before their norm and rotation"
        v4 ["attn.k.hook_out", "attn.k_norm.hook_in"] short ["k_norm_in", "k"]
    V(layer) "attn.hook_v" (T, K, D) [] "Values"
        v4 ["attn.v.hook_out"] short ["value", "v"]
    QNormed(layer) "attn.q_norm.hook_out" (T, H, D) [HeadNorms]
        "Queries after their own norm, before rotation"
        v4 [] short ["q_norm_out", "q_normed"]
    KNormed(layer) "attn.k_norm.hook_out" (T, K, D) [HeadNorms]
        "Keys after their own norm, before rotation"
        v4 [] short ["k_norm_out", "k_normed"]
    RotQ(layer) "attn.hook_rot_q" (T, H, D) [Rotation] "Queries after rotation"
        v4 [] short ["rot_q"]
    RotK(layer) "attn.hook_rot_k" (T, K, D) [Rotation] "Keys after rotation"
        v4 [] short ["rot_k"]
    AttnScores(layer) "attn.hook_attn_scores" (H, T, S) [] "Scores after scaling and masking"
        v4 [] short ["attn_scores", "scores"]
    Pattern(layer) "attn.hook_pattern" (H, T, S) [] "Attention pattern, whose rows sum to one"
        v4 [] short ["attn_probs", "pattern"]
    Z(layer) "attn.hook_z" (T, H, D) [] "Pattern-weighted values"
        v4 ["attn.o.hook_in"] short ["z"]
    Result(layer) "attn.hook_result" (T, H, C) []
        "Each head's own write to the residual stream, without the output bias"
        v4 [] short ["result"]
    AttnBeforeNorm(layer) "attn.hook_out" (T, C) [NormAfterAttention]
        "What attention gives before the norm after it"
        v4 ["attn.o.hook_out", "ln1_post.hook_in"] short ["attn_out_raw"]
    Ln1PostScale(layer) "ln1_post.hook_scale" (T, 1) [NormAfterAttention]
        "Divisor of the norm after attention"
        v4 [] short ["ln1_post_scale", "ln1_post.scale"]
    Ln1PostNormalized(layer) "ln1_post.hook_normalized" (T, C) [NormAfterAttention]
        "Norm after attention before its gain"
        v4 [] short ["ln1_post_normalized", "ln1_post.normalized"]
    AttnOut(layer) "hook_attn_out" (T, C) [] "What attention adds to the residual stream"
        v4 ["attn.hook_out", "ln1_post.hook_out"] short ["attn_out_post", "attn_out"]
    ResidMid(layer) "hook_resid_mid" (T, C) [Mlp, Serial]
        "Residual stream between attention and MLP"
        v4 ["ln2.hook_in"] short ["resid_mid"]
    MlpIn(layer) "hook_mlp_in" (T, C) [Mlp]
        "The stream as the MLP reads it; a change reaches the MLP only"
        v4 [] short ["mlp_in"]
    Ln2Scale(layer) "ln2.hook_scale" (T, 1) [Mlp] "Divisor of the second norm"
        v4 [] short ["ln2_scale", "ln2.scale"]
    Ln2Normalized(layer) "ln2.hook_normalized" (T, C) [Mlp] "Second norm before gain and bias"
        v4 [] short ["ln2_normalized", "ln2.normalized"]
    MlpPre(layer) "mlp.hook_pre" (T, F) [Mlp]
        "MLP before the activation; the gate where there is one"
        v4 ["mlp.in.hook_out", "mlp.gate.hook_out"] short ["mlp_pre", "pre"]
    MlpPreLinear(layer) "mlp.hook_pre_linear" (T, F) [Mlp, Gate] "The factor that the gate scales"
        v4 ["mlp.in.hook_out"] short ["mlp_pre_linear", "pre_linear"]
    MlpPost(layer) "mlp.hook_post" (T, F) [Mlp] "MLP after the activation"
        v4 ["mlp.out.hook_in"] short ["mlp_act", "mlp_post", "post"]
    MlpBeforeNorm(layer) "mlp.hook_out" (T, C) [Mlp, NormAfterMlp]
        "What the MLP gives before the norm after it"
        v4 ["mlp.out.hook_out", "ln2_post.hook_in"] short ["mlp_out_raw"]
    Ln2PostScale(layer) "ln2_post.hook_scale" (T, 1) [Mlp, NormAfterMlp]
        "Divisor of the norm after the MLP"
        v4 [] short ["ln2_post_scale", "ln2_post.scale"]
    Ln2PostNormalized(layer) "ln2_post.hook_normalized" (T, C) [Mlp, NormAfterMlp]
        "Norm after the MLP before its gain"
        v4 [] short ["ln2_post_normalized", "ln2_post.normalized"]
    MlpOut(layer) "hook_mlp_out" (T, C) [Mlp] "What the MLP adds to the residual stream"
        v4 ["mlp.hook_out", "ln2_post.hook_out"] short ["mlp_out_post", "mlp_out"]
    ResidPost(layer) "hook_resid_post" (T, C) [] "Residual stream after the layer"
        v4 ["hook_out"] short ["resid_post"]
    LnFinalScale "ln_final.hook_scale" (T, 1) [] "Divisor of the final norm"
        v4 [] short ["ln_final_scale", "ln_final.scale"]
    LnFinalNormalized "ln_final.hook_normalized" (T, C) [] "Final norm before gain and bias"
        v4 [] short ["ln_final_normalized", "ln_final.normalized"]
}

/// The table's entry for a point.
struct Row {
    point: Point,
    name: &'static str,
    shape: &'static [Size],
    needs: &'static [Need],
    about: &'static str,
    version4: &'static [&'static str],
    short: &'static [&'static str],
}

/// A size of a named value, with the letters of `docs/the-function.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 1.
    One,
    /// Rows.
    T,
    /// Width of the residual stream.
    C,
    /// Query heads.
    H,
    /// Key/value heads.
    K,
    /// Width of a head.
    D,
    /// Hidden width of the MLP.
    F,
    /// Keys that the last row sees.
    S,
}

/// What a model needs for a value to exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Learned position vectors.
    LearnedPositions,
    /// Rotation of queries and keys.
    Rotation,
    /// An MLP in its layers.
    Mlp,
    /// A gate in that MLP.
    Gate,
    /// The MLP after attention, not parallel to it.
    Serial,
    /// A norm of each head's queries and keys.
    HeadNorms,
    /// A norm of attention's output.
    NormAfterAttention,
    /// A norm of the MLP's output.
    NormAfterMlp,
}

impl Point {
    /// Every point, in the order of the forward pass.
    pub fn all() -> impl Iterator<Item = Self> {
        POINTS.iter().map(|row| row.point)
    }

    /// Its name; for a point inside the layers, the part after `blocks.N.`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Whether it exists once per layer.
    pub fn in_layer(self) -> bool {
        self.at(0).layer().is_some()
    }

    /// The shape of its value.
    pub fn shape(self) -> &'static [Size] {
        self.row().shape
    }

    /// What a model needs for it to exist.
    pub fn needs(self) -> &'static [Need] {
        self.row().needs
    }

    /// What its value is.
    pub fn about(self) -> &'static str {
        self.row().about
    }

    /// Its names in TransformerLens 4; for a point inside the layers, the parts after `blocks.N.`.
    pub(super) fn version4(self) -> &'static [&'static str] {
        self.row().version4
    }

    /// What stands before the layer in its short forms: interp-engine's first.
    pub(super) fn short(self) -> &'static [&'static str] {
        self.row().short
    }

    fn row(self) -> &'static Row {
        &POINTS[self as usize]
    }
}

impl Hook {
    /// Every hook of a model with this many layers, in the order of the forward pass.
    /// Some of them exist only in some families.
    pub fn all(layers: usize) -> Vec<Self> {
        let count = |point: Point| if point.in_layer() { layers } else { 1 };
        let all = Point::all().flat_map(|point| (0..count(point)).map(move |l| point.at(l)));
        let mut all: Vec<Self> = all.collect();
        all.sort_by_key(|hook| hook.place());
        all
    }

    /// Its place in the forward pass: hooks sorted by this are in the order of the pass.
    pub fn place(self) -> (usize, Point) {
        let outside = if self.point() < Point::ResidPre { 0 } else { usize::MAX };
        (self.layer().map_or(outside, |layer| layer + 1), self.point())
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layer() {
            None => f.write_str(self.point().name()),
            Some(layer) => write!(f, "blocks.{layer}.{}", self.point().name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_are_in_the_order_of_the_pass() {
        assert!(Hook::all(3).is_sorted_by_key(|hook| hook.place()));
        assert_eq!(Hook::Pattern(5).to_string(), "blocks.5.attn.hook_pattern");
        assert!(Point::all().is_sorted(), "the table is in the order of the enum");
    }
}
