//! From tokens back to text, whole or one token at a time.

use std::path::Path;

use serde_json::Value;

use super::growth::{STEPS, TIMES};
use super::json::kind;
use crate::error::{Error, Result};

/// SentencePiece's character for a space.
pub(super) const SPACE: &str = "▁";

/// How a vocabulary spells bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decoding {
    /// Byte-level: each character is one byte.
    Bytes,
    /// Whole words, joined by spaces.
    Words,
    /// As SentencePiece: text with `▁` for the space.
    Pieces(Pieces),
}

/// The steps of a SentencePiece-style decoder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pieces {
    /// Strings and their replacements, in order.
    replace: Vec<(String, String)>,
    /// Whether `<0xNN>` is that byte.
    byte_fallback: bool,
    /// How many leading spaces of the whole text are removed.
    strip: usize,
}

const SUPPORTED: &str = "ByteLevel, Metaspace, Replace, ByteFallback, Fuse, Strip of leading \
                         spaces, a Sequence of these, or none";

impl Decoding {
    /// Reads the decoder of a tokenizer.json.
    ///
    /// Without a decoder, words are joined by spaces, as in the crate, unless the pre-tokenizer is
    /// byte-level: then the vocabulary spells bytes, even if no decoder says so.
    pub(super) fn read(path: &Path, decoder: &Value, pre_tokenizer: &Value) -> Result<Self> {
        if decoder.is_null() {
            return Ok(if is_byte_level(pre_tokenizer) { Self::Bytes } else { Self::Words });
        }
        let steps = match decoder["decoders"].as_array() {
            Some(steps) if kind(decoder) == "Sequence" => steps.as_slice(),
            _ => std::slice::from_ref(decoder),
        };
        if steps.iter().any(|step| kind(step) == "ByteLevel") {
            return Ok(Self::Bytes);
        }
        let mut pieces = Pieces::default();
        let mut times = 1;
        for step in steps {
            times = bounded(path, step, times, steps.len())?;
            pieces.add(step).ok_or_else(|| {
                let what = format!("{}: decoder {:?}", path.display(), kind(step));
                Error::unsupported(what, SUPPORTED)
            })?;
        }
        Ok(Self::Pieces(pieces))
    }

    /// The decoder of a GGUF file's SentencePiece tokenizer.
    pub(super) fn sentence_piece(space_prefix: bool) -> Self {
        Self::Pieces(Pieces {
            replace: vec![(SPACE.to_owned(), " ".to_owned())],
            byte_fallback: true,
            strip: usize::from(space_prefix),
        })
    }

    /// The bytes of a token of the model's own vocabulary.
    pub(super) fn bytes(&self, token: &str) -> Vec<u8> {
        match self {
            // A token with a character outside the table is literal text.
            Self::Bytes => token.chars().map(byte).collect::<Option<_>>(),
            Self::Words => None,
            Self::Pieces(pieces) => Some(pieces.bytes(token)),
        }
        .unwrap_or_else(|| token.into())
    }

    /// Whether a token of this spelling is a single byte rather than text.
    pub(super) fn is_byte(&self, token: &str) -> bool {
        matches!(self, Self::Pieces(pieces) if pieces.byte(token).is_some())
    }

    /// The bytes of an added token, which a byte-level vocabulary spells as plain text.
    pub(super) fn added_bytes(&self, token: &str) -> Vec<u8> {
        match self {
            Self::Bytes | Self::Words => token.into(),
            Self::Pieces(pieces) => pieces.bytes(token),
        }
    }
}

impl Pieces {
    /// Adds one step of a decoder; `None` if its kind is unknown.
    fn add(&mut self, step: &Value) -> Option<()> {
        match kind(step) {
            "Replace" => {
                let from = step["pattern"]["String"].as_str()?;
                self.replace.push((from.into(), step["content"].as_str()?.into()));
            }
            "Metaspace" => {
                self.replace.push((step["replacement"].as_str()?.into(), " ".into()));
                let prepends = match step["prepend_scheme"].as_str() {
                    Some(scheme) => scheme != "never",
                    None => step["add_prefix_space"].as_bool().unwrap_or(true),
                };
                self.strip = self.strip.checked_add(usize::from(prepends))?;
            }
            "ByteFallback" => self.byte_fallback = true,
            "Strip" if step["content"] == " " && step["stop"] == 0 => {
                self.strip = self.strip.checked_add(step["start"].as_u64()?.try_into().ok()?)?;
            }
            "Fuse" => {}
            _ => return None,
        }
        Some(())
    }

    /// The byte that `<0xNN>` spells, if it is one.
    fn byte(&self, token: &str) -> Option<u8> {
        let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
        let plain = self.byte_fallback && digits.len() == 2;
        u8::from_str_radix(digits, 16).ok().filter(|_| plain)
    }

    fn bytes(&self, token: &str) -> Vec<u8> {
        if let Some(byte) = self.byte(token) {
            return vec![byte];
        }
        self.replace
            .iter()
            .fold(token.to_owned(), |text, (from, to)| text.replace(from, to))
            .into_bytes()
    }
}

/// How many times its length a token may have after a step, if it had `times` before.
///
/// # Errors
/// [`Error::File`] if that is more than any tokenizer needs, naming the step.
fn bounded(path: &Path, step: &Value, times: usize, steps: usize) -> Result<usize> {
    let fail = |reason: String| Err(Error::file(path, format!("decoder {}: {reason}", kind(step))));
    if steps > STEPS {
        return fail(format!("one of {steps} steps; the most is {STEPS}"));
    }
    if kind(step) != "Replace" {
        return Ok(times);
    }
    let length = |text: &Value| text.as_str().map_or(0, str::len);
    let (from, to) = (length(&step["pattern"]["String"]), length(&step["content"]));
    if step["pattern"]["String"] == "" {
        return fail("it replaces the empty text".to_owned());
    }
    let times = times.saturating_mul(to.div_ceil(from.max(1)).max(1));
    if times > TIMES {
        return fail(format!("tokens may become {times} times as long; the most is {TIMES}"));
    }
    Ok(times)
}

/// Whether a pre-tokenizer, or one step of it, spells bytes as characters.
fn is_byte_level(pre_tokenizer: &Value) -> bool {
    kind(pre_tokenizer) == "ByteLevel"
        || pre_tokenizer["pretokenizers"].as_array().into_iter().flatten().any(is_byte_level)
}

/// The character of a byte in GPT-2's table, the inverse of [`byte`].
pub(super) fn letter(byte: u8) -> char {
    let code = u32::from(byte);
    let code = match code {
        33..=126 | 161..=172 | 174..=255 => code,
        0..=32 => code + 256,
        127..=160 => code + 289 - 127,
        _ => 323,
    };
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte of a character in GPT-2's table.
///
/// Printable Latin-1 is itself; the other 68 bytes, in order, are U+0100 to U+0143.
fn byte(char: char) -> Option<u8> {
    let code = u32::from(char);
    let byte = match code {
        33..=126 | 161..=172 | 174..=255 => code,
        256..=288 => code - 256,
        289..=322 => code - 289 + 127,
        323 => 173,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

/// Where in a text a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// At its start, where a tokenizer may remove a leading space.
    OfText,
    /// After other tokens.
    Continued,
}

/// Joins the bytes of tokens to a text, and returns each piece as soon as it is certain.
#[derive(Clone, Debug)]
pub(super) struct Joiner {
    /// Bytes of an incomplete character; at most three between calls.
    pending: Vec<u8>,
    /// Leading spaces still to remove.
    strip: usize,
    /// Whether tokens are words with a space between them.
    words: bool,
    /// Whether the next word needs a space before it.
    space: bool,
}

impl Joiner {
    pub(super) fn new(decoding: &Decoding, start: Start) -> Self {
        let strip = match (decoding, start) {
            (Decoding::Pieces(pieces), Start::OfText) => pieces.strip,
            _ => 0,
        };
        let words = *decoding == Decoding::Words;
        Self { pending: Vec::new(), strip, words, space: words && start == Start::Continued }
    }

    /// The text that is certain after the bytes of a token.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        let dropped = bytes.iter().take(self.strip).take_while(|&&byte| byte == b' ').count();
        self.strip = if dropped == bytes.len() { self.strip - dropped } else { 0 };
        if std::mem::replace(&mut self.space, self.words) {
            self.pending.push(b' ');
        }
        self.pending.extend_from_slice(&bytes[dropped..]);
        let held = incomplete(&self.pending);
        let rest = self.pending.split_off(self.pending.len() - held);
        let certain = std::mem::replace(&mut self.pending, rest);
        String::from_utf8_lossy(&certain).into_owned()
    }

    /// The end of the text: U+FFFD if a character is incomplete, otherwise empty.
    pub(super) fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

/// How many bytes at the end are the start of an incomplete character.
fn incomplete(bytes: &[u8]) -> usize {
    // Only the last invalid part can be incomplete, and no character has more than four bytes.
    bytes.utf8_chunks().last().map_or(0, |chunk| {
        let tail = chunk.invalid();
        let open = std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none());
        if open { tail.len() } else { 0 }
    })
}
