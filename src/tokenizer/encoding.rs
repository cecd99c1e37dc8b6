//! Encoding text as tokens, and decoding tokens to text.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokenizers::{
    AddedVocabulary, Model, OffsetReferential, OffsetType, PreTokenizedString, Token,
};

use super::alias::Aliases;
use super::by_score::ByScore;
use super::decode::{Decoding, Joiner, SPACE, Start};
use super::pipeline::Pipeline;
use crate::error::{Error, Result};

/// Encodes text as token ids and decodes them; clones share the vocabulary.
#[derive(Clone, Debug)]
pub struct Tokenizer(pub(super) Arc<Inner>);

/// The rank of each pair in the ordered merges.
pub(super) type Ranks = HashMap<(String, String), usize>;

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) pipeline: Pipeline,
    /// Merges by scores, which the crate lacks, in place of the pipeline's model.
    by_score: Option<ByScore>,
    decoding: Decoding,
    /// The tokens before every text.
    opening: Vec<u32>,
    vocab_size: usize,
    /// The ranks of the merges, computed on first use.
    pub(super) ranks: OnceLock<Ranks>,
    /// Whether a text with two beginnings has been warned of.
    told: AtomicBool,
}

/// How a text is encoded. By default it begins as the tokenizer says, and the names of special
/// tokens are ordinary text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encode {
    /// Whether a beginning-of-text token is added.
    pub bos: Bos,
    /// How the names of special tokens inside the text are treated.
    pub special: Special,
}

/// Whether a beginning-of-text token is added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bos {
    /// As tokenizer.json's post-processor or GGUF's `add_bos_token` says. What a post-processor
    /// puts *after* a text is left out: it would end a text that will be continued.
    #[default]
    Auto,
    /// Never.
    Never,
}

/// How the names of special tokens, such as `<|endoftext|>`, are treated inside a text.
///
/// Added tokens that are not special (GGUF's user-defined ones) are recognized in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Special {
    /// As ordinary text, so that no input can end a turn or open a role.
    #[default]
    AsText,
    /// As the token of that name.
    Recognize,
}

impl Tokenizer {
    /// Wraps a pipeline; `vocab_size` is at least its highest id + 1.
    pub(super) fn new(
        pipeline: Pipeline,
        decoding: Decoding,
        opening: Vec<u32>,
        vocab_size: usize,
        by_score: Option<ByScore>,
    ) -> Self {
        let (ranks, told) = (OnceLock::new(), AtomicBool::new(false));
        Self(Arc::new(Inner { pipeline, by_score, decoding, opening, vocab_size, ranks, told }))
    }

    /// The token ids of `text`, (T).
    ///
    /// A text that begins with the token that is put before it has two beginnings; a warning says
    /// so once.
    ///
    /// # Errors
    /// [`Error::Input`] if the model has neither a token for some part of the text nor an unknown
    /// token; [`Error::File`] if a step of the tokenizer gives up on the text, or makes far more of
    /// it than it was.
    pub fn encode(&self, text: &str, options: Encode) -> Result<Vec<u32>> {
        let inner = &*self.0;
        let text = self.spaced(text);
        let pieces = inner.pipeline.pieces(self.recognized(options.special), &text, None)?;
        let mut ids = match options.bos {
            Bos::Auto => inner.opening.clone(),
            Bos::Never => Vec::new(),
        };
        self.encode_pieces(pieces, &mut ids)?;
        self.tell_two_beginnings(&ids, &inner.opening, |name| match options.bos {
            Bos::Auto => {
                format!("the text begins with {name}, and the tokenizer puts {name} before it too")
            }
            Bos::Never => format!("the text begins with {name} twice"),
        });
        Ok(ids)
    }

    /// Warns once if tokens have two beginnings.
    pub(super) fn tell_two_beginnings(
        &self,
        ids: &[u32],
        opening: &[u32],
        why: impl FnOnce(&str) -> String,
    ) {
        let rest = ids.strip_prefix(opening).and_then(<[u32]>::first);
        let Some(id) = rest.filter(|id| opening.contains(id)) else { return };
        if !self.0.told.swap(true, Ordering::Relaxed) {
            let name = self.token(*id).unwrap_or_default();
            log::warn!("{}: the model reads two beginnings", why(&name));
        }
    }

    /// The tokens of a text in which special tokens are recognized, unless an alias is inside their
    /// names; aliases are then encoded as the characters that they stand for.
    pub(super) fn encode_aliased(&self, text: &str, aliases: Aliases) -> Result<Vec<u32>> {
        let text = self.spaced(text);
        let added = self.recognized(Special::Recognize);
        let pieces = self.0.pipeline.pieces(added, &text, Some(aliases))?;
        let mut ids = Vec::new();
        self.encode_pieces(pieces, &mut ids)?;
        Ok(ids)
    }

    /// The tokens that are cut from a text as a whole.
    pub(super) fn recognized(&self, special: Special) -> &AddedVocabulary {
        match special {
            Special::AsText => &self.0.pipeline.without_special,
            Special::Recognize => &self.0.pipeline.added,
        }
    }

    /// The text as input to the pipeline: with merges by scores, `▁` is a space.
    pub(super) fn spaced<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.0.by_score {
            Some(_) => text.replace(SPACE, " ").into(),
            None => Cow::Borrowed(text),
        }
    }

    fn encode_pieces(&self, mut pieces: PreTokenizedString, ids: &mut Vec<u32>) -> Result<()> {
        self.merge_pieces(&mut pieces)?;
        for (piece, _, tokens) in pieces.get_splits(OffsetReferential::Normalized, OffsetType::None)
        {
            let tokens = tokens.as_deref().unwrap_or_default();
            // The crate's BPE skips characters that it has no token for, and the prompt would
            // silently become shorter.
            if tokens.last().map_or(0, |token| token.offsets.1) < piece.len() {
                let start: String = piece.chars().take(20).collect();
                return Err(Error::Input(format!(
                    "the vocabulary has no token for a part of the text (within {start:?})"
                )));
            }
            ids.extend(tokens.iter().map(|token| token.id));
        }
        Ok(())
    }

    /// Finds the tokens of each piece.
    pub(super) fn merge_pieces(&self, pieces: &mut PreTokenizedString) -> Result<()> {
        let merged = pieces.tokenize(|piece| match &self.0.by_score {
            Some(by_score) => by_score.tokenize(&self.0.pipeline.model, piece.get()),
            None => self.merge(piece.get()),
        });
        let unencodable =
            |reason| Error::Input(format!("the tokenizer cannot encode this text: {reason}"));
        merged.map_err(unencodable)
    }

    /// The tokens that the crate's model gives for a piece of text.
    ///
    /// Some of its models would also turn text that merely spells the name of a special token or of
    /// a byte into that token; such a name is split after its first character.
    fn merge(&self, text: &str) -> tokenizers::Result<Vec<Token>> {
        let tokens = self.0.pipeline.model.tokenize(text)?;
        let added = self.0.pipeline.added.get_added_tokens_decoder();
        // A single byte of a character has no text.
        let spelled = |token: &Token| text.get(token.offsets.0..token.offsets.1);
        let cut = |token: &Token| {
            let spelled = spelled(token)?;
            let special = added.get(&token.id).filter(|added| added.special);
            let name = special.is_some_and(|added| added.content == spelled)
                || self.0.decoding.is_byte(spelled) && token.value == spelled;
            let (second, _) = spelled.char_indices().nth(1)?;
            name.then_some(token.offsets.0 + second)
        };
        let mut cuts: Vec<usize> = tokens.iter().filter_map(cut).collect();
        if cuts.is_empty() {
            return Ok(tokens);
        }
        cuts.push(text.len());
        let (mut parts, mut start) = (Vec::with_capacity(tokens.len()), 0);
        for end in cuts {
            for mut token in self.merge(&text[start..end])? {
                token.offsets = (token.offsets.0 + start, token.offsets.1 + start);
                parts.push(token);
            }
            start = end;
        }
        Ok(parts)
    }

    /// The text of `ids`, special tokens included; ids outside the vocabulary are ignored.
    ///
    /// The tokens' bytes are joined, then read as UTF-8 with each maximal invalid part replaced by
    /// one U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut stream = self.stream();
        let mut text: String = ids.iter().map(|&id| stream.push(id)).collect();
        text.push_str(&stream.finish());
        text
    }

    /// A decoder that takes one id at a time, for a text that starts with its first id.
    pub fn stream(&self) -> Stream {
        Stream::new(self.clone(), Start::OfText)
    }

    /// A decoder for ids that continue a text: a first token's leading space is kept even where
    /// the tokenizer strips it at the start of a text.
    pub fn stream_continued(&self) -> Stream {
        Stream::new(self.clone(), Start::Continued)
    }

    /// The bytes of one token, which need not be whole characters; `None` for an id outside the
    /// vocabulary.
    pub fn token_bytes(&self, id: u32) -> Option<Vec<u8>> {
        if let Some(token) = self.0.pipeline.added.get_added_tokens_decoder().get(&id) {
            return Some(self.0.decoding.added_bytes(&token.content));
        }
        self.0.pipeline.model.id_to_token(id).map(|token| self.0.decoding.bytes(&token))
    }

    /// The tokens that are cut from a text as a whole, and whether each is special.
    pub(super) fn added_tokens(&self) -> impl Iterator<Item = (String, bool)> {
        let added = self.0.pipeline.added.get_added_tokens_decoder();
        added.values().map(|token| (token.content.clone(), token.special))
    }

    /// The vocabulary's own spelling of a token, such as `Ġworld`.
    pub fn token(&self, id: u32) -> Option<String> {
        self.0.pipeline.token(id)
    }

    /// The id of a token in the vocabulary's own spelling.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.0.pipeline.id(token)
    }

    /// The highest id + 1; a model's embedding may have more rows, as padding.
    pub fn vocab_size(&self) -> usize {
        self.0.vocab_size
    }

    /// The tokens that [`Bos::Auto`] puts before a text; mostly one or none.
    pub fn opening(&self) -> &[u32] {
        &self.0.opening
    }
}

/// Decodes token by token; the pieces together equal the result of [`Tokenizer::decode`].
///
/// A character may be split over several tokens, so its first bytes are held back until it is
/// complete or can no longer be completed.
#[derive(Clone, Debug)]
pub struct Stream {
    tokenizer: Tokenizer,
    joiner: Joiner,
}

impl Stream {
    fn new(tokenizer: Tokenizer, start: Start) -> Self {
        let joiner = Joiner::new(&tokenizer.0.decoding, start);
        Self { tokenizer, joiner }
    }

    /// The text that is certain after `id`; often empty within a character.
    pub fn push(&mut self, id: u32) -> String {
        let bytes = self.tokenizer.token_bytes(id);
        bytes.map_or_else(String::new, |bytes| self.joiner.push(&bytes))
    }

    /// The end of the text: U+FFFD if a character is incomplete, otherwise empty.
    pub fn finish(&mut self) -> String {
        self.joiner.finish()
    }
}
