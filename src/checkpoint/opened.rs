//! An opened model: its metadata and the places of its tensors.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::gguf::{
    config,
    file::Gguf,
    parts,
    tokenizer::{self, Bpe, SentencePiece},
};
use super::hf::folder::{self, Folder};
use super::hf::shards::{Absent, INDEX};
use super::matrix::Matrix;
use super::notes::Notes;
use super::params::{Cut, Param};
use super::source::{Entries, Entry};
use super::special::{SpecialToken, SpecialTokens};
use super::tensor_names::Names;
use super::tied;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::files::{Files, Source};
use crate::format::Format;

/// An opened model: its configuration, and the place of each tensor.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    config: Config,
    names: &'static Names,
    /// The family's prefix, or empty if the names in this file lack it.
    prefix: String,
    entries: Entries,
    absent: Absent,
    origin: Origin,
    chat_template: Option<String>,
    warnings: Vec<String>,
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
    /// model.safetensors, with shards and their index, or with one other safetensors file. A model
    /// in several GGUF files is opened by any of them, or by a folder with no other model.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Io`] for a path that cannot be read, [`Error::Unsupported`] for
    /// an unsupported model; [`Error::File`] and [`Error::Tensor`] for invalid contents, with the
    /// file, field or tensor at fault.
    pub fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            Self::open_files(Files::on_disk(path))
        } else if path.exists() {
            let beside = Files::on_disk(path.parent().unwrap_or(Path::new("")));
            Self::open_gguf(Source::open(path)?, &beside)
        } else {
            Err(Error::file(path, "no such file or folder"))
        }
    }

    /// The same for files from any source: those of a folder in Hugging Face's layout, or a single
    /// GGUF file or all parts of one.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open_files(files: Files) -> Result<Self> {
        if !files.has("config.json")
            && let Some(name) = parts::only_model(&files)?
        {
            return Self::open_gguf(files.open(&name)?, &files);
        }
        let notes = Notes::default();
        let Folder { config, names, entries, absent, chat_template } =
            folder::open(&files, &notes)?;
        let (path, prefix) = (files.path().into(), names.prefix_of(&entries));
        let (origin, warnings) = (Origin::Files(files), Vec::new());
        Self { path, config, names, prefix, entries, absent, origin, chat_template, warnings }
            .checked(notes)
    }

    fn open_gguf(source: Arc<Source>, beside: &Files) -> Result<Self> {
        let path: PathBuf = source.path().into();
        let (mut gguf, entries) = parts::open(source, beside)?;
        let (config, names) = config::read(&mut gguf, &entries)?;
        let fields = gguf.fields("tokenizer.");
        let chat_template = fields.get("chat_template").and_then(|value| value.as_str());
        if chat_template.is_none() {
            fields.unused("chat_template", "it must be text in UTF-8");
        }
        let chat_template = chat_template.map(str::to_owned);
        let notes = std::mem::take(&mut gguf.notes);
        let (prefix, absent) = (String::new(), Absent::new());
        let (origin, warnings) = (Origin::Gguf(Box::new(gguf)), Vec::new());
        Self { path, config, names, prefix, entries, absent, origin, chat_template, warnings }
            .checked(notes)
    }

    /// Checks every tensor, so that later code can rely on them, and tells what is not used.
    fn checked(mut self, notes: Notes) -> Result<Self> {
        self.untie_if_stored_apart(&notes)?;
        self.check_types()?;
        let mut unused = BTreeSet::new();
        for param in Param::ALL {
            let times = if param.in_layer() { self.config.layers } else { 1 };
            for layer in 0..times {
                if self.has(param, layer) {
                    self.matrix(param, layer)?;
                } else if param != Param::Head {
                    unused.extend(self.find(param, layer).map(|(name, _)| name));
                }
            }
        }
        // Of layers after those that the configuration counts.
        for layer in self.config.layers.. {
            let params = Param::ALL.into_iter().filter(|param| param.in_layer());
            let before = unused.len();
            unused.extend(params.filter_map(|param| self.find(param, layer)).map(|(name, _)| name));
            if unused.len() == before {
                break;
            }
        }
        if let Some(first) = unused.first() {
            let what = format!("{} tensors are not used, such as {first}", unused.len());
            notes.add(&self.path, format!("{what}: the configuration has no such parameter"));
        }
        self.warnings = notes.into_sentences();
        self.warnings.iter().for_each(|warning| log::warn!("{warning}"));
        Ok(self)
    }

    /// A head that is said to be the embedding but stored with other values is one of its own.
    fn untie_if_stored_apart(&mut self, notes: &Notes) -> Result<()> {
        if !self.config.tied_head {
            return Ok(());
        }
        let [head, embed] = [Param::Head, Param::Embed].map(|param| self.stored(param, 0));
        let (Some(head), Some(embed)) = (head, embed) else { return Ok(()) };
        // A type that cannot be read is reported with all others.
        if [&head, &embed].iter().any(|(name, _)| self.entries[name].format.is_none()) {
            self.config.tied_head = false;
            return Ok(());
        }
        let matrix = |(name, cut): (String, Cut), param| {
            Matrix::new(name.clone(), &self.entries[&name], param, cut, &self.config)
        };
        let (head, embed) = (matrix(head, Param::Head)?, matrix(embed, Param::Embed)?);
        if !tied::equal(&head, &embed)? {
            let (head, embed) = (head.name, embed.name);
            let what = format!("tensor {head} differs from {embed}, so it is used as the head");
            notes.add(&self.path, format!("{what}, though tie_word_embeddings is true"));
            self.config.tied_head = false;
        }
        Ok(())
    }

    /// Refuses tensors of types that cannot be read, all at once.
    fn check_types(&self) -> Result<()> {
        let mut by_kind: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for param in Param::ALL {
            for layer in 0..if param.in_layer() { self.config.layers } else { 1 } {
                let found = self.find(param, layer).filter(|_| self.has(param, layer));
                let entry = found.and_then(|(name, _)| self.entries.get_key_value(&name));
                if let Some((name, Entry { format: None, kind, stored_as, .. })) = entry {
                    let name = stored_as.as_ref().unwrap_or(name);
                    by_kind.entry(kind).or_default().insert(name);
                }
            }
        }
        let Some((kind, names)) = by_kind.first_key_value() else { return Ok(()) };
        let first = names.first().copied().unwrap_or_default();
        let path = self.entries.get(first).map_or(&*self.path, |entry| entry.source.path());
        Err(Error::tensor(path, first, unreadable(kind, &by_kind)))
    }

    /// What was ignored, guessed or replaced while the model was opened, as sentences that name the
    /// file. They are logged too.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
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
        let first = self.names.find(param, layer, &self.prefix).next();
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
            return Err(self.missing(&name));
        };
        // Llama's converter interleaves the two halves of each head that rotate.
        let paired = self.gguf().is_some()
            && self.config.architecture == "llama"
            && matches!(param, Param::Q | Param::K | Param::QBias | Param::KBias);
        let cut = if paired { Cut::Paired } else { cut };
        Matrix::new(name, entry, param, cut, &self.config)
    }

    fn missing(&self, name: &str) -> Error {
        let Some(file) = self.absent.get(name) else {
            return Error::tensor(&self.path, name, "is missing");
        };
        let name_of_file = file.file_name().unwrap_or_default().to_string_lossy();
        let there = self.files().is_some_and(|files| files.has(&name_of_file));
        let file_too = if there { "" } else { ", as is the file" };
        Error::tensor(file, name, format!("is missing{file_too}, though {INDEX} puts it here"))
    }

    /// The tensor that holds a parameter, and how it is cut. Of an embedding and a head that are
    /// one, either may be stored.
    pub(super) fn find(&self, param: Param, layer: usize) -> Option<(String, Cut)> {
        let tied = param == Param::Embed && self.config.tied_head;
        let head = || self.stored(Param::Head, layer).filter(|_| tied);
        self.stored(param, layer).or_else(head)
    }

    fn stored(&self, param: Param, layer: usize) -> Option<(String, Cut)> {
        let mut known = self.names.find(param, layer, &self.prefix);
        known.find(|(name, _)| self.entries.contains_key(name))
    }

    /// The name of a parameter's tensor in a file of this model that is written.
    pub(super) fn name_to_write(&self, param: Param, layer: usize) -> Option<(String, Cut)> {
        let (name, cut) = self.find(param, layer)?;
        let own = self.names.prefixes;
        if self.prefix.is_empty() || own.contains(&self.prefix.as_str()) {
            return Some((name, cut));
        }
        // What is written is the language model alone, without the prefix of the larger one.
        let prefix = own.first().copied().unwrap_or_default();
        let plain = self.names.find(param, layer, "");
        let row = plain.into_iter().position(|(plain, _)| name.ends_with(&plain));
        self.names.find(param, layer, prefix).nth(row.unwrap_or(0))
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

/// What is wrong with the tensors of some types, by type: how many have it, and which.
fn unreadable(kind: &str, by_kind: &BTreeMap<&str, BTreeSet<&str>>) -> String {
    const SHOWN: usize = 8;
    let all = by_kind.iter().map(|(kind, names)| {
        let some: Vec<&str> = names.iter().copied().take(SHOWN).collect();
        let more = match names.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let tensors = if names.len() == 1 { "tensor has" } else { "tensors have" };
        format!("{} {tensors} {kind}: {}{more}", names.len(), some.join(", "))
    });
    let all: Vec<String> = all.collect();
    let supported = |everywhere| {
        let formats = Format::ALL.into_iter();
        let formats = formats.filter(|format| format.info().safetensors == everywhere);
        formats.map(Format::name_in_files).collect::<Vec<_>>().join(", ")
    };
    format!(
        "its type {kind} is not supported ({}); supported: {}, and in GGUF {}",
        all.join("; "),
        supported(true),
        supported(false)
    )
}
