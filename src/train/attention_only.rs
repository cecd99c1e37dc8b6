//! Attention-only models under a name of their own, which tells every other program what they are.

use serde_json::{Value, json};

use crate::checkpoint::{ATTENTION_ONLY, ATTENTION_ONLY_CLASS};
use crate::config::{Config, Mlp};

/// How the README of such a model begins.
pub(super) const TITLE: &str = "# An attention-only model\n";

/// The rest of it.
const TEXT: &str = "
This model has GPT-2's embedding, positions, layer norms and attention, but no MLPs: a layer is
x + Attention(LayerNorm(x)). Hugging Face's transformers has no such architecture. Therefore
`config.json` names one of Pellucid's own, and not GPT-2, as which other programs would run the model
with MLPs of random weights and give wrong results without an error.

Pellucid runs it as any other model. The tensors in `model.safetensors` have the names and the layout
of GPT-2's.
";

/// Names the architecture in a config.json, if the model has no MLPs.
pub(super) fn name(config: &Config, file: &mut Value) {
    if config.mlp == Mlp::None && config.layers > 0 {
        file["architectures"] = json!([ATTENTION_ONLY_CLASS]);
        file["model_type"] = json!(ATTENTION_ONLY);
        file["attn_only"] = json!(true);
    }
}

/// The README of a model that needs one.
pub(super) fn readme(config: &Value) -> Option<String> {
    (config["model_type"] == ATTENTION_ONLY).then(|| format!("{TITLE}{TEXT}"))
}
