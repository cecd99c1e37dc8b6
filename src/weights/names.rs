//! What each family's files call the parts, and how these lie in their tensors.

use super::parts::Cut::{ByHead, Joined, JoinedTransposed, LessOne, Paired, Transposed, Whole};
use super::parts::{Cut, Part};
use super::source::Entries;

/// The architectures that can be run, for errors.
pub(super) const FAMILIES: &str =
    "gpt2, gpt_neo, gptj, gpt_neox, llama, mistral, qwen2, qwen3, gemma2, gemma3, phi3";

/// What a family's files call the parts.
#[derive(Debug)]
pub(super) struct Names {
    /// One of these stands before every name but the head's, or none: files come either way.
    pub(super) prefixes: &'static [&'static str],
    /// `{}` stands for the layer. Of two rows for one part the file has either.
    pub(super) rows: &'static [(Part, &'static str, Cut)],
}

impl Names {
    /// The prefix that these names have in a file, or nothing.
    pub(super) fn prefix_of(&self, entries: &Entries) -> &'static str {
        let used = |prefix: &&&str| entries.keys().any(|name| name.starts_with(**prefix));
        self.prefixes.iter().find(used).copied().unwrap_or_default()
    }

    /// The names and cuts that the part may have in files whose names start with `prefix`.
    pub(super) fn find(
        &self,
        part: Part,
        layer: usize,
        prefix: &str,
    ) -> impl Iterator<Item = (String, Cut)> {
        let prefix = if matches!(part, Part::Head | Part::HeadBias) { "" } else { prefix };
        let rows = self.rows.iter().filter(move |(known, ..)| *known == part);
        rows.map(move |(_, name, cut)| {
            (format!("{prefix}{}", name.replace("{}", &layer.to_string())), *cut)
        })
    }
}

/// GPT-2 as Hugging Face saves it; its linear maps are kept [in, out].
pub(super) const HF_GPT2: Names = Names {
    prefixes: &["transformer."],
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
    prefixes: &["model."],
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
    prefixes: &[],
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

/// Llama, Qwen2, Qwen3, Gemma 2 and Gemma 3 in GGUF, where gains are whole.
pub(super) const GGUF_LLAMA: Names = Names {
    prefixes: &[],
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
        (Part::PostNorm1, "blk.{}.post_attention_norm.weight", Whole),
        (Part::Norm2, "blk.{}.ffn_norm.weight", Whole),
        (Part::Gate, "blk.{}.ffn_gate.weight", Whole),
        (Part::Up, "blk.{}.ffn_up.weight", Whole),
        (Part::Down, "blk.{}.ffn_down.weight", Whole),
        (Part::GateBias, "blk.{}.ffn_gate.bias", Whole),
        (Part::UpBias, "blk.{}.ffn_up.bias", Whole),
        (Part::DownBias, "blk.{}.ffn_down.bias", Whole),
        (Part::PostNorm2, "blk.{}.post_ffw_norm.weight", Whole),
        (Part::FinalNorm, "output_norm.weight", Whole),
        (Part::Head, "output.weight", Whole),
    ],
};

/// Gemma 2 and 3 as Hugging Face saves them; inside larger models the text's part has a prefix.
pub(super) const HF_GEMMA: Names = Names {
    prefixes: &["language_model.model.", "model.language_model.", "model."],
    rows: &[
        (Part::Embed, "embed_tokens.weight", Whole),
        (Part::Norm1, "layers.{}.input_layernorm.weight", LessOne),
        (Part::Q, "layers.{}.self_attn.q_proj.weight", Whole),
        (Part::K, "layers.{}.self_attn.k_proj.weight", Whole),
        (Part::V, "layers.{}.self_attn.v_proj.weight", Whole),
        (Part::QBias, "layers.{}.self_attn.q_proj.bias", Whole),
        (Part::KBias, "layers.{}.self_attn.k_proj.bias", Whole),
        (Part::VBias, "layers.{}.self_attn.v_proj.bias", Whole),
        (Part::QNorm, "layers.{}.self_attn.q_norm.weight", LessOne),
        (Part::KNorm, "layers.{}.self_attn.k_norm.weight", LessOne),
        (Part::Out, "layers.{}.self_attn.o_proj.weight", Whole),
        (Part::OutBias, "layers.{}.self_attn.o_proj.bias", Whole),
        (Part::PostNorm1, "layers.{}.post_attention_layernorm.weight", LessOne),
        (Part::Norm2, "layers.{}.pre_feedforward_layernorm.weight", LessOne),
        (Part::Gate, "layers.{}.mlp.gate_proj.weight", Whole),
        (Part::Up, "layers.{}.mlp.up_proj.weight", Whole),
        (Part::Down, "layers.{}.mlp.down_proj.weight", Whole),
        (Part::PostNorm2, "layers.{}.post_feedforward_layernorm.weight", LessOne),
        (Part::FinalNorm, "norm.weight", LessOne),
        (Part::Head, "lm_head.weight", Whole),
    ],
};

/// Phi-3 as Hugging Face saves it.
pub(super) const HF_PHI3: Names = Names {
    prefixes: &["model."],
    rows: &[
        (Part::Embed, "embed_tokens.weight", Whole),
        (Part::Norm1, "layers.{}.input_layernorm.weight", Whole),
        (Part::Q, "layers.{}.self_attn.qkv_proj.weight", Joined),
        (Part::K, "layers.{}.self_attn.qkv_proj.weight", Joined),
        (Part::V, "layers.{}.self_attn.qkv_proj.weight", Joined),
        (Part::Out, "layers.{}.self_attn.o_proj.weight", Whole),
        (Part::Norm2, "layers.{}.post_attention_layernorm.weight", Whole),
        (Part::Gate, "layers.{}.mlp.gate_up_proj.weight", Joined),
        (Part::Up, "layers.{}.mlp.gate_up_proj.weight", Joined),
        (Part::Down, "layers.{}.mlp.down_proj.weight", Whole),
        (Part::FinalNorm, "norm.weight", Whole),
        (Part::Head, "lm_head.weight", Whole),
    ],
};

/// GPT-NeoX, Pythia too, as Hugging Face saves it.
pub(super) const HF_NEOX: Names = Names {
    prefixes: &["gpt_neox."],
    rows: &[
        (Part::Embed, "embed_in.weight", Whole),
        (Part::Norm1, "layers.{}.input_layernorm.weight", Whole),
        (Part::Norm1Bias, "layers.{}.input_layernorm.bias", Whole),
        (Part::Q, "layers.{}.attention.query_key_value.weight", ByHead),
        (Part::K, "layers.{}.attention.query_key_value.weight", ByHead),
        (Part::V, "layers.{}.attention.query_key_value.weight", ByHead),
        (Part::QBias, "layers.{}.attention.query_key_value.bias", ByHead),
        (Part::KBias, "layers.{}.attention.query_key_value.bias", ByHead),
        (Part::VBias, "layers.{}.attention.query_key_value.bias", ByHead),
        (Part::Out, "layers.{}.attention.dense.weight", Whole),
        (Part::OutBias, "layers.{}.attention.dense.bias", Whole),
        (Part::Norm2, "layers.{}.post_attention_layernorm.weight", Whole),
        (Part::Norm2Bias, "layers.{}.post_attention_layernorm.bias", Whole),
        (Part::Up, "layers.{}.mlp.dense_h_to_4h.weight", Whole),
        (Part::UpBias, "layers.{}.mlp.dense_h_to_4h.bias", Whole),
        (Part::Down, "layers.{}.mlp.dense_4h_to_h.weight", Whole),
        (Part::DownBias, "layers.{}.mlp.dense_4h_to_h.bias", Whole),
        (Part::FinalNorm, "final_layer_norm.weight", Whole),
        (Part::FinalNormBias, "final_layer_norm.bias", Whole),
        (Part::Head, "embed_out.weight", Whole),
        (Part::Head, "lm_head.weight", Whole),
    ],
};

/// GPT-J as Hugging Face saves it. Its one norm serves attention and perceptron alike; rotated
/// pairs lie side by side.
pub(super) const HF_GPTJ: Names = Names {
    prefixes: &["transformer."],
    rows: &[
        (Part::Embed, "wte.weight", Whole),
        (Part::Norm1, "h.{}.ln_1.weight", Whole),
        (Part::Norm1Bias, "h.{}.ln_1.bias", Whole),
        (Part::Q, "h.{}.attn.q_proj.weight", Paired),
        (Part::K, "h.{}.attn.k_proj.weight", Paired),
        (Part::V, "h.{}.attn.v_proj.weight", Whole),
        (Part::Out, "h.{}.attn.out_proj.weight", Whole),
        (Part::Norm2, "h.{}.ln_1.weight", Whole),
        (Part::Norm2Bias, "h.{}.ln_1.bias", Whole),
        (Part::Up, "h.{}.mlp.fc_in.weight", Whole),
        (Part::UpBias, "h.{}.mlp.fc_in.bias", Whole),
        (Part::Down, "h.{}.mlp.fc_out.weight", Whole),
        (Part::DownBias, "h.{}.mlp.fc_out.bias", Whole),
        (Part::FinalNorm, "ln_f.weight", Whole),
        (Part::FinalNormBias, "ln_f.bias", Whole),
        (Part::Head, "lm_head.weight", Whole),
        (Part::HeadBias, "lm_head.bias", Whole),
    ],
};

/// GPT-Neo as Hugging Face saves it.
pub(super) const HF_GPT_NEO: Names = Names {
    prefixes: &["transformer."],
    rows: &[
        (Part::Embed, "wte.weight", Whole),
        (Part::Positions, "wpe.weight", Whole),
        (Part::Norm1, "h.{}.ln_1.weight", Whole),
        (Part::Norm1Bias, "h.{}.ln_1.bias", Whole),
        (Part::Q, "h.{}.attn.attention.q_proj.weight", Whole),
        (Part::K, "h.{}.attn.attention.k_proj.weight", Whole),
        (Part::V, "h.{}.attn.attention.v_proj.weight", Whole),
        (Part::Out, "h.{}.attn.attention.out_proj.weight", Whole),
        (Part::OutBias, "h.{}.attn.attention.out_proj.bias", Whole),
        (Part::Norm2, "h.{}.ln_2.weight", Whole),
        (Part::Norm2Bias, "h.{}.ln_2.bias", Whole),
        (Part::Up, "h.{}.mlp.c_fc.weight", Whole),
        (Part::UpBias, "h.{}.mlp.c_fc.bias", Whole),
        (Part::Down, "h.{}.mlp.c_proj.weight", Whole),
        (Part::DownBias, "h.{}.mlp.c_proj.bias", Whole),
        (Part::FinalNorm, "ln_f.weight", Whole),
        (Part::FinalNormBias, "ln_f.bias", Whole),
        (Part::Head, "lm_head.weight", Whole),
    ],
};

/// Phi-3 in GGUF.
pub(super) const GGUF_PHI3: Names = Names {
    prefixes: &[],
    rows: &[
        (Part::Embed, "token_embd.weight", Whole),
        (Part::Norm1, "blk.{}.attn_norm.weight", Whole),
        (Part::Q, "blk.{}.attn_qkv.weight", Joined),
        (Part::K, "blk.{}.attn_qkv.weight", Joined),
        (Part::V, "blk.{}.attn_qkv.weight", Joined),
        (Part::Out, "blk.{}.attn_output.weight", Whole),
        (Part::Norm2, "blk.{}.ffn_norm.weight", Whole),
        (Part::Gate, "blk.{}.ffn_up.weight", Joined),
        (Part::Up, "blk.{}.ffn_up.weight", Joined),
        (Part::Down, "blk.{}.ffn_down.weight", Whole),
        (Part::FinalNorm, "output_norm.weight", Whole),
        (Part::Head, "output.weight", Whole),
    ],
};
