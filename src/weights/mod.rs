//! Weights: names to typed tensors, read by position.
//!
//! A [`Checkpoint`] is an opened GGUF file or folder in Hugging Face's layout. Opening it reads
//! headers and checks all of them: every tensor that the configuration calls for is there, has the
//! right shape and a known type, and lies inside its file apart from all others. What the families
//! call things and how they lay them out stays in here: the rest of the program asks for a
//! [`Part`] and gets a [`Matrix`] of plain [out, in] rows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::files::{Files, Source};
use crate::text::{Bpe, ChatTemplate, SentencePiece, Tokenizer};

mod blocks;
mod blueprint;
mod built_in;
mod fields;
mod fingerprint;
mod folder;
mod gather;
mod gguf;
mod gguf_config;
mod gguf_tokenizer;
mod hf_config;
mod hf_gpt;
mod hf_llama;
mod layout;
mod matrix;
mod names;
mod parts;
mod planes;
mod rope;
mod safetensors;
mod source;
#[cfg(test)]
mod tests;
mod write;

pub use blocks::{dequantize, quantize};
pub use blueprint::Blueprint;
pub(crate) use fingerprint::Hash;
pub use matrix::Matrix;
pub use parts::Part;
pub use planes::planes;
pub use safetensors::read_safetensors;
pub use write::{NewTensor, write_safetensors, write_safetensors_to};

use gguf::Gguf;
use names::Names;
use parts::Cut;
use source::Entries;

/// An opened model: its configuration, and where each of its tensors lies.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    config: Config,
    names: &'static Names,
    /// The family's prefix, or nothing where this file's names do without it.
    prefix: &'static str,
    entries: Entries,
    origin: Origin,
    chat_template: Option<String>,
}

/// Where else a checkpoint looks.
#[derive(Debug)]
enum Origin {
    /// In the files beside it.
    Files(Files),
    /// In its metadata.
    Gguf(Box<Gguf>),
}

impl Checkpoint {
    /// Opens a GGUF file, or a folder in Hugging Face's layout: config.json with
    /// model.safetensors, with shards and their index, or with one other safetensors file.
    ///
    /// Fails where there is no such file, where the model is of an unsupported kind, and where
    /// anything in it cannot be true; the error names file, field and tensor.
    pub fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            Self::open_files(Files::on_disk(path))
        } else if path.exists() {
            Self::open_gguf(Source::open(path)?)
        } else {
            Err(Error::file(path, "no such file or folder"))
        }
    }

    /// The same of files wherever they come from: those of a folder in Hugging Face's layout, or a single
    /// GGUF file.
    ///
    /// Fails as [`Checkpoint::open`].
    pub fn open_files(files: Files) -> Result<Self> {
        if let ([name], false) = (files.names()?.as_slice(), files.has("config.json"))
            && name.ends_with(".gguf")
        {
            return Self::open_gguf(files.open(name)?);
        }
        let folder::Folder { config, names, entries, chat_template } = folder::open(&files)?;
        let (path, prefix) = (files.path().into(), names.prefix_of(&entries));
        let origin = Origin::Files(files);
        Self { path, config, names, prefix, entries, origin, chat_template }.checked()
    }

    /// Checks every tensor, so that what has been opened can be relied on.
    fn checked(self) -> Result<Self> {
        for part in Part::ALL {
            let times = if part.in_layer() { self.config.layers } else { 1 };
            for layer in 0..times {
                if self.has(part, layer) {
                    self.matrix(part, layer)?;
                }
            }
        }
        Ok(self)
    }

    fn open_gguf(source: Arc<Source>) -> Result<Self> {
        let path = source.path().into();
        let (mut gguf, entries) = gguf::open(source)?;
        let (config, names) = gguf_config::read(&mut gguf, &entries)?;
        let template = gguf.fields.get("tokenizer.chat_template");
        let chat_template = template.and_then(|value| value.as_str()).map(str::to_owned);
        let origin = Origin::Gguf(Box::new(gguf));
        Self { path, config, names, prefix: "", entries, origin, chat_template }.checked()
    }

    /// A GGUF file's metadata.
    fn gguf(&self) -> Option<&Gguf> {
        match &self.origin {
            Origin::Gguf(gguf) => Some(gguf),
            Origin::Files(_) => None,
        }
    }

    /// The files of a model in Hugging Face's layout.
    pub fn files(&self) -> Option<&Files> {
        match &self.origin {
            Origin::Files(files) => Some(files),
            Origin::Gguf(_) => None,
        }
    }

    /// The model's sizes and kinds.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The file or folder that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the model has this part in this layer; `layer` is ignored outside the layers.
    pub fn has(&self, part: Part, layer: usize) -> bool {
        part.belongs_to(&self.config) && (!part.in_layer() || layer < self.config.layers)
    }

    /// One weight; `layer` is ignored for the parts outside the layers.
    ///
    /// Fails where the model has no such part, or where the file's tensor is missing, of another
    /// shape than the configuration calls for, or of an unsupported type.
    pub fn matrix(&self, part: Part, layer: usize) -> Result<Matrix> {
        let mut known = self.names.find(part, layer, self.prefix).peekable();
        let first = known.peek().cloned();
        let found = known.find(|(name, _)| self.entries.contains_key(name)).or(first);
        let (name, cut) = found.filter(|_| self.has(part, layer)).ok_or_else(|| {
            let model = &self.config.architecture;
            Error::tensor(
                &self.path,
                format!("{part:?}, layer {layer}"),
                format!("no part of this {model} model"),
            )
        })?;
        let Some(entry) = self.entries.get(&name) else {
            return Err(Error::tensor(&self.path, name, "is missing"));
        };
        // Llama's converter lays the two values of each rotated pair side by side.
        let paired = self.gguf().is_some()
            && self.config.architecture == "llama"
            && matches!(part, Part::Q | Part::K | Part::QBias | Part::KBias);
        let cut = if paired { Cut::Paired } else { cut };
        Matrix::new(name, entry, part, cut, &self.config)
    }

    /// The byte-level tokenizer of a GGUF file; `None` in a folder, or where the file has another.
    ///
    /// Fails where its lists are missing or absurd, and where the file's tokenizer is of no known
    /// kind.
    pub fn bpe(&self) -> Result<Option<Bpe>> {
        self.gguf().map_or(Ok(None), gguf_tokenizer::bpe)
    }

    /// The SentencePiece tokenizer of a GGUF file; as [`Checkpoint::bpe`].
    pub fn sentence_piece(&self) -> Result<Option<SentencePiece>> {
        self.gguf().map_or(Ok(None), gguf_tokenizer::sentence_piece)
    }

    /// The model's tokenizer, where it has one.
    pub fn tokenizer(&self) -> Result<Option<Tokenizer>> {
        if let Some(files) = self.files() {
            return Tokenizer::from_files(files);
        }
        if let Some(bpe) = self.bpe()? {
            return Tokenizer::from_bpe(&self.path, bpe).map(Some);
        }
        let pieces = self.sentence_piece()?;
        pieces.map(|pieces| Tokenizer::from_sentence_piece(&self.path, pieces)).transpose()
    }

    /// The model's own chat template, where it has one.
    ///
    /// Fails where `tokenizer_config.json`, which names the tokens that the template may use, is
    /// damaged.
    pub fn chat(&self, tokenizer: &Tokenizer) -> Result<Option<ChatTemplate>> {
        let Some(source) = self.chat_template.clone() else { return Ok(None) };
        let name = |id: Option<u32>| id.and_then(|id| tokenizer.token(id));
        let (bos, eos) = match &self.origin {
            Origin::Gguf(gguf) => (name(self.config.bos), name(gguf_tokenizer::eos(gguf)?)),
            Origin::Files(files) => folder::special_names(files)?,
        };
        Ok(Some(ChatTemplate { path: self.path.clone(), source, bos, eos }))
    }

    /// The source of the model's own chat template, in Jinja.
    pub fn chat_template(&self) -> Option<&str> {
        self.chat_template.as_deref()
    }
}
