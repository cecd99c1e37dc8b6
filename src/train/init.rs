//! New models: their shapes and initial values.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::atomic_file;
use crate::checkpoint::{ATTENTION_ONLY, ATTENTION_ONLY_CLASS, Param, TensorLayout};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::format::Format;
use crate::noise::noise;

use super::folder::MODEL;
use super::model_files::CONFIG;

/// A family that new models can belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Layer norms, learned positions, biases, GELU.
    #[default]
    Gpt2,
    /// The same without MLPs.
    Gpt2AttnOnly,
    /// RMS norms, rotation, a gated MLP.
    Llama,
}

/// The sizes of a new model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// Its family.
    pub family: Family,
    /// L: layers.
    pub layers: usize,
    /// H: query heads.
    pub heads: usize,
    /// K: key/value heads, for [`Family::Llama`]; if `None`, as many as query heads.
    pub kv_heads: Option<usize>,
    /// C: width of the residual stream.
    pub width: usize,
    /// F: hidden width of the MLP; if `None`, 4 C, or for a gated MLP 8/3 C rounded up to eights.
    pub hidden: Option<usize>,
    /// Positions.
    pub context: usize,
    /// V: tokens.
    pub vocab: usize,
    /// Whether the head is a matrix of its own, not the transposed embedding.
    pub untied: bool,
}

impl Sizes {
    /// Fails for a size that models of this family do not have.
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |reason: &str| Err(Error::Input(reason.to_owned()));
        match self.family {
            Family::Gpt2 | Family::Gpt2AttnOnly if self.kv_heads.is_some() => {
                wrong("GPT-2 has no separate number of key/value heads; Llama's family has one")
            }
            Family::Gpt2AttnOnly if self.hidden.is_some() => {
                wrong("an attention-only model has no MLP, so no hidden width")
            }
            _ if self.hidden == Some(0) => {
                wrong("a hidden width of 0 is not an MLP; use the family without MLPs")
            }
            _ => Ok(()),
        }
    }

    /// config.json, as Hugging Face's library reads it; `end` is the token that ends a text. A size that
    /// the family does not have is not in it.
    pub fn config(&self, end: Option<u32>) -> Value {
        let &Self { family, layers, heads, width, context, vocab, untied, .. } = self;
        match family {
            Family::Gpt2 | Family::Gpt2AttnOnly => {
                let mut config = json!({
                    "architectures": ["GPT2LMHeadModel"],
                    "model_type": "gpt2",
                    "vocab_size": vocab,
                    "n_positions": context,
                    "n_embd": width,
                    "n_layer": layers,
                    "n_head": heads,
                    "n_inner": self.hidden.unwrap_or(4 * width),
                    "activation_function": "gelu_new",
                    "layer_norm_epsilon": 1e-5,
                    "initializer_range": DEVIATION,
                    "tie_word_embeddings": !untied,
                    "bos_token_id": end,
                    "eos_token_id": end,
                    "torch_dtype": "float32",
                });
                if family == Family::Gpt2AttnOnly {
                    config["architectures"] = json!([ATTENTION_ONLY_CLASS]);
                    config["model_type"] = Value::from(ATTENTION_ONLY);
                    config["attn_only"] = Value::from(true);
                }
                config
            }
            Family::Llama => json!({
                "architectures": ["LlamaForCausalLM"],
                "model_type": "llama",
                "vocab_size": vocab,
                "max_position_embeddings": context,
                "hidden_size": width,
                "intermediate_size": self.hidden.unwrap_or((8 * width).div_ceil(3).next_multiple_of(8)),
                "num_hidden_layers": layers,
                "num_attention_heads": heads,
                "num_key_value_heads": self.kv_heads.unwrap_or(heads),
                "hidden_act": "silu",
                "rms_norm_eps": 1e-5,
                "rope_theta": 10_000.0,
                "attention_bias": false,
                "mlp_bias": false,
                "initializer_range": DEVIATION,
                "tie_word_embeddings": !untied,
                "bos_token_id": end,
                "eos_token_id": end,
                "torch_dtype": "float32",
            }),
        }
    }
}

/// The standard deviation of initial matrices. Radford et al. 2019.
const DEVIATION: f64 = 0.02;

/// Makes a folder with a new model in Hugging Face's layout: `config.json` and `model.safetensors`.
/// The initial values depend only on the sizes and the seed.
///
/// # Errors
/// Those of the system, and those of sizes that do not fit together.
pub fn new_model(folder: &Path, config: &Value, seed: u64) -> Result<TensorLayout> {
    let path = folder.join(CONFIG);
    let text = serde_json::to_string_pretty(config)
        .map_err(|error| Error::file(&path, error.to_string()))?;
    atomic_file::write_own(&path, format!("{text}\n").as_bytes())
        .map_err(|e| Error::io(&path, e))?;
    let layout = TensorLayout::from_config(&path)?;
    let config = layout.config();
    let mut values = |part, layer| Ok(first_values(config, seed, part, layer));
    layout.write(&folder.join(MODEL), Format::F32, &mut values)?;
    Ok(layout)
}

/// The same in memory; other files of the model, such as `tokenizer.json`, may be given as `beside`.
///
/// # Errors
/// Those of sizes that do not fit together.
pub fn new_model_in_memory(
    config: &Value,
    seed: u64,
    beside: impl IntoIterator<Item = (String, Vec<u8>)>,
) -> Result<Files> {
    let path = Path::new("a new model");
    let text = config.to_string().into_bytes();
    let mut files: Vec<(String, Vec<u8>)> = beside.into_iter().collect();
    files.push((CONFIG.to_owned(), text));
    let layout = TensorLayout::from_files(&Files::in_memory(path, files.clone()), CONFIG)?;
    let mut values = |part, layer| Ok(first_values(layout.config(), seed, part, layer));
    let mut bytes = Vec::new();
    layout.write_to(&mut bytes, &path.join(MODEL), Format::F32, &mut values)?;
    files.push((MODEL.to_owned(), bytes));
    Ok(Files::in_memory(path, files))
}

/// The initial values of a parameter.
fn first_values(config: &Config, seed: u64, part: Param, layer: usize) -> Vec<f32> {
    let count = part.values(config);
    match part {
        Param::Norm1 | Param::Norm2 | Param::FinalNorm | Param::PostNorm1 | Param::PostNorm2 => {
            vec![1.0; count]
        }
        Param::QNorm | Param::KNorm => vec![1.0; count],
        _ if !part.is_matrix() => vec![0.0; count],
        // What is added to the residual stream 2 L times starts smaller, to keep the stream from
        // growing.
        Param::Out | Param::Down => {
            let deviation = DEVIATION / (2.0 * config.layers as f64).sqrt();
            normal(seed, part, layer, count, deviation)
        }
        _ => normal(seed, part, layer, count, DEVIATION),
    }
}

/// Normally distributed numbers that depend only on seed, parameter, layer and index.
///
/// Source: Box & Muller 1958.
fn normal(seed: u64, part: Param, layer: usize, count: usize, deviation: f64) -> Vec<f32> {
    let part = Param::ALL.iter().position(|other| *other == part).unwrap_or(0) as u32;
    let unit = |id: u32| (f64::from(noise(seed, part, layer as u32, id)) + 0.5) / 2_f64.powi(32);
    let pair = |i: u32| {
        let length = (-2.0 * unit(2 * i).ln()).sqrt() * deviation;
        let angle = std::f64::consts::TAU * unit(2 * i + 1);
        [length * angle.cos(), length * angle.sin()].map(|value| value as f32)
    };
    (0..count.div_ceil(2) as u32).flat_map(pair).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;

    #[test]
    fn new_models_open_and_begin_as_they_should() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let sizes =
            Sizes { layers: 2, heads: 2, width: 48, context: 16, vocab: 100, ..Sizes::default() };
        let all = [
            sizes,
            Sizes { family: Family::Gpt2AttnOnly, ..sizes },
            Sizes { family: Family::Llama, kv_heads: Some(1), untied: true, ..sizes },
            Sizes { layers: 0, ..sizes },
        ];
        for (index, sizes) in all.into_iter().enumerate() {
            let folder = root.join(index.to_string());
            let config = sizes.config(Some(99));
            new_model(&folder, &config, 7).unwrap();
            let checkpoint = Checkpoint::open(&folder).unwrap();
            assert_eq!(checkpoint.config().layers, sizes.layers);
            assert_eq!(checkpoint.config().eos, [99]);
            let files = new_model_in_memory(&config, 7, []).unwrap();
            let on_disk = std::fs::read(folder.join(MODEL)).unwrap();
            assert!(files.bytes(MODEL, u64::MAX).unwrap() == on_disk);
            assert_eq!(Checkpoint::open_files(files).unwrap().config(), checkpoint.config());
            let values = |part, layer| {
                let matrix = checkpoint.matrix(part, layer).unwrap();
                matrix.values(0..matrix.rows).unwrap()
            };
            let deviation = |values: &[f32]| {
                let squares: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
                (squares / values.len() as f64).sqrt()
            };
            assert!((deviation(&values(Param::Embed, 0)) - 0.02).abs() < 1e-3);
            assert!(values(Param::FinalNorm, 0).iter().all(|gain| *gain == 1.0));
            if sizes.layers > 0 {
                assert!((deviation(&values(Param::Out, 1)) - 0.01).abs() < 1e-3);
                assert_ne!(values(Param::Q, 0), values(Param::Q, 1));
                assert_ne!(values(Param::Q, 0)[..9], values(Param::K, 0)[..9]);
            }
            let again = root.join("again");
            new_model(&again, &config, 7).unwrap();
            let read = |folder: &Path| std::fs::read(folder.join("model.safetensors")).unwrap();
            assert!(read(&folder) == read(&again));
            new_model(&again, &config, 8).unwrap();
            assert!(read(&folder) != read(&again));
        }
    }
}
