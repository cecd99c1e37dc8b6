//! The tokenizer and the chat template of an opened model.

use super::arguments::TemplateArguments;
use super::chat::ChatTemplate;
use super::encoding::Tokenizer;
use crate::checkpoint::{Checkpoint, SpecialToken};
use crate::error::Result;

impl Tokenizer {
    /// The tokenizer of an opened model, if it has one.
    ///
    /// # Errors
    /// As [`Tokenizer::from_files`], [`Checkpoint::bpe`] and [`Checkpoint::sentence_piece`].
    pub fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Option<Self>> {
        let path = checkpoint.path();
        if let Some(files) = checkpoint.files() {
            return Self::from_files(files);
        }
        if let Some(bpe) = checkpoint.bpe()? {
            return Self::from_bpe(path, bpe).map(Some);
        }
        let pieces = checkpoint.sentence_piece()?;
        pieces.map(|pieces| Self::from_sentence_piece(path, pieces)).transpose()
    }
}

impl ChatTemplate {
    /// The model's own chat template, if it has one; its tokenizer gives the names of the tokens
    /// that the template may use.
    ///
    /// # Errors
    /// As [`Checkpoint::special_tokens`].
    pub fn from_checkpoint(checkpoint: &Checkpoint, tokenizer: &Tokenizer) -> Result<Option<Self>> {
        let Some(source) = checkpoint.chat_template() else { return Ok(None) };
        let special = checkpoint.special_tokens()?;
        let name = |token| match token {
            SpecialToken::Id(id) => tokenizer.token(id),
            SpecialToken::Text(name) => Some(name),
        };
        Ok(Some(Self {
            path: checkpoint.path().into(),
            source: source.to_owned(),
            bos: special.bos.and_then(name),
            eos: special.eos.and_then(name),
            arguments: TemplateArguments::default(),
        }))
    }
}
