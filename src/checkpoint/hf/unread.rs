//! Settings that change what is computed in some families only: a warning is printed if another
//! family's config sets one.

use crate::checkpoint::fields::Fields;

/// Names of one setting. A family reads one of them.
const SAME: [[&str; 3]; 2] = [
    ["activation_function", "hidden_act", "hidden_activation"],
    ["layer_norm_epsilon", "layer_norm_eps", "rms_norm_eps"],
];

const GPT: &[&str] = &["gpt2", "gptj"];
const NEO: &[&str] = &["gpt_neo"];
const NEOX: &[&str] = &["gpt_neox"];
const QWEN: &[&str] = &["qwen2", "qwen3"];
const GEMMA: &[&str] = &["gemma2", "gemma3"];
const GATED: &[&str] = &["llama", "mistral", "qwen2", "qwen3", "phi3", "gemma2", "gemma3"];
const WINDOWED: &[&str] = &["mistral", "qwen2", "qwen3", "phi3", "gemma2", "gemma3"];

/// Settings, and the families that read them or tell of them by themselves.
const READ_BY: [(&str, &[&str]); 32] = [
    ("activation_function", &["gpt2", "gpt_neo", "gptj"]),
    ("hidden_act", &["gpt_neox", "llama", "mistral", "qwen2", "qwen3", "phi3"]),
    ("hidden_activation", GEMMA),
    ("layer_norm_epsilon", &["gpt2", "gpt_neo", "gptj"]),
    ("layer_norm_eps", NEOX),
    ("rms_norm_eps", GATED),
    ("n_embd", GPT),
    ("n_head", GPT),
    ("n_layer", GPT),
    ("n_positions", GPT),
    ("n_ctx", &["gpt2"]),
    ("n_inner", GPT),
    (
        "intermediate_size",
        &["gpt_neo", "gpt_neox", "llama", "mistral", "qwen2", "qwen3", "phi3", "gemma2", "gemma3"],
    ),
    ("num_heads", NEO),
    ("num_layers", NEO),
    ("num_key_value_heads", GATED),
    ("window_size", NEO),
    ("attention_layers", NEO),
    ("attention_types", NEO),
    ("sliding_window", WINDOWED),
    ("use_sliding_window", WINDOWED),
    ("max_window_layers", QWEN),
    ("sliding_window_pattern", GEMMA),
    ("layer_types", GATED),
    ("attention_bias", &["gpt_neox", "llama", "qwen3", "gemma2", "gemma3"]),
    ("mlp_bias", &["llama"]),
    ("rotary_dim", &["gptj"]),
    ("rotary_pct", NEOX),
    ("rotary_emb_base", NEOX),
    ("rope_local_base_freq", &["gemma3"]),
    ("use_parallel_residual", NEOX),
    (
        "partial_rotary_factor",
        &["gpt_neox", "llama", "mistral", "qwen2", "qwen3", "phi3", "gemma2", "gemma3"],
    ),
];

/// Tells of the settings that a family does not read; those that agree with what it reads need no word.
pub(super) fn tell(fields: Fields<'_>, family: &str) {
    let unread = READ_BY.iter().filter(|(_, readers)| !readers.contains(&family));
    for (name, _) in unread {
        let same = SAME.iter().find(|names| names.contains(name)).into_iter().flatten();
        let reads = |own: &&&str| {
            READ_BY.iter().any(|(name, readers)| name == *own && readers.contains(&family))
        };
        match same.filter(|own| fields.get(own).is_some()).find(reads) {
            Some(own) => fields.two_spellings(own, name),
            None => fields.unused(name, format!("models of type {family} do not read it")),
        }
    }
}
