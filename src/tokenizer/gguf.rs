//! Tokenizers from GGUF's metadata.

use std::path::Path;

use super::bpe::{Pattern, chain, ids, opening, read_merges, whole};
use super::decode::Decoding;
use super::encoding::Tokenizer;
use super::sentence_piece::{Blanks, Built, CONTROL, USER_DEFINED, build};
use crate::checkpoint::{Bpe, SentencePiece, Swallows};
use crate::error::{Error, Result};

/// The tokens that begin and end Phi-4-mini's turns.
const TURNS: [&str; 4] = ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"];

impl Tokenizer {
    /// The tokenizer that a GGUF file describes.
    ///
    /// Control tokens become special tokens; user-defined tokens are recognized in any text.
    ///
    /// # Errors
    /// [`Error::File`] if the lists contradict each other, and [`Error::Unsupported`] for an
    /// unknown pre-tokenizer; both name `path_for_errors`.
    pub fn from_bpe(path_for_errors: &Path, bpe: Bpe) -> Result<Self> {
        let path = path_for_errors;
        let pattern = Pattern::named(path, &bpe.pattern)?;
        if !bpe.kinds.is_empty() && bpe.kinds.len() != bpe.tokens.len() {
            let (tokens, kinds) = (bpe.tokens.len(), bpe.kinds.len());
            return Err(Error::file(path, format!("{tokens} tokens but {kinds} token types")));
        }
        let add_bos = bpe.add_bos.unwrap_or(bpe.bos.is_some() && pattern.is_made_of_ranks());
        let opening = opening(path, bpe.bos, add_bos, bpe.tokens.len())?;
        let ids = ids(path, &bpe.tokens)?;
        let merges =
            bpe.merges.iter().enumerate().map(|(rank, merge)| (format!("merge {rank}"), &**merge));
        let merges = read_merges(path, merges, &ids)?;
        let added = bpe
            .tokens
            .iter()
            .zip(&bpe.kinds)
            .filter(|(_, kind)| matches!(**kind, CONTROL | USER_DEFINED))
            .map(|(text, kind)| {
                let both = bpe.swallows == Swallows::Both;
                let after = bpe.swallows == Swallows::AfterTurns && TURNS.contains(&text.as_str());
                whole(text, *kind == CONTROL).lstrip(both).rstrip(both || after)
            });
        let pipeline = chain(path, ids, merges, &added.collect::<Vec<_>>(), pattern, false)?;
        Ok(Self::new(pipeline, Decoding::Bytes, opening, bpe.tokens.len(), None))
    }

    /// The SentencePiece tokenizer that a GGUF file describes.
    ///
    /// Control tokens become special tokens; user-defined tokens are recognized in any text. A `▁`
    /// is a space, in tokens and in texts. If the tokenizer puts a space before a text, it does so
    /// after each recognized token too.
    ///
    /// # Errors
    /// [`Error::File`], naming `path_for_errors`, if the lists contradict each other.
    pub fn from_sentence_piece(path_for_errors: &Path, pieces: SentencePiece) -> Result<Self> {
        let path = path_for_errors;
        let size = pieces.tokens.len();
        let add_bos = pieces.add_bos.unwrap_or(pieces.bos.is_some());
        let opening = opening(path, pieces.bos, add_bos, size)?;
        let blanks = if pieces.space_prefix { Blanks::Each } else { Blanks::None };
        let Built { pipeline, decoding, by_score } = build(path, pieces, blanks)?;
        Ok(Self::new(pipeline, decoding, opening, size, Some(by_score)))
    }
}
