//! An opened model: its metadata and the places of its tensors.

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

/// An opened model: its configuration, and the place of each tensor.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    config: Config,
    names: &'static Names,
    /// The family's prefix, or empty if the names in this file lack it.
    prefix: &'static str,
    entries: Entries,
    origin: Origin,
    chat_template: Option<String>,
}

/// Where a checkpoint finds tokenizer and chat template.
#[derive(Debug)]
enum Origin {
    /// In the files of the folder.
    Files(Files),
    /// In the metadata of a GGUF file.
    Gguf(Box<Gguf>),
}

impl Checkpoint {
    /// Opens a GGUF file, or a folder in Hugging Face's layout: config.json with
    /// model.safetensors, with shards and their index, or with one other safetensors file.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Io`] for a path that cannot be read, [`Error::Unsupported`] for
    /// an unsupported model; [`Error::File`] and [`Error::Tensor`] for invalid contents, with the
    /// file, field or tensor at fault.
    pub fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            Self::open_files(Files::on_disk(path))
        } else if path.exists() {
            Self::open_gguf(Source::open(path)?)
        } else {
            Err(Error::file(path, "no such file or folder"))
        }
    }

    /// The same for files from any source: those of a folder in Hugging Face's layout, or a single
    /// GGUF file.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
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

    /// Checks every tensor, so that later code can rely on them.
    fn checked(self) -> Result<Self> {
        for param in Param::ALL {
            let times = if param.in_layer() { self.config.layers } else { 1 };
            for layer in 0..times {
                if self.has(param, layer) {
                    self.matrix(param, layer)?;
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

    /// The model's hyper-parameters.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The file or folder that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the model has this parameter in this layer; `layer` is ignored outside the layers.
    pub fn has(&self, param: Param, layer: usize) -> bool {
        param.belongs_to(&self.config) && (!param.in_layer() || layer < self.config.layers)
    }

    /// One weight; `layer` is ignored for the parameters outside the layers.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the model has no such parameter, or if the file's tensor is missing, of
    /// a shape other than the configuration's, or of an unsupported type.
    pub fn matrix(&self, param: Param, layer: usize) -> Result<Matrix> {
        let first = self.names.find(param, layer, self.prefix).next();
        let found = self.find(param, layer).or(first);
        let (name, cut) = found.filter(|_| self.has(param, layer)).ok_or_else(|| {
            let model = &self.config.architecture;
            Error::tensor(
                &self.path,
                format!("{param:?}, layer {layer}"),
                format!("not a parameter of this {model} model"),
            )
        })?;
        let Some(entry) = self.entries.get(&name) else {
            return Err(Error::tensor(&self.path, name, "is missing"));
        };
        // Llama's converter interleaves the two halves of each head that rotate.
        let paired = self.gguf().is_some()
            && self.config.architecture == "llama"
            && matches!(param, Param::Q | Param::K | Param::QBias | Param::KBias);
        let cut = if paired { Cut::Paired } else { cut };
        Matrix::new(name, entry, param, cut, &self.config)
    }

    /// The tensor that holds a parameter, and how it is cut.
    pub(super) fn find(&self, param: Param, layer: usize) -> Option<(String, Cut)> {
        let mut known = self.names.find(param, layer, self.prefix);
        known.find(|(name, _)| self.entries.contains_key(name))
    }

    /// The tensors of all files.
    pub(super) fn entries(&self) -> &Entries {
        &self.entries
    }

    /// The byte-level tokenizer of a GGUF file; `None` in a folder, or if the file has another
    /// kind.
    ///
    /// # Errors
    /// [`Error::File`] if its lists are missing or invalid, [`Error::Unsupported`] for an unknown
    /// kind of tokenizer.
    pub fn bpe(&self) -> Result<Option<Bpe>> {
        self.gguf().map_or(Ok(None), tokenizer::bpe)
    }

    /// The SentencePiece tokenizer of a GGUF file; as [`Checkpoint::bpe`].
    pub fn sentence_piece(&self) -> Result<Option<SentencePiece>> {
        self.gguf().map_or(Ok(None), tokenizer::sentence_piece)
    }

    /// The tokens that begin and end a text, for use by a chat template.
    ///
    /// # Errors
    /// Those of reading a folder's `tokenizer_config.json`, which names them.
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
