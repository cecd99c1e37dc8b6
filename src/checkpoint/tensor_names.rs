//! The tensor names of each family, and how its parameters are stored in them.

use super::params::Cut::{ByHead, Joined, JoinedTransposed, MinusOne, Paired, Transposed, Whole};
use super::params::{Cut, Param};
use super::source::Entries;

/// The supported architectures, for errors.
pub(super) const FAMILIES: &str =
    "gpt2, gpt_neo, gptj, gpt_neox, llama, mistral, qwen2, qwen3, gemma2, gemma3, phi3";

/// The tensor names of a family.
#[derive(Debug)]
pub(super) struct Names {
    /// One of these precedes every name except the head's, or none does: both kinds of file exist.
    pub(super) prefixes: &'static [&'static str],
    /// `{}` is the layer. If a parameter has two rows, a file has one of them.
    pub(super) rows: &'static [(Param, &'static str, Cut)],
}

impl Names {
    /// The prefix of the names in a file, or an empty string: one of the family, in which the
    /// language model may be a part of a larger model.
    pub(super) fn prefix_of(&self, entries: &Entries) -> String {
        let first = [Param::Embed, Param::Norm1, Param::FinalNorm];
        let first: Vec<String> = first
            .into_iter()
            .flat_map(|param| self.find(param, 0, "").map(|(name, _)| name))
            .collect();
        let used = |prefix: &String| {
            first.iter().any(|name| entries.contains_key(&format!("{prefix}{name}")))
        };
        let candidates = self.prefixes.iter().chain(&[""]).flat_map(|own| {
            [format!("{LANGUAGE}{own}"), format!("{own}{LANGUAGE}"), (*own).to_owned()]
        });
        candidates.into_iter().find(used).unwrap_or_default()
    }

    /// The possible names and cuts of a parameter in a file whose names start with `prefix`.
    pub(super) fn find(
        &self,
        param: Param,
        layer: usize,
        prefix: &str,
    ) -> impl Iterator<Item = (String, Cut)> {
        // The head stands outside of the model that the prefix names.
        let prefixes = match param {
            Param::Head | Param::HeadBias if prefix.contains(LANGUAGE) => vec!["", LANGUAGE],
            Param::Head | Param::HeadBias => vec![""],
            _ => vec![prefix],
        };
        let names = prefixes.into_iter().flat_map(move |prefix| {
            let rows = self.rows.iter().filter(move |(known, ..)| *known == param);
            rows.map(move |(_, name, cut)| {
                (format!("{prefix}{}", name.replace("{}", &layer.to_string())), *cut)
            })
        });
        names.collect::<Vec<_>>().into_iter()
    }
}

/// The prefix of a language model that is part of a larger model.
const LANGUAGE: &str = "language_model.";

/// GPT-2 as Hugging Face saves it; its linear layers are stored as [in, out].
pub(super) const HF_GPT2: Names = Names {
    prefixes: &["transformer."],
    rows: &[
        (Param::Embed, "wte.weight", Whole),
        (Param::Positions, "wpe.weight", Whole),
        (Param::Norm1, "h.{}.ln_1.weight", Whole),
        (Param::Norm1Bias, "h.{}.ln_1.bias", Whole),
        (Param::Q, "h.{}.attn.c_attn.weight", JoinedTransposed),
        (Param::K, "h.{}.attn.c_attn.weight", JoinedTransposed),
        (Param::V, "h.{}.attn.c_attn.weight", JoinedTransposed),
        (Param::QBias, "h.{}.attn.c_attn.bias", Joined),
        (Param::KBias, "h.{}.attn.c_attn.bias", Joined),
        (Param::VBias, "h.{}.attn.c_attn.bias", Joined),
        (Param::Out, "h.{}.attn.c_proj.weight", Transposed),
        (Param::OutBias, "h.{}.attn.c_proj.bias", Whole),
        (Param::Norm2, "h.{}.ln_2.weight", Whole),
        (Param::Norm2Bias, "h.{}.ln_2.bias", Whole),
        (Param::Up, "h.{}.mlp.c_fc.weight", Transposed),
        (Param::UpBias, "h.{}.mlp.c_fc.bias", Whole),
        (Param::Down, "h.{}.mlp.c_proj.weight", Transposed),
        (Param::DownBias, "h.{}.mlp.c_proj.bias", Whole),
        (Param::FinalNorm, "ln_f.weight", Whole),
        (Param::FinalNormBias, "ln_f.bias", Whole),
        (Param::Head, "lm_head.weight", Whole),
    ],
};

/// Llama, Mistral, Qwen2 and Qwen3 as Hugging Face saves them.
pub(super) const HF_LLAMA: Names = Names {
    prefixes: &["model."],
    rows: &[
        (Param::Embed, "embed_tokens.weight", Whole),
        (Param::Norm1, "layers.{}.input_layernorm.weight", Whole),
        (Param::Q, "layers.{}.self_attn.q_proj.weight", Whole),
        (Param::K, "layers.{}.self_attn.k_proj.weight", Whole),
        (Param::V, "layers.{}.self_attn.v_proj.weight", Whole),
        (Param::QBias, "layers.{}.self_attn.q_proj.bias", Whole),
        (Param::KBias, "layers.{}.self_attn.k_proj.bias", Whole),
        (Param::VBias, "layers.{}.self_attn.v_proj.bias", Whole),
        (Param::QNorm, "layers.{}.self_attn.q_norm.weight", Whole),
        (Param::KNorm, "layers.{}.self_attn.k_norm.weight", Whole),
        (Param::Out, "layers.{}.self_attn.o_proj.weight", Whole),
        (Param::OutBias, "layers.{}.self_attn.o_proj.bias", Whole),
        (Param::Norm2, "layers.{}.post_attention_layernorm.weight", Whole),
        (Param::Gate, "layers.{}.mlp.gate_proj.weight", Whole),
        (Param::Up, "layers.{}.mlp.up_proj.weight", Whole),
        (Param::Down, "layers.{}.mlp.down_proj.weight", Whole),
        (Param::GateBias, "layers.{}.mlp.gate_proj.bias", Whole),
        (Param::UpBias, "layers.{}.mlp.up_proj.bias", Whole),
        (Param::DownBias, "layers.{}.mlp.down_proj.bias", Whole),
        (Param::FinalNorm, "norm.weight", Whole),
        (Param::Head, "lm_head.weight", Whole),
    ],
};

/// GPT-2 in GGUF.
pub(super) const GGUF_GPT2: Names = Names {
    prefixes: &[],
    rows: &[
        (Param::Embed, "token_embd.weight", Whole),
        (Param::Positions, "position_embd.weight", Whole),
        (Param::Norm1, "blk.{}.attn_norm.weight", Whole),
        (Param::Norm1Bias, "blk.{}.attn_norm.bias", Whole),
        (Param::Q, "blk.{}.attn_qkv.weight", Joined),
        (Param::K, "blk.{}.attn_qkv.weight", Joined),
        (Param::V, "blk.{}.attn_qkv.weight", Joined),
        (Param::QBias, "blk.{}.attn_qkv.bias", Joined),
        (Param::KBias, "blk.{}.attn_qkv.bias", Joined),
        (Param::VBias, "blk.{}.attn_qkv.bias", Joined),
        (Param::Out, "blk.{}.attn_output.weight", Whole),
        (Param::OutBias, "blk.{}.attn_output.bias", Whole),
        (Param::Norm2, "blk.{}.ffn_norm.weight", Whole),
        (Param::Norm2Bias, "blk.{}.ffn_norm.bias", Whole),
        (Param::Up, "blk.{}.ffn_up.weight", Whole),
        (Param::UpBias, "blk.{}.ffn_up.bias", Whole),
        (Param::Down, "blk.{}.ffn_down.weight", Whole),
        (Param::DownBias, "blk.{}.ffn_down.bias", Whole),
        (Param::FinalNorm, "output_norm.weight", Whole),
        (Param::FinalNormBias, "output_norm.bias", Whole),
        (Param::Head, "output.weight", Whole),
    ],
};

/// Llama, Qwen2, Qwen3, Gemma 2 and Gemma 3 in GGUF, where gains are stored without an offset.
pub(super) const GGUF_LLAMA: Names = Names {
    prefixes: &[],
    rows: &[
        (Param::Embed, "token_embd.weight", Whole),
        (Param::Norm1, "blk.{}.attn_norm.weight", Whole),
        (Param::Q, "blk.{}.attn_q.weight", Whole),
        (Param::K, "blk.{}.attn_k.weight", Whole),
        (Param::V, "blk.{}.attn_v.weight", Whole),
        (Param::QBias, "blk.{}.attn_q.bias", Whole),
        (Param::KBias, "blk.{}.attn_k.bias", Whole),
        (Param::VBias, "blk.{}.attn_v.bias", Whole),
        (Param::QNorm, "blk.{}.attn_q_norm.weight", Whole),
        (Param::KNorm, "blk.{}.attn_k_norm.weight", Whole),
        (Param::Out, "blk.{}.attn_output.weight", Whole),
        (Param::OutBias, "blk.{}.attn_output.bias", Whole),
        (Param::PostNorm1, "blk.{}.post_attention_norm.weight", Whole),
        (Param::Norm2, "blk.{}.ffn_norm.weight", Whole),
        (Param::Gate, "blk.{}.ffn_gate.weight", Whole),
        (Param::Up, "blk.{}.ffn_up.weight", Whole),
        (Param::Down, "blk.{}.ffn_down.weight", Whole),
        (Param::GateBias, "blk.{}.ffn_gate.bias", Whole),
        (Param::UpBias, "blk.{}.ffn_up.bias", Whole),
        (Param::DownBias, "blk.{}.ffn_down.bias", Whole),
        (Param::PostNorm2, "blk.{}.post_ffw_norm.weight", Whole),
        (Param::FinalNorm, "output_norm.weight", Whole),
        (Param::Head, "output.weight", Whole),
    ],
};

/// Gemma 2 and 3 as Hugging Face saves them; in multimodal models the language model has a prefix.
pub(super) const HF_GEMMA: Names = Names {
    prefixes: &["language_model.model.", "model.language_model.", "model."],
    rows: &[
        (Param::Embed, "embed_tokens.weight", Whole),
        (Param::Norm1, "layers.{}.input_layernorm.weight", MinusOne),
        (Param::Q, "layers.{}.self_attn.q_proj.weight", Whole),
        (Param::K, "layers.{}.self_attn.k_proj.weight", Whole),
        (Param::V, "layers.{}.self_attn.v_proj.weight", Whole),
        (Param::QBias, "layers.{}.self_attn.q_proj.bias", Whole),
        (Param::KBias, "layers.{}.self_attn.k_proj.bias", Whole),
        (Param::VBias, "layers.{}.self_attn.v_proj.bias", Whole),
        (Param::QNorm, "layers.{}.self_attn.q_norm.weight", MinusOne),
        (Param::KNorm, "layers.{}.self_attn.k_norm.weight", MinusOne),
        (Param::Out, "layers.{}.self_attn.o_proj.weight", Whole),
        (Param::OutBias, "layers.{}.self_attn.o_proj.bias", Whole),
        (Param::PostNorm1, "layers.{}.post_attention_layernorm.weight", MinusOne),
        (Param::Norm2, "layers.{}.pre_feedforward_layernorm.weight", MinusOne),
        (Param::Gate, "layers.{}.mlp.gate_proj.weight", Whole),
        (Param::Up, "layers.{}.mlp.up_proj.weight", Whole),
        (Param::Down, "layers.{}.mlp.down_proj.weight", Whole),
        (Param::PostNorm2, "layers.{}.post_feedforward_layernorm.weight", MinusOne),
        (Param::FinalNorm, "norm.weight", MinusOne),
        (Param::Head, "lm_head.weight", Whole),
    ],
};

/// Phi-3 as Hugging Face saves it.
pub(super) const HF_PHI3: Names = Names {
    prefixes: &["model."],
    rows: &[
        (Param::Embed, "embed_tokens.weight", Whole),
        (Param::Norm1, "layers.{}.input_layernorm.weight", Whole),
        (Param::Q, "layers.{}.self_attn.qkv_proj.weight", Joined),
        (Param::K, "layers.{}.self_attn.qkv_proj.weight", Joined),
        (Param::V, "layers.{}.self_attn.qkv_proj.weight", Joined),
        (Param::Out, "layers.{}.self_attn.o_proj.weight", Whole),
        (Param::Norm2, "layers.{}.post_attention_layernorm.weight", Whole),
        (Param::Gate, "layers.{}.mlp.gate_up_proj.weight", Joined),
        (Param::Up, "layers.{}.mlp.gate_up_proj.weight", Joined),
        (Param::Down, "layers.{}.mlp.down_proj.weight", Whole),
        (Param::FinalNorm, "norm.weight", Whole),
        (Param::Head, "lm_head.weight", Whole),
    ],
};

/// GPT-NeoX and Pythia as Hugging Face saves them.
pub(super) const HF_NEOX: Names = Names {
    prefixes: &["gpt_neox."],
    rows: &[
        (Param::Embed, "embed_in.weight", Whole),
        (Param::Norm1, "layers.{}.input_layernorm.weight", Whole),
        (Param::Norm1Bias, "layers.{}.input_layernorm.bias", Whole),
        (Param::Q, "layers.{}.attention.query_key_value.weight", ByHead),
        (Param::K, "layers.{}.attention.query_key_value.weight", ByHead),
        (Param::V, "layers.{}.attention.query_key_value.weight", ByHead),
        (Param::QBias, "layers.{}.attention.query_key_value.bias", ByHead),
        (Param::KBias, "layers.{}.attention.query_key_value.bias", ByHead),
        (Param::VBias, "layers.{}.attention.query_key_value.bias", ByHead),
        (Param::Out, "layers.{}.attention.dense.weight", Whole),
        (Param::OutBias, "layers.{}.attention.dense.bias", Whole),
        (Param::Norm2, "layers.{}.post_attention_layernorm.weight", Whole),
        (Param::Norm2Bias, "layers.{}.post_attention_layernorm.bias", Whole),
        (Param::Up, "layers.{}.mlp.dense_h_to_4h.weight", Whole),
        (Param::UpBias, "layers.{}.mlp.dense_h_to_4h.bias", Whole),
        (Param::Down, "layers.{}.mlp.dense_4h_to_h.weight", Whole),
        (Param::DownBias, "layers.{}.mlp.dense_4h_to_h.bias", Whole),
        (Param::FinalNorm, "final_layer_norm.weight", Whole),
        (Param::FinalNormBias, "final_layer_norm.bias", Whole),
        (Param::Head, "embed_out.weight", Whole),
        (Param::Head, "lm_head.weight", Whole),
    ],
};

/// GPT-J as Hugging Face saves it. Attention and MLP share one norm; the two values of a rotated
/// pair are adjacent.
pub(super) const HF_GPTJ: Names = Names {
    prefixes: &["transformer."],
    rows: &[
        (Param::Embed, "wte.weight", Whole),
        (Param::Norm1, "h.{}.ln_1.weight", Whole),
        (Param::Norm1Bias, "h.{}.ln_1.bias", Whole),
        (Param::Q, "h.{}.attn.q_proj.weight", Paired),
        (Param::K, "h.{}.attn.k_proj.weight", Paired),
        (Param::V, "h.{}.attn.v_proj.weight", Whole),
        (Param::Out, "h.{}.attn.out_proj.weight", Whole),
        (Param::Norm2, "h.{}.ln_1.weight", Whole),
        (Param::Norm2Bias, "h.{}.ln_1.bias", Whole),
        (Param::Up, "h.{}.mlp.fc_in.weight", Whole),
        (Param::UpBias, "h.{}.mlp.fc_in.bias", Whole),
        (Param::Down, "h.{}.mlp.fc_out.weight", Whole),
        (Param::DownBias, "h.{}.mlp.fc_out.bias", Whole),
        (Param::FinalNorm, "ln_f.weight", Whole),
        (Param::FinalNormBias, "ln_f.bias", Whole),
        (Param::Head, "lm_head.weight", Whole),
        (Param::HeadBias, "lm_head.bias", Whole),
    ],
};

/// GPT-Neo as Hugging Face saves it.
pub(super) const HF_GPT_NEO: Names = Names {
    prefixes: &["transformer."],
    rows: &[
        (Param::Embed, "wte.weight", Whole),
        (Param::Positions, "wpe.weight", Whole),
        (Param::Norm1, "h.{}.ln_1.weight", Whole),
        (Param::Norm1Bias, "h.{}.ln_1.bias", Whole),
        (Param::Q, "h.{}.attn.attention.q_proj.weight", Whole),
        (Param::K, "h.{}.attn.attention.k_proj.weight", Whole),
        (Param::V, "h.{}.attn.attention.v_proj.weight", Whole),
        (Param::Out, "h.{}.attn.attention.out_proj.weight", Whole),
        (Param::OutBias, "h.{}.attn.attention.out_proj.bias", Whole),
        (Param::Norm2, "h.{}.ln_2.weight", Whole),
        (Param::Norm2Bias, "h.{}.ln_2.bias", Whole),
        (Param::Up, "h.{}.mlp.c_fc.weight", Whole),
        (Param::UpBias, "h.{}.mlp.c_fc.bias", Whole),
        (Param::Down, "h.{}.mlp.c_proj.weight", Whole),
        (Param::DownBias, "h.{}.mlp.c_proj.bias", Whole),
        (Param::FinalNorm, "ln_f.weight", Whole),
        (Param::FinalNormBias, "ln_f.bias", Whole),
        (Param::Head, "lm_head.weight", Whole),
    ],
};

/// Phi-3 in GGUF.
pub(super) const GGUF_PHI3: Names = Names {
    prefixes: &[],
    rows: &[
        (Param::Embed, "token_embd.weight", Whole),
        (Param::Norm1, "blk.{}.attn_norm.weight", Whole),
        (Param::Q, "blk.{}.attn_qkv.weight", Joined),
        (Param::K, "blk.{}.attn_qkv.weight", Joined),
        (Param::V, "blk.{}.attn_qkv.weight", Joined),
        (Param::Out, "blk.{}.attn_output.weight", Whole),
        (Param::Norm2, "blk.{}.ffn_norm.weight", Whole),
        (Param::Gate, "blk.{}.ffn_up.weight", Joined),
        (Param::Up, "blk.{}.ffn_up.weight", Joined),
        (Param::Down, "blk.{}.ffn_down.weight", Whole),
        (Param::FinalNorm, "output_norm.weight", Whole),
        (Param::Head, "output.weight", Whole),
    ],
};
