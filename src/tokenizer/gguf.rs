//! Tokenizers from GGUF's metadata.

use std::path::Path;

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::{Prepend, Replace, Sequence};

use super::bpe::{Entry, Pattern, add_tokens, chain, ids, opening, read_merges};
use super::by_score::ByScore;
use super::decode::{Decoding, SPACE};
use super::encoding::Tokenizer;
use crate::checkpoint::{Bpe, SentencePiece};
use crate::error::{Error, Result};

/// GGUF's type of the unknown token.
const UNKNOWN: i32 = 2;
/// The type of tokens with a meaning other than text, such as the end of a text.
const CONTROL: i32 = 3;
/// The type of tokens that are cut from the text before anything else.
const USER_DEFINED: i32 = 4;
/// The type of tokens for single bytes.
const BYTE: i32 = 6;

impl Tokenizer {
    /// The tokenizer that a GGUF file describes.
    ///
    /// Control tokens become special tokens; user-defined tokens are recognised in any text.
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
            .map(|(text, kind)| Entry { text, special: *kind == CONTROL });
        let chain = chain(path, ids, merges, added, pattern)?;
        Ok(Self::new(chain, Decoding::Bytes, opening, bpe.tokens.len(), None))
    }

    /// The SentencePiece tokenizer that a GGUF file describes.
    ///
    /// Control tokens become special tokens; user-defined tokens are recognised in any text. A `▁`
    /// is a space, in tokens and in texts. If the tokenizer puts a space before a text, it does so
    /// after each recognised token too.
    ///
    /// # Errors
    /// [`Error::File`], naming `path_for_errors`, if the lists contradict each other.
    pub fn from_sentence_piece(path_for_errors: &Path, pieces: SentencePiece) -> Result<Self> {
        let path = path_for_errors;
        let fail = |error: tokenizers::Error| Error::file(path, error.to_string());
        let SentencePiece { mut tokens, scores, mut kinds, bos, unknown, add_bos, space_prefix } =
            pieces;
        let size = tokens.len();
        if kinds.is_empty() {
            kinds = vec![1; size];
        }
        for (what, found) in [("scores", scores.len()), ("token types", kinds.len())] {
            if found != size {
                return Err(Error::file(path, format!("{size} tokens but {found} {what}")));
            }
        }
        let opening = opening(path, bos, add_bos.unwrap_or(bos.is_some()), size)?;
        let whole = |kind: i32| matches!(kind, UNKNOWN | CONTROL | USER_DEFINED);
        for (token, _) in tokens.iter_mut().zip(&kinds).filter(|(_, kind)| whole(**kind)) {
            *token = token.replace(SPACE, " ");
        }
        let first = kinds.iter().position(|kind| *kind == UNKNOWN);
        let unknown = unknown.or_else(|| u32::try_from(first?).ok());
        let reached = |kind: &i32| !whole(*kind) && *kind != BYTE;
        let scores = scores.into_iter().zip(&kinds);
        let scores = scores.map(|(score, kind)| reached(kind).then_some(score)).collect();

        let vocab: Vocab = ids(path, &tokens)?.into_iter().collect();
        let model = BPE::builder().vocab_and_merges(vocab, Vec::new()).build().map_err(fail)?;
        let mut chain = tokenizers::Tokenizer::new(model);
        let mut steps = Vec::new();
        if space_prefix {
            steps.push(Prepend::new(SPACE.to_owned()).into());
        }
        steps.push(Replace::new(" ", SPACE).map_err(fail)?.into());
        chain.with_normalizer(Some(Sequence::new(steps)));
        let added = tokens.iter().zip(&kinds).filter_map(|(text, kind)| match *kind {
            UNKNOWN | CONTROL => Some(Entry::special(text)),
            USER_DEFINED => Some(Entry::ordinary(text)),
            _ => None,
        });
        add_tokens(&mut chain, added);
        let decoding = Decoding::sentence_piece(space_prefix);
        let by_score = Some(ByScore { scores, unknown });
        Ok(Self::new(chain, decoding, opening, size, by_score))
    }
}
