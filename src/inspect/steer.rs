//! Steering: vectors from files, added to the residual stream after layers.
//!
//! Three kinds of files are read:
//!
//! - a GGUF `controlvector`, as llama.cpp makes and applies it: `direction.N` is added to what layer N
//!   gives, `blocks.N.hook_resid_post`;
//! - Neuronpedia's JSON: `{"modelId", "layer" or "hookName", "vector": [..], "strength"}`, and the names
//!   that its records and its form for new vectors have for the same: `layerNumber`, `hookType`,
//!   `vectorDefaultSteerStrength`;
//! - safetensors, whose tensors are named by the hooks that they are added to.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;

use crate::checkpoint::TensorFile;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::files;
use crate::hook::Hook;
use crate::model::{Change, Edit, named, shape};

/// The most bytes of a JSON file that are read.
const LONGEST: u64 = 64 << 20;

/// A file of vectors, how strongly they are added, and after which layers: `FILE[:SCALE][@FIRST-LAST]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Steering {
    /// The file.
    pub file: PathBuf,
    /// What the vectors are multiplied by.
    pub scale: f32,
    /// The first and the last layer; all that the file has vectors for if `None`.
    pub layers: Option<(usize, usize)>,
}

impl fmt::Display for Steering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.scale != 1.0 {
            write!(f, ":{}", self.scale)?;
        }
        match self.layers {
            Some((first, last)) => write!(f, "@{first}-{last}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Steering {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let range = |text: &str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?))
        };
        let (rest, layers) = match text.rsplit_once('@').map(|(rest, layers)| (rest, range(layers)))
        {
            Some((rest, Some(layers))) => (rest, Some(layers)),
            _ => (text, None),
        };
        let (file, scale) = match rest.rsplit_once(':').map(|(file, scale)| (file, scale.parse())) {
            Some((file, Ok(scale))) => (file, scale),
            _ => (rest, 1.0),
        };
        let wrong = |what: &str| Error::Input(format!("`{text}` {what}"));
        if file.is_empty() {
            return Err(wrong("names no file of steering vectors"));
        }
        if !f32::is_finite(scale) {
            return Err(wrong("has a scale that is not finite"));
        }
        if layers.is_some_and(|(first, last)| first > last) {
            return Err(wrong("names a first layer after the last one"));
        }
        Ok(Self { file: file.into(), scale, layers })
    }
}

/// What Neuronpedia writes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Neuronpedia {
    model_id: Option<String>,
    layer: Option<serde_json::Value>,
    layer_number: Option<serde_json::Value>,
    hook_name: Option<String>,
    /// Such as `resid-pre`.
    hook_type: Option<String>,
    vector: Vec<f32>,
    strength: Option<f32>,
    vector_default_steer_strength: Option<f32>,
}

impl Steering {
    /// The edits that add the file's vectors in a model of this kind.
    ///
    /// # Errors
    /// Those of the file; [`Error::File`] and [`Error::Tensor`] for vectors of another width, of
    /// layers or hooks that the model does not have, or made for another model.
    pub fn edits(&self, config: &Config) -> Result<Vec<(Hook, Edit)>> {
        self.add(self.vectors(config)?, config)
    }

    /// The same of a vector whose text, as Neuronpedia writes it, is here: the file is only its name.
    ///
    /// # Errors
    /// As [`Steering::edits`].
    pub fn edits_of(&self, text: &str, config: &Config) -> Result<Vec<(Hook, Edit)>> {
        self.add(self.neuronpedia(text, config)?, config)
    }

    /// The edits that add these vectors.
    fn add(&self, vectors: Vec<Vector>, config: &Config) -> Result<Vec<(Hook, Edit)>> {
        if let Some((_, last)) = self.layers.filter(|(_, last)| *last >= config.layers) {
            return Err(Error::Input(format!(
                "steering with {} was asked for up to layer {last}; the model has {} layers, counted from 0",
                self.file.display(),
                config.layers
            )));
        }
        let inside =
            |layer: usize| self.layers.is_none_or(|(first, last)| (first..=last).contains(&layer));
        let mut edits = Vec::new();
        for Vector { hook, name, values } in vectors {
            if hook.layer().is_some_and(|layer| !inside(layer)) {
                continue;
            }
            let bad = |reason: String| Error::tensor(&self.file, name.as_str(), reason);
            let width: usize = config_width(config, hook);
            if values.len() != width {
                return Err(bad(format!(
                    "has {} values, but {hook} has {width} a token: it belongs to another model",
                    values.len()
                )));
            }
            let values: Vec<f32> = values.iter().map(|value| value * self.scale).collect();
            if !values.iter().all(|value| value.is_finite()) {
                return Err(bad(
                    "has a value that is not finite, or becomes so when scaled".to_owned()
                ));
            }
            edits.push((hook, Edit::all(Change::Add(values))));
        }
        if edits.is_empty() {
            let reason = "has no vector for the layers that were named";
            return Err(Error::file(&self.file, reason));
        }
        edits.sort_by_key(|(hook, _)| hook.place());
        Ok(edits)
    }

    fn vectors(&self, config: &Config) -> Result<Vec<Vector>> {
        if self.is_json()? {
            return self.neuronpedia(&read_text(&self.file)?, config);
        }
        let file = TensorFile::open(&self.file)?;
        match file.text("general.architecture") {
            Some("controlvector") => self.control_vector(&file, config),
            Some(other) => Err(Error::file(
                &self.file,
                format!("holds a model ({other}), not steering vectors (controlvector)"),
            )),
            None => self.by_hooks(&file, config),
        }
    }

    /// Whether the file is text: the binary ones begin with a length, or a version, that has zeros.
    fn is_json(&self) -> Result<bool> {
        let io = |error| Error::io(&self.file, error);
        let mut start = Vec::new();
        File::open(&self.file).map_err(io)?.take(8).read_to_end(&mut start).map_err(io)?;
        Ok(!start.contains(&0) && !start.starts_with(b"GGUF"))
    }

    /// GGUF: `direction.N`.
    fn control_vector(&self, file: &TensorFile, config: &Config) -> Result<Vec<Vector>> {
        if let Some(hint) = file.text("controlvector.model_hint") {
            self.check_model(hint, config)?;
        }
        let mut vectors = Vec::new();
        for name in file.names() {
            let bad = |reason: &str| Error::tensor(&self.file, name, reason.to_owned());
            let layer: usize = name
                .strip_prefix("direction.")
                .and_then(|layer| layer.parse().ok())
                .ok_or_else(|| bad("is not the direction of a layer, such as direction.5"))?;
            if layer == 0 {
                return Err(bad(
                    "is of layer 0, which control vectors leave alone: they begin with what layer 1 gives",
                ));
            }
            if layer >= config.layers {
                return Err(bad(&format!(
                    "is of a layer that the model does not have: it has {}, counted from 0",
                    config.layers
                )));
            }
            let values = file.tensor(name)?.values;
            vectors.push(Vector { hook: Hook::ResidPost(layer), name: name.to_owned(), values });
        }
        Ok(vectors)
    }

    /// Safetensors: a tensor for each hook.
    fn by_hooks(&self, file: &TensorFile, config: &Config) -> Result<Vec<Vector>> {
        let mut vectors = Vec::new();
        for name in file.names() {
            let hooks = named(config, name)
                .map_err(|error| Error::tensor(&self.file, name, error.to_string()))?;
            let values = file.tensor(name)?.values;
            let of = |hook| Vector { hook, name: name.to_owned(), values: values.clone() };
            vectors.extend(hooks.into_iter().map(of));
        }
        Ok(vectors)
    }

    fn neuronpedia(&self, text: &str, config: &Config) -> Result<Vec<Vector>> {
        let bad = |reason: String| Error::file(&self.file, reason);
        let read: Neuronpedia = serde_json::from_str(text).map_err(|error| {
            bad(format!("is not a vector as Neuronpedia writes it ({{\"vector\": [..]}}): {error}"))
        })?;
        if let Some(model) = &read.model_id {
            self.check_model(model, config)?;
        }
        let strength = read.strength.or(read.vector_default_steer_strength).unwrap_or(1.0);
        let values: Vec<f32> = read.vector.iter().map(|value| value * strength).collect();
        let of = |hook| Vector { hook, name: "vector".to_owned(), values: values.clone() };
        // Layers that are asked for win over the file's own.
        if let Some((first, last)) = self.layers {
            return Ok((first..=last).map(|layer| of(Hook::ResidPost(layer))).collect());
        }
        let (layer, source) = match read.layer.as_ref().or(read.layer_number.as_ref()) {
            Some(serde_json::Value::Number(number)) => (number.as_u64(), None),
            // A source's name begins with the layer: `6-res-jb`.
            Some(serde_json::Value::String(text)) => {
                let digits = text.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
                (digits.parse().ok(), (digits.len() < text.len()).then_some(text))
            }
            _ => (None, None),
        };
        let of_type = |name: &String| format!("hook_{}", name.replace('-', "_"));
        let name = read.hook_name.clone().or_else(|| read.hook_type.as_ref().map(of_type));
        let name = match (name, layer) {
            (Some(name), Some(layer)) if !name.starts_with("blocks.") => {
                format!("blocks.{layer}.{name}")
            }
            (Some(name), _) => name,
            (None, Some(layer)) => {
                let hook = Hook::ResidPost(layer as usize).to_string();
                if let Some(source) = source {
                    let file = self.file.display();
                    log::warn!(
                        "{file} names the source {source} and no hook; it is added to {hook}"
                    );
                }
                hook
            }
            (None, None) => {
                let reason = "names neither a layer nor a hook; name the layer, as in FILE@5";
                return Err(bad(reason.to_owned()));
            }
        };
        let hook = named(config, &name).map_err(|error| bad(error.to_string()))?[0];
        Ok(vec![of(hook)])
    }

    /// Fails for a vector that says that it was made for a model of another family.
    fn check_model(&self, hint: &str, config: &Config) -> Result<()> {
        let family = |name: &str| {
            let plain: String =
                name.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
            FAMILIES.iter().find(|(word, _)| plain.contains(word)).map(|(_, family)| *family)
        };
        match (family(hint), family(&config.architecture)) {
            (Some(theirs), Some(ours)) if theirs != ours => Err(Error::file(
                &self.file,
                format!("was made for {hint}, and the model is a {}", config.architecture),
            )),
            _ => Ok(()),
        }
    }
}

/// Words in the names of models and architectures, the longer ones first, and their families.
const FAMILIES: [(&str, &str); 15] = [
    ("gemma3", "gemma3"),
    ("gemma2", "gemma2"),
    ("gemma", "gemma"),
    ("qwen3", "qwen3"),
    ("qwen2", "qwen2"),
    ("gptneox", "gptneox"),
    ("pythia", "gptneox"),
    ("gptneo", "gptneo"),
    ("gptj", "gptj"),
    ("gpt2", "gpt2"),
    ("phi3", "phi3"),
    ("smollm", "llama"),
    ("tinyllama", "llama"),
    // In GGUF Mistral's models are Llamas.
    ("mistral", "llama"),
    ("llama", "llama"),
];

/// A vector, and the hook that it is added to.
struct Vector {
    hook: Hook,
    name: String,
    values: Vec<f32>,
}

/// Values of a hook for each token; for scores and patterns, which have no fixed width, more than any
/// vector has.
fn config_width(config: &Config, hook: Hook) -> usize {
    let sizes = shape(config, hook, 1, usize::MAX);
    sizes.into_iter().fold(1, usize::saturating_mul)
}

fn read_text(path: &Path) -> Result<String> {
    let bytes = files::read(path)?;
    if bytes.len() as u64 > LONGEST {
        return Err(Error::file(path, format!("has more than {} MiB", LONGEST >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| Error::file(path, "is not text"))
}
