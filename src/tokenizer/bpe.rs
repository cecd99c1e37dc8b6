//! Byte-level BPE from its parts: GPT-2's two files and GGUF metadata both use this.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior};

use super::json::kind;
use super::pipeline::Pipeline;
use crate::error::{Error, Result};

/// How a text is split before the merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// GPT-2's: words and numbers include the space before them.
    Gpt2,
    /// GPT-2's, after each digit has been split off.
    Smollm,
    /// Llama 3's: numbers in threes, contractions in any case.
    Llama3,
    /// GPT-4's, which is also Llama 3's, without the additions of Llama 3's tokenizer.
    Gpt4,
    /// Qwen 2's: as Llama 3's with single digits, over composed characters (NFC).
    Qwen2,
    /// GPT-4o's: words begin where capitals follow lower-case letters, and keep their contractions.
    Gpt4o,
    /// Mistral Nemo's: as GPT-4o's with single digits, without contractions.
    Tekken,
}

/// The names that GGUF files give the patterns.
const NAMES: [(&str, Pattern); 27] = [
    ("gpt-2", Pattern::Gpt2),
    ("default", Pattern::Gpt2),
    ("phi-2", Pattern::Gpt2),
    ("mpt", Pattern::Gpt2),
    ("olmo", Pattern::Gpt2),
    ("jais", Pattern::Gpt2),
    ("smollm", Pattern::Smollm),
    ("starcoder", Pattern::Smollm),
    ("refact", Pattern::Smollm),
    ("command-r", Pattern::Smollm),
    ("codeshell", Pattern::Smollm),
    ("exaone", Pattern::Smollm),
    ("minerva-7b", Pattern::Smollm),
    ("llama-bpe", Pattern::Llama3),
    ("llama3", Pattern::Llama3),
    ("llama-v3", Pattern::Llama3),
    ("falcon3", Pattern::Llama3),
    ("lfm2", Pattern::Llama3),
    ("pixtral", Pattern::Llama3),
    ("dbrx", Pattern::Gpt4),
    ("smaug-bpe", Pattern::Gpt4),
    ("qwen2", Pattern::Qwen2),
    ("deepseek-r1-qwen", Pattern::Qwen2),
    ("megrez", Pattern::Qwen2),
    ("gpt-4o", Pattern::Gpt4o),
    ("llama4", Pattern::Gpt4o),
    ("tekken", Pattern::Tekken),
];

/// English contractions, in any case.
const CONTRACTIONS: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";

impl Pattern {
    pub(super) fn named(path: &Path, name: &str) -> Result<Self> {
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, pattern)| *pattern).ok_or_else(|| {
            let names: Vec<_> = NAMES.iter().map(|(known, _)| *known).collect();
            Error::unsupported(
                format!("{}: pre-tokenizer {name:?}", path.display()),
                names.join(", "),
            )
        })
    }

    /// The regular expression of a pattern, unless it is built on GPT-2's, which the crate has.
    fn expression(self) -> Option<String> {
        let digits = match self {
            Self::Gpt2 | Self::Smollm => return None,
            Self::Llama3 | Self::Gpt4 | Self::Gpt4o => r"\p{N}{1,3}",
            Self::Qwen2 | Self::Tekken => r"\p{N}",
        };
        // A word is letters after at most one other character; a mark belongs to the letter before
        // it.
        let start = r"[^\r\n\p{L}\p{N}]?";
        let (capital, small) = (r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]");
        let cased = |end: &str| {
            [format!("{start}{capital}*{small}+{end}"), format!("{start}{capital}+{small}*{end}")]
        };
        let (words, lines) = match self {
            Self::Gpt4o => (cased(&format!("{CONTRACTIONS}?")), r"[\r\n/]*"),
            Self::Tekken => (cased(""), r"[\r\n/]*"),
            _ => ([CONTRACTIONS.to_owned(), format!(r"{start}\p{{L}}+")], r"[\r\n]*"),
        };
        let signs = format!(r" ?[^\s\p{{L}}\p{{N}}]+{lines}");
        let [first, second] = words;
        Some([&first, &second, digits, &signs, r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"].join("|"))
    }

    /// Whether a tokenizer.json's normalizer and pre-tokenizer split texts by this pattern.
    pub(super) fn is(self, [normalizer, pre_tokenizer]: &[Value; 2]) -> bool {
        let composes = matches!(self, Self::Qwen2);
        if composes != (kind(normalizer) == "NFC") || !composes && !normalizer.is_null() {
            return false;
        }
        let steps = match kind(pre_tokenizer) {
            "Sequence" => pre_tokenizer["pretokenizers"].as_array().map_or(&[][..], Vec::as_slice),
            _ => std::slice::from_ref(pre_tokenizer),
        };
        let bytes = |step: &Value, expression: bool| {
            kind(step) == "ByteLevel" && step["use_regex"].as_bool().unwrap_or(true) == expression
        };
        match (self.expression(), steps) {
            (None, [one]) if self == Self::Gpt2 => bytes(one, true),
            (None, [digits, then]) if self == Self::Smollm => {
                kind(digits) == "Digits" && digits["individual_digits"] == true && bytes(then, true)
            }
            (Some(expression), [split, then]) => {
                let isolates = split["behavior"] == "Isolated" && split["invert"] == false;
                split["pattern"]["Regex"] == *expression && isolates && bytes(then, false)
            }
            _ => false,
        }
    }

    /// The steps that split a text; with `prefix_space`, one that begins without a space gets one.
    fn pre_tokenizer(self, prefix_space: bool) -> tokenizers::Result<PreTokenizerWrapper> {
        let gpt2 = ByteLevel::new(prefix_space, false, true);
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

    /// Whether a piece that is itself a token skips the merges: these tokenizers were not trained
    /// by merging, and have tokens that no merge reaches. They also begin every text with a special
    /// token, which older files do not say.
    pub(super) fn is_made_of_ranks(self) -> bool {
        matches!(self, Self::Llama3 | Self::Tekken)
    }

    fn normalizer(self) -> Option<NormalizerWrapper> {
        (self == Self::Qwen2).then(|| NFC.into())
    }
}

/// The tokens before a text: one or none.
pub(super) fn opening(
    path: &Path,
    bos: Option<u32>,
    add_bos: bool,
    size: usize,
) -> Result<Vec<u32>> {
    if !add_bos {
        return Ok(Vec::new());
    }
    let bos = bos.ok_or_else(|| {
        Error::file(path, "asks for a beginning-of-text token but does not name one")
    })?;
    if bos as usize >= size {
        return Err(Error::file(path, format!("beginning-of-text token {bos} of {size} tokens")));
    }
    Ok(vec![bos])
}

/// Token to id. Empty tokens are padding that no text reaches; any other token has a single id.
pub(super) fn ids(path: &Path, tokens: &[String]) -> Result<HashMap<String, u32>> {
    let mut ids = HashMap::with_capacity(tokens.len());
    for (id, token) in tokens.iter().enumerate().filter(|(_, token)| !token.is_empty()) {
        let id = u32::try_from(id).map_err(|_| Error::file(path, "more than 2^32 tokens"))?;
        if let Some(first) = ids.insert(token.clone(), id) {
            return Err(Error::file(path, format!("tokens {first} and {id} are both {token:?}")));
        }
    }
    Ok(ids)
}

/// Splits merges at their space and checks each against the vocabulary, so that an error can say
/// where it is; each merge comes with the name of its place.
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

/// Builds the pipeline; each added token is already in the vocabulary, and `prefix_space` asks for
/// a space before a text that has none.
pub(super) fn chain(
    path: &Path,
    ids: HashMap<String, u32>,
    merges: Vec<(String, String)>,
    added: &[AddedToken],
    pattern: Pattern,
    prefix_space: bool,
) -> Result<Pipeline> {
    let fail = |error: tokenizers::Error| Error::file(path, error.to_string());
    let model = BPE::builder()
        .vocab_and_merges(ids.into_iter().collect::<Vocab>(), merges)
        .ignore_merges(pattern.is_made_of_ranks())
        .build()
        .map_err(fail)?;
    let splitter = pattern.pre_tokenizer(prefix_space).map_err(fail)?;
    Pipeline::new(path, model, pattern.normalizer(), Some(splitter), added)
}

/// A token of the vocabulary that is cut from the text as a whole.
pub(super) fn whole(text: &str, special: bool) -> AddedToken {
    AddedToken::from(text, special).normalized(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pattern knows itself in a tokenizer.json, and no other.
    #[test]
    fn a_pattern_is_known_by_its_steps() {
        let all = [
            Pattern::Gpt2,
            Pattern::Smollm,
            Pattern::Llama3,
            Pattern::Qwen2,
            Pattern::Gpt4o,
            Pattern::Tekken,
        ];
        for (one, pattern) in all.into_iter().enumerate() {
            let normalizer = serde_json::to_value(pattern.normalizer()).unwrap();
            let splitter = serde_json::to_value(pattern.pre_tokenizer(false).unwrap()).unwrap();
            let steps = [normalizer, splitter];
            for (other, known) in all.into_iter().enumerate() {
                assert_eq!(known.is(&steps), one == other, "{known:?} of {pattern:?}");
            }
            let lowered = [serde_json::json!({"type": "Lowercase"}), steps[1].clone()];
            assert!(!pattern.is(&lowered) && !pattern.is(&[Value::Null, Value::Null]));
        }
    }
}
