//! SentencePiece's byte-pair encoding, as GGUF files describe it: scores instead of merges.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::path::Path;

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::{Prepend, Replace, Sequence};
use tokenizers::{Model, Token};

use super::Tokenizer;
use super::bpe::{CONTROL, Entry, USER_DEFINED, add_tokens, ids, opening};
use super::decode::Decoding;
use crate::error::{Error, Result};

/// GGUF's metadata of a SentencePiece tokenizer (`tokenizer.ggml.model` is `llama`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SentencePiece {
    /// `tokenizer.ggml.tokens`: the token of each id, with `▁` for the space.
    pub tokens: Vec<String>,
    /// `tokenizer.ggml.scores`, one a token: of two joins the one of higher score comes first.
    pub scores: Vec<f32>,
    /// `tokenizer.ggml.token_type`, one a token: 1 normal, 2 unknown, 3 control, 4 user-defined,
    /// 6 byte; others count as normal. May be empty: then all are normal.
    pub kinds: Vec<i32>,
    /// `tokenizer.ggml.bos_token_id`.
    pub bos: Option<u32>,
    /// `tokenizer.ggml.unknown_token_id`.
    pub unknown: Option<u32>,
    /// `tokenizer.ggml.add_bos_token`; without, these tokenizers add one if they have one.
    pub add_bos: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`: whether a text begins with a space that is not its own.
    pub space_prefix: bool,
}

/// GGUF's numbers for the token of what no other can spell, and for the tokens of single bytes.
const UNKNOWN: i32 = 2;
const BYTE: i32 = 6;

/// The sign for a space.
pub(super) const SPACE: &str = "▁";

/// Byte-pair encoding by scores.
///
/// Of all adjacent pairs that join to a token, the one of the highest score is joined first, of
/// equal ones the leftmost, until none is left; it begins with single characters. A character
/// without a token falls back to its bytes. (A list of merges cannot say this quite: it ranks two
/// ways to make one token, where the score ranks them equal and the place decides.)
#[derive(Debug)]
pub(super) struct ByScore {
    /// The score of each id; `None` for tokens that text never becomes.
    scores: Vec<Option<f32>>,
    unknown: Option<u32>,
}

/// A stretch of the text between two others; empty once it has been joined to its left neighbour.
#[derive(Clone, Copy, Debug)]
struct Symbol {
    start: usize,
    end: usize,
    left: Option<usize>,
    right: Option<usize>,
}

/// Two neighbours that could become a token.
#[derive(Clone, Copy, Debug)]
struct Join {
    score: f32,
    left: usize,
    right: usize,
    /// Where the two end, which tells whether one has grown since.
    end: usize,
}

impl Tokenizer {
    /// The SentencePiece tokenizer that a GGUF file describes.
    ///
    /// Control tokens become special ones, user-defined tokens are recognised in any text. A `▁` is
    /// a space, in tokens and in texts. Where texts begin with a space of the tokenizer's own, so does
    /// each stretch after a recognised token.
    /// Fails with [`Error::File`], naming `path_for_errors`, where the lists contradict each other.
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

impl ByScore {
    /// The tokens of a text whose spaces are signs already; `vocab` knows the ids.
    pub(super) fn tokenize(
        &self,
        vocab: &impl Model,
        text: &str,
    ) -> tokenizers::Result<Vec<Token>> {
        let symbols = self.join(vocab, text);
        let mut tokens: Vec<Token> = Vec::with_capacity(symbols.len());
        for symbol in symbols.iter().filter(|symbol| symbol.start < symbol.end) {
            let offsets = (symbol.start, symbol.end);
            let spelt = &text[symbol.start..symbol.end];
            let push = |id| Token::new(id, String::new(), offsets);
            if let Some((id, _)) = self.find(vocab, spelt) {
                tokens.push(push(id));
                continue;
            }
            let bytes = spelt.bytes().map(|byte| vocab.token_to_id(&format!("<0x{byte:02X}>")));
            if let Some(bytes) = bytes.collect::<Option<Vec<u32>>>() {
                tokens.extend(bytes.into_iter().map(push));
                continue;
            }
            let unknown = self.unknown.ok_or_else(|| {
                format!("the vocabulary has no token for {spelt:?}, and none for the unknown")
            })?;
            // A run of unknown characters is one token.
            match tokens.last_mut().filter(|last| last.id == unknown) {
                Some(last) => last.offsets.1 = symbol.end,
                None => tokens.push(push(unknown)),
            }
        }
        Ok(tokens)
    }

    /// A token that text may become, with its score.
    fn find(&self, vocab: &impl Model, spelt: &str) -> Option<(u32, f32)> {
        let id = vocab.token_to_id(spelt)?;
        let score = self.scores.get(id as usize).copied().flatten()?;
        Some((id, score))
    }

    fn join(&self, vocab: &impl Model, text: &str) -> Vec<Symbol> {
        let mut symbols: Vec<Symbol> = text
            .char_indices()
            .enumerate()
            .map(|(at, (start, char))| Symbol {
                start,
                end: start + char.len_utf8(),
                left: at.checked_sub(1),
                right: Some(at + 1),
            })
            .collect();
        if let Some(last) = symbols.last_mut() {
            last.right = None;
        }
        let candidate = |symbols: &[Symbol], left: Option<usize>, right: Option<usize>| {
            let (left, right) = (left?, right?);
            let end = symbols[right].end;
            let (_, score) = self.find(vocab, &text[symbols[left].start..end])?;
            Some(Join { score, left, right, end })
        };
        let mut queue: BinaryHeap<Join> = (1..symbols.len())
            .filter_map(|right| candidate(&symbols, Some(right - 1), Some(right)))
            .collect();
        while let Some(Join { left, right, end, .. }) = queue.pop() {
            // Either side may have been joined to another meanwhile.
            let current = symbols[left].start < symbols[left].end
                && symbols[left].right == Some(right)
                && symbols[right].end == end;
            if !current {
                continue;
            }
            let after = symbols[right].right;
            symbols[left].end = end;
            symbols[left].right = after;
            symbols[right].start = end;
            if let Some(after) = after {
                symbols[after].left = Some(left);
            }
            queue.extend(candidate(&symbols, symbols[left].left, Some(left)));
            queue.extend(candidate(&symbols, Some(left), after));
        }
        symbols
    }
}

impl Ord for Join {
    /// The best join is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |join: &Self| (Reverse(join.left), Reverse(join.end));
        self.score.total_cmp(&other.score).then_with(|| key(self).cmp(&key(other)))
    }
}

impl PartialOrd for Join {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Join {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Join {}
