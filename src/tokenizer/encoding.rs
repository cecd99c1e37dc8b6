//! Encoding text as tokens, and decoding tokens to text.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use tokenizers::{
    AddedVocabulary, Model, NormalizedString, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer, Token,
};

use super::alias::Aliases;
use super::by_score::ByScore;
use super::decode::{Decoding, Joiner, SPACE, Start};
use crate::error::{Error, Result};

/// Encodes text as token ids and decodes them; clones share the vocabulary.
#[derive(Clone, Debug)]
pub struct Tokenizer(pub(super) Arc<Inner>);

/// The rank of each pair in the ordered merges.
pub(super) type Ranks = HashMap<(String, String), usize>;

#[derive(Debug)]
pub(super) struct Inner {
    /// Normaliser, pre-tokeniser, model and added tokens; no post-processor, decoder, truncation or
    /// padding.
    pub(super) chain: tokenizers::Tokenizer,
    /// The added tokens of the pipeline, with special ones treated as ordinary text.
    pub(super) without_special: AddedVocabulary,
    /// Merges by scores, which the crate lacks, in place of the pipeline's model.
    by_score: Option<ByScore>,
    decoding: Decoding,
    /// The tokens before every text.
    opening: Vec<u32>,
    vocab_size: usize,
    /// The ranks of the merges, computed on first use.
    pub(super) ranks: OnceLock<Ranks>,
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
/// Added tokens that are not special (GGUF's user-defined ones) are recognised in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Special {
    /// As ordinary text, so that no input can end a turn or open a role.
    #[default]
    AsText,
    /// As the token of that name.
    Recognise,
}

impl Tokenizer {
    /// Wraps a pipeline of the crate; `vocab_size` is at least its highest id + 1.
    pub(super) fn new(
        chain: tokenizers::Tokenizer,
        decoding: Decoding,
        opening: Vec<u32>,
        vocab_size: usize,
        by_score: Option<ByScore>,
    ) -> Self {
        let mut without_special = chain.get_added_vocabulary().clone();
        without_special.set_encode_special_tokens(true);
        let ranks = OnceLock::new();
        Self(Arc::new(Inner {
            chain,
            without_special,
            by_score,
            decoding,
            opening,
            vocab_size,
            ranks,
        }))
    }

    /// The token ids of `text`, (T).
    ///
    /// The steps of the pipeline are called one by one instead of the crate's `encode`, so that no
    /// setting of a file can truncate or pad, and both treatments of special tokens share one
    /// vocabulary.
    ///
    /// # Errors
    /// [`Error::Input`] if the model has neither a token for some part of the text nor an unknown
    /// token.
    pub fn encode(&self, text: &str, options: Encode) -> Result<Vec<u32>> {
        let inner = &*self.0;
        let added = match options.special {
            Special::AsText => &inner.without_special,
            Special::Recognise => inner.chain.get_added_vocabulary(),
        };
        let text = self.spaced(text);
        let pieces = added.extract_and_normalize(inner.chain.get_normalizer(), &text);
        let mut ids = match options.bos {
            Bos::Auto => inner.opening.clone(),
            Bos::Never => Vec::new(),
        };
        self.encode_pieces(pieces, &mut ids)?;
        Ok(ids)
    }

    /// The tokens of a text in which special tokens are recognised, unless an alias is inside their
    /// names; aliases are then encoded as the characters that they stand for.
    pub(super) fn encode_aliased(&self, text: &str, aliases: Aliases) -> Result<Vec<u32>> {
        let text = self.spaced(text);
        let chain = &self.0.chain;
        let added = chain.get_added_vocabulary();
        let mut pieces = added.extract_and_normalize(chain.get_normalizer(), &text);
        let meant = |piece: &mut NormalizedString| {
            piece.filter(|char| !aliases.is_mark(char));
            piece.map(|char| aliases.meant(char));
            Ok(())
        };
        pieces.normalize(meant).map_err(unencodable)?;
        let mut ids = Vec::new();
        self.encode_pieces(pieces, &mut ids)?;
        Ok(ids)
    }

    /// The text as input to the pipeline: with merges by scores, `▁` is a space.
    pub(super) fn spaced<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.0.by_score {
            Some(_) => text.replace(SPACE, " ").into(),
            None => Cow::Borrowed(text),
        }
    }

    fn encode_pieces(&self, mut pieces: PreTokenizedString, ids: &mut Vec<u32>) -> Result<()> {
        self.split_and_merge(&mut pieces).map_err(unencodable)?;
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

    pub(super) fn split_and_merge(
        &self,
        pieces: &mut PreTokenizedString,
    ) -> tokenizers::Result<()> {
        if let Some(splitter) = self.0.chain.get_pre_tokenizer() {
            splitter.pre_tokenize(pieces)?;
        }
        pieces.tokenize(|piece| match &self.0.by_score {
            Some(by_score) => by_score.tokenize(self.0.chain.get_model(), piece.get()),
            None => self.merge(piece.get()),
        })
    }

    /// The tokens that the crate's model gives for a piece of text.
    ///
    /// Some of its models would also turn text that merely spells the name of a special token or of
    /// a byte into that token; such a name is split after its first character.
    fn merge(&self, text: &str) -> tokenizers::Result<Vec<Token>> {
        let tokens = self.0.chain.get_model().tokenize(text)?;
        let added = self.0.chain.get_added_vocabulary().get_added_tokens_decoder();
        // A single byte of a character has no text.
        let spelt = |token: &Token| text.get(token.offsets.0..token.offsets.1);
        let cut = |token: &Token| {
            let spelt = spelt(token)?;
            let special = added.get(&token.id).filter(|added| added.special);
            let name = special.is_some_and(|added| added.content == spelt)
                || self.0.decoding.is_byte(spelt) && token.value == spelt;
            let (second, _) = spelt.char_indices().nth(1)?;
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
        let added = self.0.chain.get_added_vocabulary();
        if let Some(token) = added.get_added_tokens_decoder().get(&id) {
            return Some(self.0.decoding.added_bytes(&token.content));
        }
        self.0.chain.get_model().id_to_token(id).map(|token| self.0.decoding.bytes(&token))
    }

    /// The tokens that are cut from a text as a whole, and whether each is special.
    pub(super) fn added_tokens(&self) -> impl Iterator<Item = (String, bool)> {
        let added = self.0.chain.get_added_vocabulary().get_added_tokens_decoder();
        added.values().map(|token| (token.content.clone(), token.special))
    }

    /// The vocabulary's own spelling of a token, such as `Ġworld`.
    pub fn token(&self, id: u32) -> Option<String> {
        self.0.chain.id_to_token(id)
    }

    /// The id of a token in the vocabulary's own spelling.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.0.chain.token_to_id(token)
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

/// The error for a text that the crate cannot encode.
pub(super) fn unencodable(reason: tokenizers::Error) -> Error {
    Error::Input(format!("the tokenizer cannot encode this text: {reason}"))
}
