//! The parts of a model, their shapes, and what each family's files call them.

use crate::config::{Config, Mlp, Norm, Position};

/// One weight of a model. All but the five outside the layers exist once a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Token embedding, [V, C]; outside the layers.
    Embed,
    /// Learned positions, [context, C]; outside the layers.
    Positions,
    /// Gain of the first norm, C.
    Norm1,
    /// Bias of the first norm, C.
    Norm1Bias,
    /// Queries, [H·D, C].
    Q,
    /// Keys, [K·D, C].
    K,
    /// Values, [K·D, C].
    V,
    /// Bias of the queries, H·D.
    QBias,
    /// Bias of the keys, K·D.
    KBias,
    /// Bias of the values, K·D.
    VBias,
    /// Gain of each query head's norm, D.
    QNorm,
    /// Gain of each key head's norm, D.
    KNorm,
    /// Attention's output projection, [C, H·D].
    Out,
    /// Bias of the output projection, C.
    OutBias,
    /// Gain of the second norm, C.
    Norm2,
    /// Bias of the second norm, C.
    Norm2Bias,
    /// The perceptron's gate, [F, C].
    Gate,
    /// The perceptron's first map, or the factor beside the gate, [F, C].
    Up,
    /// The perceptron's second map, [C, F].
    Down,
    /// Bias of the gate, F.
    GateBias,
    /// Bias of the first map, F.
    UpBias,
    /// Bias of the second map, C.
    DownBias,
    /// Gain of the final norm, C; outside the layers.
    FinalNorm,
    /// Bias of the final norm, C; outside the layers.
    FinalNormBias,
    /// Output head, [V, C]; outside the layers. A tied head has none: the embedding stands in.
    Head,
}

impl Part {
    /// All of them, those outside the layers included.
    pub const ALL: [Self; 25] = [
        Self::Embed,
        Self::Positions,
        Self::Norm1,
        Self::Norm1Bias,
        Self::Q,
        Self::K,
        Self::V,
        Self::QBias,
        Self::KBias,
        Self::VBias,
        Self::QNorm,
        Self::KNorm,
        Self::Out,
        Self::OutBias,
        Self::Norm2,
        Self::Norm2Bias,
        Self::Gate,
        Self::Up,
        Self::Down,
        Self::GateBias,
        Self::UpBias,
        Self::DownBias,
        Self::FinalNorm,
        Self::FinalNormBias,
        Self::Head,
    ];

    /// Whether the part exists once a layer.
    pub fn in_layer(self) -> bool {
        use Part::{Embed, FinalNorm, FinalNormBias, Head, Positions};
        !matches!(self, Embed | Positions | FinalNorm | FinalNormBias | Head)
    }

    /// Whether a model of this kind has the part.
    pub fn belongs_to(self, config: &Config) -> bool {
        let layer_norm = config.norm == Norm::LayerNorm;
        let perceptron = config.mlp != Mlp::None;
        let gated = matches!(config.mlp, Mlp::SwiGlu { .. });
        match self {
            Self::Embed | Self::Norm1 | Self::FinalNorm => true,
            Self::Q | Self::K | Self::V | Self::Out => true,
            Self::Positions => config.position == Position::Learned,
            Self::Norm1Bias | Self::FinalNormBias => layer_norm,
            Self::QBias | Self::KBias | Self::VBias => config.biases.qkv,
            Self::QNorm | Self::KNorm => config.qk_norm,
            Self::OutBias => config.biases.out,
            Self::Norm2 | Self::Up | Self::Down => perceptron,
            Self::Norm2Bias => perceptron && layer_norm,
            Self::Gate => gated,
            Self::GateBias => gated && config.biases.mlp,
            Self::UpBias | Self::DownBias => perceptron && config.biases.mlp,
            Self::Head => !config.tied_head,
        }
    }

    pub(super) fn shape(self, config: &Config) -> Shape {
        let (queries, keys) = (config.q_width(), config.kv_width());
        let (width, hidden) = (config.width, config.mlp.hidden());
        match self {
            Self::Embed | Self::Head => Shape::Map(config.vocab, width),
            Self::Positions => Shape::Map(config.context, width),
            Self::Q => Shape::Map(queries, width),
            Self::K | Self::V => Shape::Map(keys, width),
            Self::Out => Shape::Map(width, queries),
            Self::Gate | Self::Up => Shape::Map(hidden, width),
            Self::Down => Shape::Map(width, hidden),
            Self::QBias => Shape::Vector(queries),
            Self::KBias | Self::VBias => Shape::Vector(keys),
            Self::QNorm | Self::KNorm => Shape::Vector(config.head_width),
            Self::GateBias | Self::UpBias => Shape::Vector(hidden),
            Self::Norm1 | Self::Norm1Bias | Self::Norm2 | Self::Norm2Bias => Shape::Vector(width),
            Self::OutBias | Self::DownBias => Shape::Vector(width),
            Self::FinalNorm | Self::FinalNormBias => Shape::Vector(width),
        }
    }
}

/// What the forward page multiplies by or adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// [out, in].
    Map(usize, usize),
    /// A gain or a bias.
    Vector(usize),
}

/// How a part lies inside the file's tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The tensor is the part, [out, in].
    Whole,
    /// As `Whole`, but the two values of each rotated pair of a head lie side by side.
    Paired,
    /// The tensor is the part's transpose, [in, out].
    Transposed,
    /// The tensor is q|k|v along its outputs.
    Joined,
    /// The tensor is the transpose of q|k|v.
    JoinedTransposed,
}

/// What a family's files call the parts.
#[derive(Debug)]
pub(super) struct Names {
    /// Stands before every name but the head's, or before none: files come both ways.
    pub(super) prefix: &'static str,
    /// `{}` stands for the layer.
    pub(super) rows: &'static [(Part, &'static str, Cut)],
}

impl Names {
    /// The part's name and cut in files whose names start with `prefix`.
    pub(super) fn find(&self, part: Part, layer: usize, prefix: &str) -> Option<(String, Cut)> {
        let (_, pattern, cut) = self.rows.iter().find(|(known, ..)| *known == part)?;
        let prefix = if part == Part::Head { "" } else { prefix };
        Some((format!("{prefix}{}", pattern.replace("{}", &layer.to_string())), *cut))
    }
}

use Cut::{Joined, JoinedTransposed, Transposed, Whole};

/// GPT-2 as Hugging Face saves it; its linear maps are kept [in, out].
pub(super) const HF_GPT2: Names = Names {
    prefix: "transformer.",
    rows: &[
        (Part::Embed, "wte.weight", Whole),
        (Part::Positions, "wpe.weight", Whole),
        (Part::Norm1, "h.{}.ln_1.weight", Whole),
        (Part::Norm1Bias, "h.{}.ln_1.bias", Whole),
        (Part::Q, "h.{}.attn.c_attn.weight", JoinedTransposed),
        (Part::K, "h.{}.attn.c_attn.weight", JoinedTransposed),
        (Part::V, "h.{}.attn.c_attn.weight", JoinedTransposed),
        (Part::QBias, "h.{}.attn.c_attn.bias", Joined),
        (Part::KBias, "h.{}.attn.c_attn.bias", Joined),
        (Part::VBias, "h.{}.attn.c_attn.bias", Joined),
        (Part::Out, "h.{}.attn.c_proj.weight", Transposed),
        (Part::OutBias, "h.{}.attn.c_proj.bias", Whole),
        (Part::Norm2, "h.{}.ln_2.weight", Whole),
        (Part::Norm2Bias, "h.{}.ln_2.bias", Whole),
        (Part::Up, "h.{}.mlp.c_fc.weight", Transposed),
        (Part::UpBias, "h.{}.mlp.c_fc.bias", Whole),
        (Part::Down, "h.{}.mlp.c_proj.weight", Transposed),
        (Part::DownBias, "h.{}.mlp.c_proj.bias", Whole),
        (Part::FinalNorm, "ln_f.weight", Whole),
        (Part::FinalNormBias, "ln_f.bias", Whole),
        (Part::Head, "lm_head.weight", Whole),
    ],
};

/// Llama, Mistral, Qwen2 and Qwen3 as Hugging Face saves them.
pub(super) const HF_LLAMA: Names = Names {
    prefix: "model.",
    rows: &[
        (Part::Embed, "embed_tokens.weight", Whole),
        (Part::Norm1, "layers.{}.input_layernorm.weight", Whole),
        (Part::Q, "layers.{}.self_attn.q_proj.weight", Whole),
        (Part::K, "layers.{}.self_attn.k_proj.weight", Whole),
        (Part::V, "layers.{}.self_attn.v_proj.weight", Whole),
        (Part::QBias, "layers.{}.self_attn.q_proj.bias", Whole),
        (Part::KBias, "layers.{}.self_attn.k_proj.bias", Whole),
        (Part::VBias, "layers.{}.self_attn.v_proj.bias", Whole),
        (Part::QNorm, "layers.{}.self_attn.q_norm.weight", Whole),
        (Part::KNorm, "layers.{}.self_attn.k_norm.weight", Whole),
        (Part::Out, "layers.{}.self_attn.o_proj.weight", Whole),
        (Part::OutBias, "layers.{}.self_attn.o_proj.bias", Whole),
        (Part::Norm2, "layers.{}.post_attention_layernorm.weight", Whole),
        (Part::Gate, "layers.{}.mlp.gate_proj.weight", Whole),
        (Part::Up, "layers.{}.mlp.up_proj.weight", Whole),
        (Part::Down, "layers.{}.mlp.down_proj.weight", Whole),
        (Part::GateBias, "layers.{}.mlp.gate_proj.bias", Whole),
        (Part::UpBias, "layers.{}.mlp.up_proj.bias", Whole),
        (Part::DownBias, "layers.{}.mlp.down_proj.bias", Whole),
        (Part::FinalNorm, "norm.weight", Whole),
        (Part::Head, "lm_head.weight", Whole),
    ],
};

/// GPT-2 in GGUF.
pub(super) const GGUF_GPT2: Names = Names {
    prefix: "",
    rows: &[
        (Part::Embed, "token_embd.weight", Whole),
        (Part::Positions, "position_embd.weight", Whole),
        (Part::Norm1, "blk.{}.attn_norm.weight", Whole),
        (Part::Norm1Bias, "blk.{}.attn_norm.bias", Whole),
        (Part::Q, "blk.{}.attn_qkv.weight", Joined),
        (Part::K, "blk.{}.attn_qkv.weight", Joined),
        (Part::V, "blk.{}.attn_qkv.weight", Joined),
        (Part::QBias, "blk.{}.attn_qkv.bias", Joined),
        (Part::KBias, "blk.{}.attn_qkv.bias", Joined),
        (Part::VBias, "blk.{}.attn_qkv.bias", Joined),
        (Part::Out, "blk.{}.attn_output.weight", Whole),
        (Part::OutBias, "blk.{}.attn_output.bias", Whole),
        (Part::Norm2, "blk.{}.ffn_norm.weight", Whole),
        (Part::Norm2Bias, "blk.{}.ffn_norm.bias", Whole),
        (Part::Up, "blk.{}.ffn_up.weight", Whole),
        (Part::UpBias, "blk.{}.ffn_up.bias", Whole),
        (Part::Down, "blk.{}.ffn_down.weight", Whole),
        (Part::DownBias, "blk.{}.ffn_down.bias", Whole),
        (Part::FinalNorm, "output_norm.weight", Whole),
        (Part::FinalNormBias, "output_norm.bias", Whole),
        (Part::Head, "output.weight", Whole),
    ],
};

/// Llama, Qwen2 and Qwen3 in GGUF.
pub(super) const GGUF_LLAMA: Names = Names {
    prefix: "",
    rows: &[
        (Part::Embed, "token_embd.weight", Whole),
        (Part::Norm1, "blk.{}.attn_norm.weight", Whole),
        (Part::Q, "blk.{}.attn_q.weight", Whole),
        (Part::K, "blk.{}.attn_k.weight", Whole),
        (Part::V, "blk.{}.attn_v.weight", Whole),
        (Part::QBias, "blk.{}.attn_q.bias", Whole),
        (Part::KBias, "blk.{}.attn_k.bias", Whole),
        (Part::VBias, "blk.{}.attn_v.bias", Whole),
        (Part::QNorm, "blk.{}.attn_q_norm.weight", Whole),
        (Part::KNorm, "blk.{}.attn_k_norm.weight", Whole),
        (Part::Out, "blk.{}.attn_output.weight", Whole),
        (Part::OutBias, "blk.{}.attn_output.bias", Whole),
        (Part::Norm2, "blk.{}.ffn_norm.weight", Whole),
        (Part::Gate, "blk.{}.ffn_gate.weight", Whole),
        (Part::Up, "blk.{}.ffn_up.weight", Whole),
        (Part::Down, "blk.{}.ffn_down.weight", Whole),
        (Part::GateBias, "blk.{}.ffn_gate.bias", Whole),
        (Part::UpBias, "blk.{}.ffn_up.bias", Whole),
        (Part::DownBias, "blk.{}.ffn_down.bias", Whole),
        (Part::FinalNorm, "output_norm.weight", Whole),
        (Part::Head, "output.weight", Whole),
    ],
};
