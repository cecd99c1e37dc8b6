//! The tokenizer and the chat template of an opened model.

use super::arguments::TemplateArguments;
use super::chat::ChatTemplate;
use super::encoding::Tokenizer;
use crate::checkpoint::{ALSO_TEXT, Checkpoint, END_OF_FILE, END_OF_PART, ENDS, SpecialToken};
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

    /// The tokens that end a text or a turn of a model, in ascending order: those whose ids its
    /// files give, the one that `tokenizer_config.json` names, and those that bear a name by which
    /// other models end a turn or, in code, a file.
    ///
    /// # Errors
    /// As [`Checkpoint::special_tokens`].
    pub fn ends(&self, checkpoint: &Checkpoint) -> Result<Vec<u32>> {
        let config = checkpoint.config();
        let given = match checkpoint.special_tokens()?.eos {
            Some(SpecialToken::Text(name)) => Some(name),
            Some(SpecialToken::Id(_)) | None => None,
        };
        let added: Vec<(String, bool)> = self.added_tokens().collect();
        let has = |wanted: &str| added.iter().any(|(name, _)| name == wanted);
        let (part, whole) = END_OF_PART;
        let in_parts = whole.into_iter().all(|names| names.into_iter().any(has));
        let ends = |(name, special): &&(String, bool)| {
            let own = *special && given.as_ref() == Some(name);
            let known = if name == ALSO_TEXT { *special } else { name != part || !in_parts };
            let name = name.as_str();
            own || ENDS.contains(&name) && known || END_OF_FILE.contains(&name)
        };
        let inside = |id: &u32| usize::try_from(*id).is_ok_and(|id| id < config.vocab);
        let named = added.iter().filter(ends).filter_map(|(name, _)| self.id(name)).filter(inside);
        let mut all: Vec<u32> = config.eos.iter().copied().chain(named).collect();
        all.sort_unstable();
        all.dedup();
        Ok(all)
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
