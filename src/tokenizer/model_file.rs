//! SentencePiece's own file, `tokenizer.model`: a message of Protocol Buffers.

use std::path::Path;

use crate::checkpoint::SentencePiece;
use crate::error::{Error, Result};

/// A field of a message.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Real(f32),
    Other,
}

/// The kind of model that merges pairs by their scores.
const BPE: u64 = 2;

/// Reads the vocabulary and the settings of a file.
///
/// # Errors
/// [`Error::File`] if it is damaged, [`Error::Unsupported`] for a model that is not byte-pair encoding
/// or that maps characters.
pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<SentencePiece> {
    let damaged = || Error::file(path, "is not a SentencePiece model");
    let mut pieces = SentencePiece { space_prefix: true, ..SentencePiece::default() };
    // The default of the format.
    let mut kind = 1;
    let (mut map, mut squeezes) = (false, true);
    let mut bos = 1_u64;
    for field in Message(bytes) {
        match field.ok_or_else(damaged)? {
            (1, Field::Bytes(piece)) => {
                let (mut token, mut score, mut sort) = (String::new(), 0.0, 1);
                for field in Message(piece) {
                    match field.ok_or_else(damaged)? {
                        (1, Field::Bytes(text)) => {
                            token = String::from_utf8(text.to_vec()).map_err(|_| damaged())?;
                        }
                        (2, Field::Real(value)) => score = value,
                        (3, Field::Number(value)) => {
                            sort = i32::try_from(value).map_err(|_| damaged())?;
                        }
                        _ => {}
                    }
                }
                pieces.tokens.push(token);
                pieces.scores.push(score);
                pieces.kinds.push(sort);
            }
            (2, Field::Bytes(trainer)) => {
                for field in Message(trainer) {
                    match field.ok_or_else(damaged)? {
                        (3, Field::Number(value)) => kind = value,
                        (40, Field::Number(value)) => pieces.unknown = u32::try_from(value).ok(),
                        (41, Field::Number(value)) => bos = value,
                        _ => {}
                    }
                }
            }
            (3, Field::Bytes(normalizer)) => {
                for field in Message(normalizer) {
                    match field.ok_or_else(damaged)? {
                        (2, Field::Bytes(compiled)) => map = !compiled.is_empty(),
                        (3, Field::Number(value)) => pieces.space_prefix = value != 0,
                        (4, Field::Number(value)) => squeezes = value != 0,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    if pieces.tokens.is_empty() {
        return Err(damaged());
    }
    let what = match (kind, map, squeezes) {
        (BPE, false, false) => {
            pieces.bos = u32::try_from(bos).ok().filter(|id| (*id as usize) < pieces.tokens.len());
            return Ok(pieces);
        }
        (BPE, true, _) => "a SentencePiece model that maps characters",
        (BPE, ..) => "a SentencePiece model that removes blanks",
        _ => "a SentencePiece model that is not byte-pair encoding",
    };
    Err(Error::unsupported(
        format!("{}: {what}", path.display()),
        "SentencePiece's byte-pair encoding as Llama has it, or tokenizer.json",
    ))
}

/// The fields of a message, each with its number; `None` where it is damaged.
struct Message<'a>(&'a [u8]);

impl<'a> Message<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<(u64, Field<'a>)> {
        let tag = self.number()?;
        let field = match tag & 7 {
            0 => Field::Number(self.number()?),
            1 => self.take(8).map(|_| Field::Other)?,
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                Field::Bytes(self.take(length)?)
            }
            5 => Field::Real(f32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            _ => return None,
        };
        Some((tag >> 3, field))
    }
}

impl<'a> Iterator for Message<'a> {
    type Item = Option<(u64, Field<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}
