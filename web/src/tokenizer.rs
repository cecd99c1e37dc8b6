//! Text to tokens and back.

use pellucid::tokenizer;
use pellucid::tokenizer::{Bos, Encode, Kind, Special, Training};
use serde::Deserialize;
use wasm_bindgen::prelude::*;

use crate::value::{Result, plain, read, to_js_error};

/// Turns text into token ids and back.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Tokenizer(pub(crate) tokenizer::Tokenizer);

/// How a text is encoded.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Encoding {
    /// Whether a beginning-of-text token may come first.
    bos: Option<bool>,
    /// Whether names of special tokens in the text stand for these tokens.
    special: bool,
}

impl Encoding {
    fn read(value: &JsValue) -> Result<Encode> {
        let Self { bos, special } = read("the options of encode", value)?;
        Ok(Encode {
            bos: if bos == Some(false) { Bos::Never } else { Bos::Auto },
            special: if special { Special::Recognize } else { Special::AsText },
        })
    }
}

/// What to learn from a text.
#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Learning {
    /// Tokens in all; if absent, one for each character.
    vocab_size: Option<usize>,
    min_frequency: u64,
    special: Vec<String>,
}

impl Default for Learning {
    fn default() -> Self {
        Self { vocab_size: None, min_frequency: 2, special: Vec::new() }
    }
}

/// Trains a tokenizer on a text; returns the text of its tokenizer.json.
#[wasm_bindgen(js_name = learnTokenizer)]
pub fn learn_tokenizer(text: &str, options: JsValue) -> Result<String> {
    let Learning { vocab_size, min_frequency, special } =
        read("the options of a tokenizer", &options)?;
    let kind = match vocab_size {
        Some(vocab_size) => Kind::Merges { vocab_size, min_frequency },
        None => Kind::Characters,
    };
    tokenizer::train_text(text, &Training { kind, special }).map_err(to_js_error)
}

#[wasm_bindgen]
impl Tokenizer {
    /// Reads the text of a tokenizer.json.
    #[wasm_bindgen(constructor)]
    pub fn new(json: &str) -> Result<Self> {
        let path = std::path::Path::new("tokenizer.json");
        tokenizer::Tokenizer::from_json_text(path, json).map(Self).map_err(to_js_error)
    }

    /// The number of ids.
    #[wasm_bindgen(getter, js_name = vocabSize)]
    pub fn vocab_size(&self) -> usize {
        self.0.vocab_size()
    }

    /// The tokens of a text.
    pub fn encode(&self, text: &str, options: JsValue) -> Result<Vec<u32>> {
        self.0.encode(text, Encoding::read(&options)?).map_err(to_js_error)
    }

    /// How a text is encoded, piece by piece and merge by merge.
    pub fn explain(&self, text: &str, options: JsValue) -> Result<JsValue> {
        plain(&self.0.explain(text, Encoding::read(&options)?).map_err(to_js_error)?)
    }

    /// The text of tokens.
    pub fn decode(&self, ids: &[u32]) -> String {
        self.0.decode(ids)
    }

    /// The text of each token by itself, for showing tokens one by one.
    pub fn texts(&self, ids: &[u32]) -> Vec<String> {
        ids.iter().map(|&id| text(&self.0, id)).collect()
    }
}

/// The text of one token; bytes that do not form a character are shown by their numbers.
pub(crate) fn text(tokenizer: &tokenizer::Tokenizer, id: u32) -> String {
    let bytes = tokenizer.token_bytes(id).unwrap_or_default();
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02X}")));
    }
    text
}
