//! Hugging Face's config.json.
//!
//! A missing field has the family's default in `transformers`, since files may leave such fields
//! out.

use serde_json::Value;

use super::{gpt, llama};
use crate::checkpoint::fields::Fields;
use crate::checkpoint::tensor_names::{
    FAMILIES, HF_GEMMA, HF_GPT_NEO, HF_GPT2, HF_GPTJ, HF_LLAMA, HF_NEOX, HF_PHI3, Names,
};
use crate::config::Config;
use crate::error::{Error, Result};

/// The `model_type` of GPT-2's layers without MLPs. A name of its own, since programs that know only
/// GPT-2 would run such a model with MLPs of random weights.
pub(crate) const ATTENTION_ONLY: &str = "pellucid-attention-only";

/// The class that such a config.json names.
#[cfg(feature = "train")]
pub(crate) const ATTENTION_ONLY_CLASS: &str = "PellucidAttentionOnlyForCausalLM";

/// Reads the configuration; returns it with the family's tensor names.
///
/// `generation` is `generation_config.json`, whose end tokens take precedence; `tensors` is the
/// number of tensors in the folder.
pub(in crate::checkpoint) fn read(
    fields: Fields<'_>,
    generation: Option<Fields<'_>>,
    tensors: usize,
) -> Result<(Config, &'static Names)> {
    if let Some(quantized) = fields.object("quantization_config")? {
        let method = quantized.get("quant_method").and_then(Value::as_str).unwrap_or("unknown");
        return Err(Error::unsupported(
            format!("{}: {method} quantisation", fields.path.display()),
            "F32, F16 and BF16 in safetensors; quantised weights in GGUF",
        ));
    }
    let family = family(fields)?;
    let (mut config, names) = match family {
        "gpt2" => (gpt::gpt2(fields, tensors)?, &HF_GPT2),
        ATTENTION_ONLY => (gpt::attention_only(fields, tensors)?, &HF_GPT2),
        "gpt_neo" => (gpt::gpt_neo(fields, tensors)?, &HF_GPT_NEO),
        "gptj" => (gpt::gptj(fields, tensors)?, &HF_GPTJ),
        "gpt_neox" => (gpt::gpt_neox(fields, tensors)?, &HF_NEOX),
        "llama" | "mistral" | "qwen2" | "qwen3" => {
            (llama::llama(fields, family, tensors)?, &HF_LLAMA)
        }
        "phi3" => (llama::phi3(fields, tensors)?, &HF_PHI3),
        "gemma2" => (llama::gemma2(fields, tensors)?, &HF_GEMMA),
        "gemma3_text" => (llama::gemma3(fields, fields, tensors)?, &HF_GEMMA),
        // A multimodal model, of which the language model is run.
        "gemma3" => {
            let text = fields.object("text_config")?;
            let map = text.ok_or_else(|| fields.bad("text_config", "is missing"))?;
            (llama::gemma3(Fields { map, ..fields }, fields, tensors)?, &HF_GEMMA)
        }
        other => {
            return Err(Error::unsupported(
                format!("{}: architecture {other}", fields.path.display()),
                FAMILIES,
            ));
        }
    };
    if let Some(generation) = generation {
        if let Some(eos) = generation.ids("eos_token_id", config.vocab)? {
            config.eos = eos;
        }
        if let Some(bos) = generation.ids("bos_token_id", config.vocab)? {
            config.bos = bos.first().copied();
        }
    }
    config.eos.sort_unstable();
    config.eos.dedup();
    Ok((config, names))
}

/// The family: `model_type`, or that of the class in `architectures`.
fn family(fields: Fields<'_>) -> Result<&str> {
    if let Some(family) = fields.text("model_type")? {
        return Ok(family);
    }
    let classes = fields.texts("architectures")?.unwrap_or_default();
    let class = *classes.first().ok_or_else(|| fields.bad("model_type", "is missing"))?;
    let known = [
        ("GPT2LMHead", "gpt2"),
        ("GPT2", "gpt2"),
        ("PellucidAttentionOnly", ATTENTION_ONLY),
        ("GPTNeo", "gpt_neo"),
        ("GPTJ", "gptj"),
        ("GPTNeoX", "gpt_neox"),
        ("Llama", "llama"),
        ("Mistral", "mistral"),
        ("Qwen2", "qwen2"),
        ("Qwen3", "qwen3"),
        ("Phi3", "phi3"),
        ("Gemma2", "gemma2"),
        ("Gemma3", "gemma3_text"),
    ];
    let stem = class.strip_suffix("ForCausalLM").or_else(|| class.strip_suffix("Model"));
    let found = known.iter().find(|(name, _)| Some(*name) == stem);
    Ok(found.map_or(class, |(_, family)| family))
}
