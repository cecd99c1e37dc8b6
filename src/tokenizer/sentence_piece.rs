//! SentencePiece's tokenizers, from what a file says of them.

use std::path::Path;

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::{Prepend, Replace, Sequence};
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};

use super::bpe::{ids, whole};
use super::by_score::ByScore;
use super::decode::{Decoding, SPACE};
use super::pipeline::Pipeline;
use crate::checkpoint::SentencePiece;
use crate::error::{Error, Result};

/// The type of the unknown token.
const UNKNOWN: i32 = 2;
/// The type of tokens with a meaning other than text, such as the end of a text.
pub(super) const CONTROL: i32 = 3;
/// The type of tokens that are cut from the text before anything else.
pub(super) const USER_DEFINED: i32 = 4;
/// The type of tokens for single bytes.
const BYTE: i32 = 6;

/// The added tokens of Phi-3 that do not swallow the blanks after them.
const KEEP_BLANKS: [&str; 3] = ["<unk>", "<s>", "<|endoftext|>"];

/// Where a space is put before a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blanks {
    /// Nowhere.
    None,
    /// At the start of the text and after each added token, as SentencePiece does.
    Each,
    /// Where there is none yet, as `transformers` does it for Llama.
    Missing(PrependScheme),
}

/// The parts of a tokenizer.
pub(super) struct Built {
    pub(super) pipeline: Pipeline,
    pub(super) decoding: Decoding,
    pub(super) by_score: ByScore,
}

/// Builds a tokenizer; `blanks` stands for what the description says of spaces.
///
/// # Errors
/// [`Error::File`] if the lists contradict each other.
pub(super) fn build(path: &Path, pieces: SentencePiece, blanks: Blanks) -> Result<Built> {
    let fail = |error: tokenizers::Error| Error::file(path, error.to_string());
    let SentencePiece { mut tokens, scores, mut kinds, unknown, rstrip, .. } = pieces;
    let size = tokens.len();
    if kinds.is_empty() {
        kinds = vec![1; size];
    }
    for (what, found) in [("scores", scores.len()), ("token types", kinds.len())] {
        if found != size {
            return Err(Error::file(path, format!("{size} tokens but {found} {what}")));
        }
    }
    let is_whole = |kind: i32| matches!(kind, UNKNOWN | CONTROL | USER_DEFINED);
    for (token, _) in tokens.iter_mut().zip(&kinds).filter(|(_, kind)| is_whole(**kind)) {
        *token = token.replace(SPACE, " ");
    }
    let first = kinds.iter().position(|kind| *kind == UNKNOWN);
    let unknown = unknown.or_else(|| u32::try_from(first?).ok());
    let reached = |kind: &i32| !is_whole(*kind) && *kind != BYTE;
    let scores = scores.into_iter().zip(&kinds);
    let scores = scores.map(|(score, kind)| reached(kind).then_some(score)).collect();

    let vocab: Vocab = ids(path, &tokens)?.into_iter().collect();
    let model = BPE::builder().vocab_and_merges(vocab, Vec::new()).build().map_err(fail)?;
    let replace = || Replace::new(" ", SPACE).map_err(fail);
    let (normalizer, splitter) = match blanks {
        Blanks::None => (Some(replace()?.into()), None),
        Blanks::Each => {
            let prepend = Prepend::new(SPACE.to_owned());
            (Some(Sequence::new(vec![prepend.into(), replace()?.into()]).into()), None)
        }
        Blanks::Missing(scheme) => (None, Some(Metaspace::new('▁', scheme, false).into())),
    };
    let added = tokens.iter().zip(&kinds).filter(|(_, kind)| is_whole(**kind));
    let added: Vec<_> = added
        .map(|(text, kind)| {
            let swallows = rstrip && !KEEP_BLANKS.contains(&text.as_str());
            whole(text, *kind != USER_DEFINED).rstrip(swallows)
        })
        .collect();
    let pipeline = Pipeline::new(path, model, normalizer, splitter, &added)?;
    let decoding = Decoding::sentence_piece(blanks != Blanks::None);
    Ok(Built { pipeline, decoding, by_score: ByScore { scores, unknown } })
}
