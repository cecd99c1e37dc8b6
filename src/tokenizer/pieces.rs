//! Large texts, a piece at a time, for training a tokenizer.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::files::{LONGEST_STREAM, endless};

/// The length in bytes at which a piece without a place to cut, such as one long word, is cut
/// anyway.
const MOST_BYTES: usize = 64 << 20;

/// The texts of files in pieces, without special tokens. Pieces end where every pattern cuts:
/// between a character that is not white space and white space. The first error ends the iteration.
pub(super) struct Pieces<'a> {
    files: std::slice::Iter<'a, PathBuf>,
    open: Option<Open<'a>>,
    /// Bytes that were read but not yet returned.
    rest: Vec<u8>,
    /// How many of them were searched for a place to cut, in vain.
    searched: usize,
    /// The offset of `rest` in its file.
    at: u64,
    piece: usize,
    special: &'a [String],
    ready: Vec<String>,
    failure: &'a mut Option<Error>,
    progress: &'a mut dyn FnMut(u64),
    read: u64,
}

/// A file that is being read.
struct Open<'a> {
    file: File,
    path: &'a PathBuf,
    /// How many more bytes are read of it; `None` for a plain file, which ends by itself.
    left: Option<u64>,
}

impl<'a> Open<'a> {
    fn new(path: &'a PathBuf) -> Result<Self> {
        let io = |error| Error::io(path, error);
        let file = File::open(path).map_err(io)?;
        let plain = file.metadata().map_err(io)?.is_file();
        Ok(Self { file, path, left: (!plain).then_some(LONGEST_STREAM) })
    }

    /// Appends about `piece` bytes; gives how many there were.
    fn read(&mut self, piece: usize, to: &mut Vec<u8>) -> Result<usize> {
        let more = (&mut self.file).take(piece as u64).read_to_end(to);
        let more = more.map_err(|error| Error::io(self.path, error))?;
        if let Some(left) = &mut self.left {
            let rest = left.checked_sub(more as u64);
            *left = rest.ok_or_else(|| endless(self.path, LONGEST_STREAM))?;
        }
        Ok(more)
    }
}

impl<'a> Pieces<'a> {
    /// Pieces of about `piece` bytes each; `progress` gets the number of bytes read.
    pub(super) fn new(
        files: &'a [PathBuf],
        piece: usize,
        special: &'a [String],
        failure: &'a mut Option<Error>,
        progress: &'a mut dyn FnMut(u64),
    ) -> Self {
        let (open, rest, ready) = (None, Vec::new(), Vec::new());
        let files = files.iter();
        Self {
            files,
            open,
            rest,
            searched: 0,
            at: 0,
            piece,
            special,
            ready,
            failure,
            progress,
            read: 0,
        }
    }

    /// The next piece of a file, special tokens included; `None` at the end of the last file.
    fn text(&mut self) -> Result<Option<String>> {
        loop {
            let Some(open) = &mut self.open else {
                let Some(path) = self.files.next() else { return Ok(None) };
                (self.open, self.at) = (Some(Open::new(path)?), 0);
                continue;
            };
            let path = open.path;
            let more = open.read(self.piece, &mut self.rest)?;
            self.read += more as u64;
            (self.progress)(self.read);
            // Only among what is new: what does not cut may be long.
            let before = self.searched.saturating_sub(1);
            let found = cut(&self.rest[before..]).map(|end| before + end);
            self.searched = self.rest.len();
            let end = match (more, found) {
                (0, _) => self.rest.len(),
                (_, Some(end)) => end,
                _ if self.rest.len() < MOST_BYTES => continue,
                _ => whole(&self.rest),
            };
            if more == 0 {
                self.open = None;
            }
            let rest = self.rest.split_off(end);
            // The last place was taken.
            self.searched = rest.len();
            let bytes = std::mem::replace(&mut self.rest, rest);
            let at = self.at;
            self.at += end as u64;
            if bytes.is_empty() {
                continue;
            }
            let text = String::from_utf8(bytes).map_err(|error| {
                let place = at + error.utf8_error().valid_up_to() as u64;
                Error::file(path, format!("not UTF-8 at byte {place}"))
            })?;
            return Ok(Some(text));
        }
    }
}

impl Iterator for Pieces<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        while self.ready.is_empty() {
            if self.failure.is_some() {
                return None;
            }
            match self.text() {
                Ok(text) => self.ready = without(text?, self.special),
                Err(error) => *self.failure = Some(error),
            }
        }
        self.ready.pop()
    }
}

/// The last place where every pattern cuts, if there is one after the start.
fn cut(bytes: &[u8]) -> Option<usize> {
    let cuts = |pair: &[u8]| pair[0].is_ascii_graphic() && matches!(pair[1], b' ' | b'\n');
    bytes.windows(2).rposition(cuts).map(|at| at + 1)
}

/// The bytes up to the end of the last complete character.
fn whole(bytes: &[u8]) -> usize {
    let tail = bytes.iter().rev().take(4).position(|byte| byte & 0xc0 != 0x80).unwrap_or(0);
    bytes.len() - 1 - tail
}

/// The texts between special tokens.
pub(super) fn without(text: String, special: &[String]) -> Vec<String> {
    special.iter().fold(vec![text], |texts, name| {
        let parts = texts.iter().flat_map(|text| text.split(name.as_str()));
        parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing but one long word: it is cut, but not within a character.
    #[test]
    fn characters_stay_whole_where_nothing_cuts() {
        for text in ["aé", "a日", "🤗", "é"] {
            assert!(text.is_char_boundary(whole(text.as_bytes())), "{text}");
        }
        assert_eq!(cut("één woord".as_bytes()), Some(5));
        assert_eq!(cut(b"oneword"), None);
        assert_eq!(cut("\u{a0} a".as_bytes()), None);
    }
}
