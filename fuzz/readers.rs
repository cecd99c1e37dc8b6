//! The readers of people's files, each as a function of bytes that must come to an end without a
//! panic and without taking more memory than the file is long, whatever the bytes are.
//!
//! The fuzzer calls them with bytes of its own making, `tests/corpus.rs` with those in `corpus/`.

#![allow(dead_code, reason = "each fuzz target uses one of them")]

use std::fs;
use std::path::Path;

use pellucid::checkpoint::{Checkpoint, Param};
use pellucid::tokenizer::{Encode, Special, Tokenizer};

/// A GPT-2 of next to no size, for a folder whose tensors are in question.
const CONFIG: &str = r#"{"model_type": "gpt2", "vocab_size": 5, "n_positions": 4, "n_embd": 4,
    "n_layer": 1, "n_head": 2}"#;

/// A tensor file without a tensor, for a folder whose configuration is in question.
const NO_TENSORS: &[u8] = b"\x02\0\0\0\0\0\0\0{}";

/// What a tokenizer is tried on: words, spaces, digits, letters of several bytes, and a control token.
const TEXT: &str = "It's 1234  words,\n\n naïve 日本 🤗</s> <|endoftext|>";

/// The most rows and layers that are read: enough to reach every kind of cut.
const ROWS: usize = 3;
const LAYERS: usize = 2;

/// A GGUF file: metadata, configuration, tokenizer, tensors.
pub(crate) fn gguf(bytes: &[u8]) {
    in_folder(&[("model.gguf", bytes)], |folder| read(&folder.join("model.gguf")));
}

/// A folder with this model.safetensors.
pub(crate) fn safetensors(bytes: &[u8]) {
    in_folder(&[("config.json", CONFIG.as_bytes()), ("model.safetensors", bytes)], read);
}

/// A folder with this config.json.
pub(crate) fn config(bytes: &[u8]) {
    in_folder(&[("config.json", bytes), ("model.safetensors", NO_TENSORS)], read);
}

/// A folder with this tokenizer.json.
pub(crate) fn tokenizer(bytes: &[u8]) {
    in_folder(&[("tokenizer.json", bytes)], |folder| {
        if let Ok(Some(tokenizer)) = Tokenizer::from_folder(folder) {
            try_out(&tokenizer);
        }
    });
}

fn in_folder(files: &[(&str, &[u8])], run: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).expect("room for a small file");
    }
    run(folder.path());
}

/// Reads everything that a model's file or folder offers. Errors are what most bytes deserve.
fn read(path: &Path) {
    let Ok(checkpoint) = Checkpoint::open(path) else { return };
    if let Ok(Some(tokenizer)) = Tokenizer::from_checkpoint(&checkpoint) {
        try_out(&tokenizer);
    }
    for part in Param::ALL {
        for layer in 0..checkpoint.config().layers.min(LAYERS) {
            if let Ok(matrix) = checkpoint.matrix(part, layer) {
                drop(matrix.values(0..matrix.rows.min(ROWS)));
            }
        }
    }
}

fn try_out(tokenizer: &Tokenizer) {
    for special in [Special::AsText, Special::Recognise] {
        if let Ok(ids) = tokenizer.encode(TEXT, Encode { special, ..Encode::default() }) {
            tokenizer.decode(&ids);
        }
    }
    tokenizer.decode(&[0, 1, 2, 3, u32::MAX]);
}
