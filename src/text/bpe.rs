//! Byte-level BPE from its parts: GPT-2's two files and GGUF metadata both end here.

use std::collections::HashMap;
use std::path::Path;

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior};

use super::Tokenizer;
use super::decode::Decoding;
use crate::error::{Error, Result};

/// GGUF's metadata of a byte-level BPE tokenizer (`tokenizer.ggml.model` is `gpt2`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bpe {
    /// `tokenizer.ggml.tokens`: the token of each id, byte-level spelling for normal ones.
    pub tokens: Vec<String>,
    /// `tokenizer.ggml.merges`: pairs joined by a space, best first.
    pub merges: Vec<String>,
    /// `tokenizer.ggml.token_type`, one a token: 1 normal, 3 control, 4 user-defined; others
    /// count as normal. May be empty: then all are normal.
    pub kinds: Vec<i32>,
    /// `tokenizer.ggml.pre`: the name of the pre-tokeniser; `default` where the file names none.
    pub pattern: String,
    /// `tokenizer.ggml.bos_token_id`.
    pub bos: Option<u32>,
    /// `tokenizer.ggml.add_bos_token`; false where the file does not say.
    pub add_bos: bool,
}

/// GGUF's number for tokens with a meaning beyond text, such as the end of a text.
const CONTROL: i32 = 3;
/// GGUF's number for tokens cut out of the text before anything else.
const USER_DEFINED: i32 = 4;

/// A token cut out of the text as a whole.
pub(super) struct Entry<'a> {
    text: &'a str,
    special: bool,
}

impl<'a> Entry<'a> {
    pub(super) fn special(text: &'a str) -> Self {
        Self { text, special: true }
    }
}

/// How a text falls apart before the merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// GPT-2's: words and numbers take the space before them.
    Gpt2,
    /// GPT-2's, after each digit has been set apart.
    Smollm,
    /// Llama 3's: numbers in threes, contractions in any case.
    Llama3,
    /// Qwen 2's: as Llama 3's with single digits, over composed characters (NFC).
    Qwen2,
}

/// The names that GGUF files give the patterns.
const NAMES: [(&str, Pattern); 7] = [
    ("gpt-2", Pattern::Gpt2),
    ("default", Pattern::Gpt2),
    ("smollm", Pattern::Smollm),
    ("llama-bpe", Pattern::Llama3),
    ("llama3", Pattern::Llama3),
    ("llama-v3", Pattern::Llama3),
    ("qwen2", Pattern::Qwen2),
];

impl Pattern {
    fn named(path: &Path, name: &str) -> Result<Self> {
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, pattern)| *pattern).ok_or_else(|| {
            let names: Vec<_> = NAMES.iter().map(|(known, _)| *known).collect();
            Error::unsupported(
                format!("{}: pre-tokenizer {name:?}", path.display()),
                names.join(", "),
            )
        })
    }

    /// The regular expression of a pattern that is not built on GPT-2's, which the crate has.
    fn expression(self) -> Option<String> {
        let digits = match self {
            Self::Gpt2 | Self::Smollm => return None,
            Self::Llama3 => r"\p{N}{1,3}",
            Self::Qwen2 => r"\p{N}",
        };
        Some(
            [
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
                r"[^\r\n\p{L}\p{N}]?\p{L}+",
                digits,
                r" ?[^\s\p{L}\p{N}]+[\r\n]*",
                r"\s*[\r\n]+",
                r"\s+(?!\S)",
                r"\s+",
            ]
            .join("|"),
        )
    }

    fn pre_tokenizer(self) -> tokenizers::Result<PreTokenizerWrapper> {
        let gpt2 = ByteLevel::new(false, false, true);
        let Some(expression) = self.expression() else {
            return Ok(match self {
                Self::Smollm => Sequence::new(vec![Digits::new(true).into(), gpt2.into()]).into(),
                _ => gpt2.into(),
            });
        };
        let pattern = SplitPattern::Regex(expression);
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)?;
        Ok(Sequence::new(vec![split.into(), gpt2.use_regex(false).into()]).into())
    }

    /// Whether a piece that is a token as a whole skips the merges; Llama 3 has such tokens that
    /// no merge reaches.
    fn ignores_merges(self) -> bool {
        self == Self::Llama3
    }

    fn normalizer(self) -> Option<NormalizerWrapper> {
        (self == Self::Qwen2).then(|| NFC.into())
    }
}

impl Tokenizer {
    /// The tokenizer that a GGUF file describes.
    ///
    /// Control tokens become special ones, user-defined tokens are recognised in any text.
    /// Fails with [`Error::File`] where the lists contradict each other and with
    /// [`Error::Unsupported`] on an unknown pre-tokenizer; both name `path_for_errors`.
    pub fn from_bpe(path_for_errors: &Path, bpe: Bpe) -> Result<Self> {
        let path = path_for_errors;
        let pattern = Pattern::named(path, &bpe.pattern)?;
        if !bpe.kinds.is_empty() && bpe.kinds.len() != bpe.tokens.len() {
            let (tokens, kinds) = (bpe.tokens.len(), bpe.kinds.len());
            return Err(Error::file(path, format!("{tokens} tokens but {kinds} token types")));
        }
        let opening = opening(path, &bpe)?;
        let ids = ids(path, &bpe.tokens)?;
        let merges =
            bpe.merges.iter().enumerate().map(|(rank, merge)| (format!("merge {rank}"), &**merge));
        let merges = read_merges(path, merges, &ids)?;
        let added: Vec<_> = bpe
            .tokens
            .iter()
            .zip(&bpe.kinds)
            .filter(|(_, kind)| matches!(**kind, CONTROL | USER_DEFINED))
            .map(|(text, kind)| Entry { text, special: *kind == CONTROL })
            .collect();
        let chain = chain(path, ids, merges, &added, pattern)?;
        Ok(Self::new(chain, Decoding::Bytes, opening, bpe.tokens.len()))
    }
}

/// The tokens before a text: one, or none.
fn opening(path: &Path, bpe: &Bpe) -> Result<Vec<u32>> {
    if !bpe.add_bos {
        return Ok(Vec::new());
    }
    let bos = bpe.bos.ok_or_else(|| {
        Error::file(path, "asks for a beginning-of-text token but does not name one")
    })?;
    if bos as usize >= bpe.tokens.len() {
        let size = bpe.tokens.len();
        return Err(Error::file(path, format!("beginning-of-text token {bos} of {size} tokens")));
    }
    Ok(vec![bos])
}

/// Token to id. Empty tokens are padding that no text reaches; any other has one id only.
fn ids(path: &Path, tokens: &[String]) -> Result<HashMap<String, u32>> {
    let mut ids = HashMap::with_capacity(tokens.len());
    for (id, token) in tokens.iter().enumerate().filter(|(_, token)| !token.is_empty()) {
        let id = u32::try_from(id).map_err(|_| Error::file(path, "more than 2^32 tokens"))?;
        if let Some(first) = ids.insert(token.clone(), id) {
            return Err(Error::file(path, format!("tokens {first} and {id} are both {token:?}")));
        }
    }
    Ok(ids)
}

/// Splits merges at their space and holds each against the vocabulary, so that an error can say
/// where it is; each comes with the name of its place.
pub(super) fn read_merges<'a>(
    path: &Path,
    merges: impl Iterator<Item = (String, &'a str)>,
    ids: &HashMap<String, u32>,
) -> Result<Vec<(String, String)>> {
    merges
        .map(|(place, merge)| {
            let pair = merge.split_once(' ').filter(|(left, right)| {
                !left.is_empty() && !right.is_empty() && !right.contains(' ')
            });
            let Some((left, right)) = pair else {
                return Err(Error::file(path, format!("{place}: {merge:?} is not two tokens")));
            };
            for token in [left, right, &format!("{left}{right}")] {
                if !ids.contains_key(token) {
                    let reason = format!("{place}: {token:?} is not in the vocabulary");
                    return Err(Error::file(path, reason));
                }
            }
            Ok((left.into(), right.into()))
        })
        .collect()
}

/// Assembles the crate's chain; each added token is already in the vocabulary.
pub(super) fn chain(
    path: &Path,
    ids: HashMap<String, u32>,
    merges: Vec<(String, String)>,
    added: &[Entry<'_>],
    pattern: Pattern,
) -> Result<tokenizers::Tokenizer> {
    let fail = |error: tokenizers::Error| Error::file(path, error.to_string());
    let model = BPE::builder()
        .vocab_and_merges(ids.into_iter().collect::<Vocab>(), merges)
        .ignore_merges(pattern.ignores_merges())
        .build()
        .map_err(fail)?;
    let mut chain = tokenizers::Tokenizer::new(model);
    chain.with_pre_tokenizer(Some(pattern.pre_tokenizer().map_err(fail)?));
    chain.with_normalizer(pattern.normalizer());
    // All at once, since the crate rebuilds its search after each call.
    let added: Vec<_> = added
        .iter()
        .map(|entry| AddedToken::from(entry.text, entry.special).normalized(false))
        .collect();
    chain.add_tokens(&added);
    Ok(chain)
}
