//! The steps of a tokenizer, from a text to the pieces that the model encodes.

use std::path::{Path, PathBuf};

use tokenizers::models::ModelWrapper;
use tokenizers::{
    AddedToken, AddedVocabulary, Model, NormalizedString, NormalizerWrapper, PreTokenizedString,
    PreTokenizerWrapper,
};

use super::alias::Aliases;
use super::growth::Growth;
use super::normalizing::Normalizing;
use super::splitting::Splitting;
use crate::error::{Error, Result};

/// The longest added token in bytes. Real ones have a few dozen; the search for them grows with
/// their length.
pub(super) const LONGEST: usize = 1024;

/// The bytes of all added tokens: over twice what the largest real vocabularies of images and sounds
/// have.
const ALL: usize = 4 << 20;

/// One more than the highest id that a token may have: many times the largest real vocabulary.
pub(super) const IDS: usize = 1 << 24;

/// Added tokens, normalizer, pre-tokenizer and model; no post-processor, decoder, truncation or
/// padding.
///
/// The crate's parts are called one by one instead of its `encode`, so that no setting of a file can
/// truncate or pad, both treatments of special tokens share one vocabulary, no step can fail in
/// silence, and none makes much more of a text than it was.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) model: ModelWrapper,
    pub(super) added: AddedVocabulary,
    /// The added tokens, with special ones treated as ordinary text.
    pub(super) without_special: AddedVocabulary,
    normalizing: Normalizing,
    splitting: Splitting,
    /// The model's highest id + 1.
    own_size: usize,
    /// The file, for errors.
    path: PathBuf,
}

impl Pipeline {
    /// Puts the steps together. Tokens that the model does not have get the ids after its own.
    ///
    /// # Errors
    /// [`Error::File`] for a step or an added token that cannot be used, or that takes too much.
    pub(super) fn new(
        path: &Path,
        model: impl Into<ModelWrapper>,
        normalizer: Option<NormalizerWrapper>,
        pre_tokenizer: Option<PreTokenizerWrapper>,
        added: &[AddedToken],
    ) -> Result<Self> {
        let fail = |error: tokenizers::Error| Error::file(path, error.to_string());
        let normalizing = Normalizing::new(normalizer).map_err(fail)?;
        let splitting = Splitting::new(pre_tokenizer).map_err(fail)?;
        let mut pipeline = Self {
            model: model.into(),
            added: AddedVocabulary::new(),
            without_special: AddedVocabulary::new(),
            normalizing,
            splitting,
            own_size: 0,
            path: path.to_owned(),
        };
        pipeline.own_size = check_ids(path, &pipeline.model)?;
        pipeline.add(added)?;
        Ok(pipeline)
    }

    /// Adds tokens that are cut from a text as a whole, or changes how they are: all at once, since
    /// the crate rebuilds its search each time.
    ///
    /// # Errors
    /// [`Error::File`] for a token that is too long, or too many.
    pub(super) fn add(&mut self, tokens: &[AddedToken]) -> Result<()> {
        let known = self.added.get_added_tokens_decoder().values();
        let lengths = tokens.iter().chain(known).map(|token| token.content.len());
        let total: usize = lengths.sum();
        if total > ALL {
            let reason = format!("added tokens of {total} bytes in all; the most is {ALL}");
            return Err(Error::file(&self.path, reason));
        }
        if let Some(token) = tokens.iter().find(|token| token.content.len() > LONGEST) {
            let start: String = token.content.chars().take(20).collect();
            let reason = format!(
                "an added token of {} bytes ({start:?}...); the longest is {LONGEST}",
                token.content.len()
            );
            return Err(Error::file(&self.path, reason));
        }
        let growth = Growth::of(total);
        let bounded = self.normalizing.within(&growth);
        self.added.add_tokens(tokens, &self.model, Some(&bounded));
        let reason = |error| Error::file(&self.path, format!("added tokens: {error}"));
        bounded.finish().map_err(reason)?;
        self.without_special = self.added.clone();
        self.without_special.set_encode_special_tokens(true);
        Ok(())
    }

    /// Warns if added tokens have other ids than a file lists.
    pub(super) fn compare<'a>(&self, path: &Path, listed: impl Iterator<Item = (u64, &'a str)>) {
        let other = |(id, name): &(u64, &str)| self.id(name).map(u64::from) != Some(*id);
        let others: Vec<_> = listed.filter(other).collect();
        if let Some((id, name)) = others.first() {
            let (path, number) = (path.display(), others.len());
            let found = self.id(name).map_or("none".to_owned(), |found| found.to_string());
            log::warn!(
                "{path}: {number} added tokens have other ids than it lists, the first of them \
                 {name:?}: {found}, not {id}"
            );
        }
    }

    /// The pieces of a text, normalized and split; tokens of `added` are cut out whole. Once those
    /// have been found, aliases become what they stand for.
    ///
    /// # Errors
    /// [`Error::File`] if a step gives up, or makes too much of the text.
    pub(super) fn pieces(
        &self,
        added: &AddedVocabulary,
        text: &str,
        aliases: Option<Aliases>,
    ) -> Result<PreTokenizedString> {
        let fail = |error: tokenizers::Error| {
            Error::file(&self.path, format!("the tokenizer cannot encode this text: {error}"))
        };
        let growth = Growth::of(text.len());
        let bounded = self.normalizing.within(&growth);
        let mut pieces = added.extract_and_normalize(Some(&bounded), text);
        bounded.finish().map_err(fail)?;
        if let Some(aliases) = aliases {
            let meant = |piece: &mut NormalizedString| {
                piece.filter(|char| !aliases.is_mark(char));
                piece.map(|char| aliases.meant(char));
                Ok(())
            };
            pieces.normalize(meant).map_err(fail)?;
        }
        self.splitting.split(&mut pieces, &growth).map_err(fail)?;
        Ok(pieces)
    }

    /// The spelling of a token; `None` for an id outside the vocabulary.
    pub(super) fn token(&self, id: u32) -> Option<String> {
        self.added.simple_id_to_token(id).or_else(|| self.model.id_to_token(id))
    }

    /// The id of a token by its spelling.
    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.added.token_to_id(token, &self.model)
    }

    /// The highest id + 1.
    pub(super) fn vocab_size(&self) -> usize {
        let added = self.added.get_vocab().values().map(|&id| id as usize + 1).max();
        self.own_size.max(added.unwrap_or(0))
    }
}

/// The highest id + 1; ids so high that a table over all of them would fill the memory are refused.
fn check_ids(path: &Path, model: &ModelWrapper) -> Result<usize> {
    match model.get_vocab().into_iter().max_by_key(|(_, id)| *id) {
        Some((token, id)) if id as usize >= IDS => {
            let start: String = token.chars().take(20).collect();
            let reason = format!("token {start:?} has the id {id}; the highest is {}", IDS - 1);
            Err(Error::file(path, reason))
        }
        highest => Ok(highest.map_or(0, |(_, id)| id as usize + 1)),
    }
}
