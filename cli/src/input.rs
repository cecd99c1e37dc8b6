//! The input of commands: text and token ids, from the command line, files and standard input.

use std::io::{BufRead, Read};
use std::path::Path;
use std::str::FromStr;

use pellucid::files;
use pellucid::{Error, Result};

/// Token ids from the command line.
#[derive(Clone, Debug)]
pub(crate) enum TokenList {
    /// `1,2,3`.
    Given(Vec<u32>),
    /// `-`: from standard input.
    Input,
}

impl FromStr for TokenList {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "-" {
            return Ok(Self::Input);
        }
        if text.trim().is_empty() {
            return Err(Error::Input(
                "there are no token ids; give some, such as 1,2,3".to_owned(),
            ));
        }
        parse_ids(text).map(Self::Given)
    }
}

/// Ids with commas between them.
fn parse_ids(text: &str) -> Result<Vec<u32>> {
    let id = |word: &str| {
        let word = word.trim();
        let reason = || format!("{word:?} is not a token id; give ids such as 1,2,3");
        word.parse().map_err(|_| Error::Input(reason()))
    };
    text.split(',').map(id).collect()
}

impl TokenList {
    /// The ids.
    ///
    /// # Errors
    /// [`Error::Input`] if standard input holds something else.
    pub(crate) fn ids(&self) -> Result<Vec<u32>> {
        match self {
            Self::Given(ids) => Ok(ids.clone()),
            Self::Input => {
                let text = read_input()?;
                if text.trim().is_empty() {
                    return Err(Error::file(INPUT, "holds no token ids"));
                }
                parse_ids(&text)
            }
        }
    }
}

/// The most bytes of a line that is read.
const LONGEST_LINE: u64 = 16 << 20;

/// The name of standard input in errors.
const INPUT: &str = "standard input";

/// All of standard input, exactly as it is.
fn read_input() -> Result<String> {
    let path = Path::new(INPUT);
    utf8(path, files::read_stream(path, std::io::stdin().lock())?)
}

fn utf8(path: &Path, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::file(path, format!("is not text: invalid UTF-8 at byte {at}"))
    })
}

/// A text given on the command line; `-` is standard input.
///
/// # Errors
/// [`Error::Io`] and [`Error::File`] if standard input cannot be read or is not text.
pub(crate) fn text(argument: &str) -> Result<String> {
    if argument == "-" { read_input() } else { Ok(argument.to_owned()) }
}

/// The next line of standard input without its end; `None` at the end of the input.
///
/// # Errors
/// [`Error::Io`] and [`Error::File`] if standard input cannot be read or is not text.
pub(crate) fn line() -> Result<Option<String>> {
    let mut bytes = Vec::new();
    let mut input = std::io::stdin().lock().take(LONGEST_LINE + 1);
    let read = input.read_until(b'\n', &mut bytes);
    if read.map_err(|source| Error::io(INPUT, source))? == 0 {
        return Ok(None);
    }
    if bytes.len() as u64 > LONGEST_LINE {
        let reason = format!("has a line of more than {} MiB", LONGEST_LINE >> 20);
        return Err(Error::file(INPUT, reason));
    }
    let line = utf8(Path::new(INPUT), bytes)?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(Some(line.strip_suffix('\r').unwrap_or(line).to_owned()))
}

/// A text file, which may be a pipe; `-` is standard input.
///
/// # Errors
/// [`Error::Io`] and [`Error::File`] if the file cannot be read or is not text, or is a pipe that
/// does not end.
pub(crate) fn file(path: &Path) -> Result<String> {
    if path == Path::new("-") {
        return read_input();
    }
    utf8(path, files::read(path)?)
}

/// The error for a file, or `-`, without any text.
pub(crate) fn no_text(path: &Path, work: &str) -> Error {
    let path = if path == Path::new("-") { Path::new(INPUT) } else { path };
    Error::file(path, format!("holds no text to {work}"))
}
