//! GGUF's metadata: the tokenizer.

use super::file::Gguf;
use crate::checkpoint::fields::Fields;
use crate::checkpoint::special::{ALSO_TEXT, ENDS};
use crate::error::{Error, Result};

/// GGUF's metadata of a byte-level BPE tokenizer (`tokenizer.ggml.model` is `gpt2`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bpe {
    /// `tokenizer.ggml.tokens`: the token of each id, byte-level spelling for normal ones.
    pub tokens: Vec<String>,
    /// `tokenizer.ggml.merges`: pairs joined by a space, best first.
    pub merges: Vec<String>,
    /// `tokenizer.ggml.token_type`, one per token: 1 normal, 3 control, 4 user-defined; others
    /// count as normal. If empty, all are normal. What bears a name that ends a turn is a control
    /// token, whatever the file says.
    pub kinds: Vec<i32>,
    /// `tokenizer.ggml.pre`: the name of the pre-tokenizer. If the file names none, it is the only
    /// one that models of its architecture have; `default`, with a warning, if there are several.
    pub pattern: String,
    /// `tokenizer.ggml.bos_token_id`.
    pub bos: Option<u32>,
    /// `tokenizer.ggml.add_bos_token`; if missing, the pattern decides.
    pub add_bos: Option<bool>,
    /// Which blanks the control and user-defined tokens swallow. No field says so.
    pub swallows: Swallows,
}

/// The blanks around control and user-defined tokens that are part of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Swallows {
    /// None.
    #[default]
    Nothing,
    /// Those before and after, as in Phi-4.
    Both,
    /// Those after the tokens that begin and end a turn, as in Phi-4-mini.
    AfterTurns,
}

/// GGUF's metadata of a SentencePiece tokenizer (`tokenizer.ggml.model` is `llama`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SentencePiece {
    /// `tokenizer.ggml.tokens`: the token of each id, with `▁` for the space.
    pub tokens: Vec<String>,
    /// `tokenizer.ggml.scores`, one per token: the merge with the higher score comes first.
    pub scores: Vec<f32>,
    /// `tokenizer.ggml.token_type`, one per token: 1 normal, 2 unknown, 3 control, 4 user-defined,
    /// 6 byte; others count as normal. If empty, all are normal.
    pub kinds: Vec<i32>,
    /// `tokenizer.ggml.bos_token_id`.
    pub bos: Option<u32>,
    /// `tokenizer.ggml.unknown_token_id`.
    pub unknown: Option<u32>,
    /// `tokenizer.ggml.add_bos_token`; if missing, one is added if the tokenizer has one.
    pub add_bos: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`: whether a space is put before a text.
    pub space_prefix: bool,
    /// Whether control and user-defined tokens, except `<unk>`, `<s>` and `<|endoftext|>`, swallow
    /// the blanks after them. Phi-3's do; no field says so.
    pub rstrip: bool,
}

/// The kinds of tokenizer that a file may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ByteLevel,
    SentencePiece,
}

/// The byte-level tokenizer in the metadata, if there is one.
pub(in crate::checkpoint) fn bpe(gguf: &Gguf) -> Result<Option<Bpe>> {
    let fields = fields(gguf);
    if kind(fields)? != Some(Kind::ByteLevel) {
        return Ok(None);
    }
    let tokens = texts(gguf, "tokens")?;
    let merges = texts(gguf, "merges")?;
    let pattern = pattern(gguf)?.to_owned();
    let swallows = match (architecture(gguf)?, pattern.as_str()) {
        (Some("phi3"), "dbrx") => Swallows::Both,
        (Some("phi3"), "gpt-4o") => Swallows::AfterTurns,
        _ => Swallows::Nothing,
    };
    Ok(Some(Bpe {
        kinds: kinds(gguf, &tokens)?,
        bos: id(fields, "bos_token_id", tokens.len())?,
        add_bos: flag(fields, "add_bos_token")?,
        pattern,
        swallows,
        tokens,
        merges,
    }))
}

/// The SentencePiece tokenizer in the metadata, if there is one.
pub(in crate::checkpoint) fn sentence_piece(gguf: &Gguf) -> Result<Option<SentencePiece>> {
    let fields = fields(gguf);
    if kind(fields)? != Some(Kind::SentencePiece) {
        return Ok(None);
    }
    let tokens = texts(gguf, "tokens")?;
    let scores = gguf.reals("tokenizer.ggml.scores")?;
    let scores = scores.ok_or_else(|| fields.bad("scores", "is missing"))?;
    check_length(fields, "scores", scores.len(), tokens.len())?;
    if let Some(token) = scores.iter().position(|score| score.is_nan()) {
        return Err(fields.bad("scores", format!("holds NaN for token {token}")));
    }
    Ok(Some(SentencePiece {
        kinds: kinds(gguf, &tokens)?,
        bos: id(fields, "bos_token_id", tokens.len())?,
        unknown: id(fields, "unknown_token_id", tokens.len())?,
        add_bos: flag(fields, "add_bos_token")?,
        space_prefix: flag(fields, "add_space_prefix")?.unwrap_or(true),
        rstrip: architecture(gguf)? == Some("phi3"),
        tokens,
        scores,
    }))
}

/// The token that ends a text.
pub(in crate::checkpoint) fn eos(gguf: &Gguf) -> Result<Option<u32>> {
    id(fields(gguf), "eos_token_id", usize::MAX)
}

/// The name of the pre-tokenizer: the file's own, or what others know of its architecture.
fn pattern(gguf: &Gguf) -> Result<&str> {
    if let Some(named) = fields(gguf).text("pre")? {
        return Ok(named);
    }
    Ok(match architecture(gguf)? {
        Some("qwen2" | "qwen3") => "qwen2",
        Some("gpt2") => "gpt-2",
        other => {
            let (path, other) = (gguf.source.path().display(), other.unwrap_or("no architecture"));
            log::warn!(
                "{path}: tokenizer.ggml.pre is missing, and models of {other} split text in \
                 several ways: it is split as GPT-2 does, and the tokens may be wrong"
            );
            "default"
        }
    })
}

fn architecture(gguf: &Gguf) -> Result<Option<&str>> {
    gguf.fields("general.").text("architecture")
}

fn fields(gguf: &Gguf) -> Fields<'_> {
    gguf.fields("tokenizer.ggml.")
}

fn kind(fields: Fields<'_>) -> Result<Option<Kind>> {
    match fields.text("model")? {
        None => Ok(None),
        Some("gpt2") => Ok(Some(Kind::ByteLevel)),
        Some("llama") => Ok(Some(Kind::SentencePiece)),
        Some(other) => Err(Error::unsupported(
            format!("{}: tokenizer {other}", fields.path.display()),
            "gpt2 (byte-level BPE), llama (SentencePiece by scores)",
        )),
    }
}

fn texts(gguf: &Gguf, name: &str) -> Result<Vec<String>> {
    let found = gguf.texts(&format!("tokenizer.ggml.{name}"))?;
    found.ok_or_else(|| fields(gguf).bad(name, "is missing"))
}

/// The type of a token with a meaning other than text.
const CONTROL: i32 = 3;

/// The type of each token; if the file has none, all are normal, which is 1. A token with a name that
/// ends a turn is a control token even if the file says otherwise, as in llama.cpp: as text it would
/// be drawn and shown for ever, and whoever types it would end a turn.
fn kinds(gguf: &Gguf, tokens: &[String]) -> Result<Vec<i32>> {
    let fields = fields(gguf);
    let mut kinds = match gguf.numbers("tokenizer.ggml.token_type")? {
        None => vec![1; tokens.len()],
        Some(kinds) => {
            check_length(fields, "token_type", kinds.len(), tokens.len())?;
            let narrow =
                |kind| i32::try_from(kind).map_err(|_| fields.bad("token_type", "is out of range"));
            kinds.into_iter().map(narrow).collect::<Result<_>>()?
        }
    };
    let mut changed = Vec::new();
    for (token, kind) in tokens.iter().zip(&mut kinds) {
        if *kind != CONTROL && token != ALSO_TEXT && ENDS.contains(&token.as_str()) {
            changed.push(token.as_str());
            *kind = CONTROL;
        }
    }
    if !changed.is_empty() {
        log::warn!(
            "{}: tokenizer.ggml.token_type has {} as text, but tokens of that name end a turn: taken \
             as control tokens",
            gguf.source.path().display(),
            changed.join(", ")
        );
    }
    Ok(kinds)
}

fn check_length(fields: Fields<'_>, name: &str, found: usize, tokens: usize) -> Result<()> {
    if found == tokens {
        return Ok(());
    }
    Err(fields.bad(name, format!("has {found} entries for {tokens} tokens")))
}

/// The id of a token; `None` if it is outside the vocabulary.
fn id(fields: Fields<'_>, name: &str, tokens: usize) -> Result<Option<u32>> {
    Ok(fields.ids(name, tokens)?.and_then(|ids| ids.first().copied()))
}

/// The file's flag, if it has one.
fn flag(fields: Fields<'_>, name: &str) -> Result<Option<bool>> {
    fields.get(name).map(|_| fields.flag(name, false)).transpose()
}
