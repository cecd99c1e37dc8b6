//! An opened model: where its tensors lie, and what it says of itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::gguf::{
    config,
    file::{self, Gguf},
    tokenizer::{self, Bpe, SentencePiece},
};
use super::hf::folder::{self, Folder};
use super::matrix::Matrix;
use super::params::{Cut, Param};
use super::source::Entries;
use super::special::{SpecialToken, SpecialTokens};
use super::tensor_names::Names;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::files::{Files, Source};

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
        let Folder { config, names, entries, chat_template } = folder::open(&files)?;
        let (path, prefix) = (files.path().into(), names.prefix_of(&entries));
        let origin = Origin::Files(files);
        Self { path, config, names, prefix, entries, origin, chat_template }.checked()
    }

    /// Checks every tensor, so that what has been opened can be relied on.
    fn checked(self) -> Result<Self> {
        for part in Param::ALL {
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
        let (mut gguf, entries) = file::open(source)?;
        let (config, names) = config::read(&mut gguf, &entries)?;
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
    pub fn has(&self, part: Param, layer: usize) -> bool {
        part.belongs_to(&self.config) && (!part.in_layer() || layer < self.config.layers)
    }

    /// One weight; `layer` is ignored for the parts outside the layers.
    ///
    /// Fails where the model has no such part, or where the file's tensor is missing, of another
    /// shape than the configuration calls for, or of an unsupported type.
    pub fn matrix(&self, part: Param, layer: usize) -> Result<Matrix> {
        let first = self.names.find(part, layer, self.prefix).next();
        let found = self.find(part, layer).or(first);
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
            && matches!(part, Param::Q | Param::K | Param::QBias | Param::KBias);
        let cut = if paired { Cut::Paired } else { cut };
        Matrix::new(name, entry, part, cut, &self.config)
    }

    /// The tensor that the files have of a part, and how the part lies in it.
    pub(super) fn find(&self, part: Param, layer: usize) -> Option<(String, Cut)> {
        let mut known = self.names.find(part, layer, self.prefix);
        known.find(|(name, _)| self.entries.contains_key(name))
    }

    /// The tensors of all files.
    pub(super) fn entries(&self) -> &Entries {
        &self.entries
    }

    /// The byte-level tokenizer of a GGUF file; `None` in a folder, or where the file has another.
    ///
    /// Fails where its lists are missing or absurd, and where the file's tokenizer is of no known
    /// kind.
    pub fn bpe(&self) -> Result<Option<Bpe>> {
        self.gguf().map_or(Ok(None), tokenizer::bpe)
    }

    /// The SentencePiece tokenizer of a GGUF file; as [`Checkpoint::bpe`].
    pub fn sentence_piece(&self) -> Result<Option<SentencePiece>> {
        self.gguf().map_or(Ok(None), tokenizer::sentence_piece)
    }

    /// The tokens that begin and end a text, as a chat template may use them.
    ///
    /// Fails where `tokenizer_config.json`, which names them in a folder, is damaged.
    pub fn special_tokens(&self) -> Result<SpecialTokens> {
        match &self.origin {
            Origin::Gguf(gguf) => Ok(SpecialTokens {
                bos: self.config.bos.map(SpecialToken::Id),
                eos: tokenizer::eos(gguf)?.map(SpecialToken::Id),
            }),
            Origin::Files(files) => folder::special_tokens(files),
        }
    }

    /// The source of the model's own chat template, in Jinja.
    pub fn chat_template(&self) -> Option<&str> {
        self.chat_template.as_deref()
    }
}
