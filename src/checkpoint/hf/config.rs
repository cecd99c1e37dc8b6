//! Hugging Face's config.json.
//!
//! A missing field has the family's default in `transformers`, since files may leave such fields
//! out.

use serde_json::Value;

use super::{gpt, llama, unread};
use crate::checkpoint::fields::Fields;
use crate::checkpoint::source::Entries;
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
            format!("{}: {method} quantization", fields.path.display()),
            "F32, F16 and BF16 in safetensors; quantized weights in GGUF",
        ));
    }
    let family = family(fields)?;
    no_experts(fields, family)?;
    fields.two_spellings("dtype", "torch_dtype");
    let mut own = fields;
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
            let text = Fields { within: "text_config.", map, ..fields };
            let mut config = llama::gemma3(text, fields, tensors)?;
            own = text;
            // The whole model's flag decides.
            config.tied_head = fields.flag("tie_word_embeddings", true)?;
            let dtype = fields.get("dtype").or_else(|| fields.get("torch_dtype"));
            for name in ["dtype", "torch_dtype"] {
                if let Some(dtype) = dtype {
                    text.overruled(name, "that of the whole model,", dtype);
                }
            }
            text.overruled(
                "tie_word_embeddings",
                "that of the whole model,",
                &config.tied_head.into(),
            );
            (config, &HF_GEMMA)
        }
        other => {
            return Err(Error::unsupported(
                format!("{}: architecture {other}", fields.path.display()),
                FAMILIES,
            ));
        }
    };
    unread::tell(own, &config.architecture);
    if let Some(generation) = generation {
        let path = generation.path.display();
        if let Some(eos) = generation.ids("eos_token_id", config.vocab)? {
            let lost = |id: &&u32| fields.get("eos_token_id").is_some() && !eos.contains(id);
            if let Some(lost) = config.eos.iter().find(lost) {
                fields.note("eos_token_id", format!("{lost} is not used: {path} takes precedence"));
            }
            config.eos = eos;
        }
        if let Some(bos) = generation.ids("bos_token_id", config.vocab)? {
            if let Some(id) = bos.first() {
                fields.overruled("bos_token_id", &format!("{path}, which has"), &(*id).into());
            }
            config.bos = bos.first().copied();
        }
    }
    config.eos.sort_unstable();
    config.eos.dedup();
    Ok((config, names))
}

/// Fields that count the experts of a mixture.
const EXPERTS: [&str; 4] =
    ["num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"];

/// Rejects mixtures of experts by that name.
fn no_experts(fields: Fields<'_>, family: &str) -> Result<()> {
    let text = fields.get("text_config").and_then(Value::as_object).unwrap_or(fields.map);
    let count = |name: &&str| text.get(*name).and_then(Value::as_u64).is_some_and(|n| n > 1);
    let field = EXPERTS.iter().find(|name| count(name));
    if field.is_none() && !family.contains("moe") && !family.starts_with("mixtral") {
        return Ok(());
    }
    let with = |name: &&str| format!(" with {name} {}", text[*name]);
    Err(mixture(fields, &format!("{family}{}", field.map(with).unwrap_or_default())))
}

/// Rejects the tensors of a mixture of experts.
pub(super) fn no_expert_tensors(fields: Fields<'_>, entries: &Entries) -> Result<()> {
    let of_experts = |name: &&String| name.contains(".experts.");
    match entries.keys().filter(of_experts).min() {
        Some(name) => Err(mixture(fields, &format!("tensor {name}"))),
        None => Ok(()),
    }
}

/// The error about a mixture of experts, of a family and in the words of the file.
fn mixture(fields: Fields<'_>, words: &str) -> Error {
    Error::unsupported(
        format!("{}: a mixture of experts ({words})", fields.path.display()),
        format!("models with one MLP in each layer: {FAMILIES}"),
    )
}

/// The families of classes, by their names without the ending.
const CLASSES: [(&str, &str); 13] = [
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

/// The family: `model_type`, or that of the class in `architectures`.
fn family(fields: Fields<'_>) -> Result<&str> {
    let (model_type, classes) = (fields.text("model_type")?, fields.texts("architectures"));
    // With a type, nobody needs the class.
    let classes = if model_type.is_some() { classes.unwrap_or_default() } else { classes? };
    let classes = classes.unwrap_or_default();
    let of_class = classes.first().map(|class| {
        let stem = class.strip_suffix("ForCausalLM").or_else(|| class.strip_suffix("Model"));
        let found = CLASSES.iter().find(|(name, _)| Some(*name) == stem);
        (*class, found.map(|(_, family)| *family))
    });
    match (model_type, of_class) {
        (Some(family), Some((_, Some(other)))) if family != other => {
            fields.unused("architectures", format!("model_type {family} takes precedence"));
            Ok(family)
        }
        (Some(family), _) => Ok(family),
        (None, Some((class, family))) => Ok(family.unwrap_or(class)),
        (None, None) => Err(fields.bad("model_type", "is missing")),
    }
}
