//! Edits as people write them: `NAME[INDEX, ...] OPERATION [@prompt | @drawn]`.
//!
//! - NAME is that of a hook in any spelling, or a glob.
//! - One index for each axis of the hook's shape: `a`, `a:b` (half-open) or `:`; missing ones mean all.
//!   Negative numbers count from the end: of the prompt, or of the axis.
//! - OPERATION: `= NUMBER`, `= FILE:TENSOR`, `*= NUMBER`, `+= NUMBER`, `+= FILE:TENSOR [* NUMBER]`,
//!   `project FILE:TENSOR` (takes the direction out), `mean FILE:TENSOR` (the mean over the rows).
//!   A tensor is broadcast from the right.
//! - Without a suffix an edit acts on the prompt and on every drawn token.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::{Error, Result};

/// An edit as it was written, not yet applied to a model.
#[derive(Clone, Debug, PartialEq)]
pub struct EditText {
    pub(super) text: String,
    pub(super) name: String,
    pub(super) indices: Vec<Index>,
    pub(super) operation: Operation,
    pub(super) when: When,
}

/// An index into one axis: from a number on, up to before another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Index {
    All,
    One(i64),
    Range(Option<i64>, Option<i64>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operation {
    Set(f32),
    SetTo(Place),
    Scale(f32),
    AddNumber(f32),
    Add(Place, f32),
    Project(Place),
    Mean(Place),
}

/// A tensor in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    pub(super) tensor: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Always,
    Prompt,
    Drawn,
}

impl fmt::Display for EditText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for EditText {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (text, when) = suffix(text);
        let mut reader = Reader { all: text, rest: text };
        let name = reader.name()?;
        let indices = reader.indices()?;
        let operation = reader.operation()?;
        let mut whole = text.to_owned();
        whole.push_str(match when {
            When::Always => "",
            When::Prompt => " @prompt",
            When::Drawn => " @drawn",
        });
        Ok(Self { text: whole, name, indices, operation, when })
    }
}

/// The text before `@prompt` or `@drawn`.
fn suffix(text: &str) -> (&str, When) {
    let text = text.trim();
    for (word, when) in [("@prompt", When::Prompt), ("@drawn", When::Drawn)] {
        if let Some(before) = text.strip_suffix(word)
            && before.ends_with(char::is_whitespace)
        {
            return (before.trim_end(), when);
        }
    }
    (text, When::Always)
}

/// Reads an edit from left to right; errors name the place.
struct Reader<'a> {
    all: &'a str,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn wrong(&self, expected: &str) -> Error {
        let at = self.all.len() - self.rest.len();
        let (before, after) = self.all.split_at(at);
        let found: String = after.chars().take(20).collect();
        let found = if found.is_empty() { "the end".to_owned() } else { format!("`{found}`") };
        let place = before.chars().count() + 1;
        Error::Input(format!(
            "the edit `{}` has {found} at character {place}, where {expected} is expected",
            self.all
        ))
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, word: &str) -> bool {
        self.skip_blanks();
        let after = self.rest.strip_prefix(word);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn name(&mut self) -> Result<String> {
        let ends = |c: char| c.is_whitespace() || matches!(c, '[' | '=' | '+');
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        let mut name = &self.rest[..end];
        // `z.0*= 2` multiplies; a glob that ends with a star needs a blank after it.
        if self.rest[end..].starts_with('=') {
            name = name.strip_suffix('*').unwrap_or(name);
        }
        if name.is_empty() {
            return Err(self.wrong("the name of a hook"));
        }
        self.rest = &self.rest[name.len()..];
        Ok(name.to_owned())
    }

    fn indices(&mut self) -> Result<Vec<Index>> {
        let mut indices = Vec::new();
        if !self.take("[") {
            return Ok(indices);
        }
        loop {
            indices.push(self.index()?);
            if self.take("]") {
                return Ok(indices);
            }
            if !self.take(",") {
                return Err(self.wrong("`,` or `]`"));
            }
        }
    }

    fn index(&mut self) -> Result<Index> {
        let first = self.number()?;
        if self.take(":") {
            let end = self.number()?;
            return Ok(match (first, end) {
                (None, None) => Index::All,
                (first, end) => Index::Range(first, end),
            });
        }
        first.map(Index::One).ok_or_else(|| self.wrong("an index, such as 3, 2:5 or :"))
    }

    /// A whole number, or none.
    fn number(&mut self) -> Result<Option<i64>> {
        self.skip_blanks();
        let digits = self.rest.strip_prefix('-').unwrap_or(self.rest);
        let count = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        if count == 0 {
            return Ok(None);
        }
        let length = self.rest.len() - digits.len() + count;
        let number =
            self.rest[..length].parse().map_err(|_| self.wrong("a number of fewer digits"))?;
        self.rest = &self.rest[length..];
        Ok(Some(number))
    }

    fn operation(&mut self) -> Result<Operation> {
        if self.take("*=") {
            return self.real().map(Operation::Scale);
        }
        if self.take("+=") {
            if let Some(number) = self.whole_real() {
                return number.map(Operation::AddNumber);
            }
            let (place, factor) = match self.rest.rsplit_once(" * ") {
                Some((place, factor)) => {
                    let before = self.rest;
                    self.rest = factor;
                    let factor = self.real()?;
                    self.rest = &before[..place.len()];
                    (place, factor)
                }
                None => (self.rest, 1.0),
            };
            return Ok(Operation::Add(self.place(place)?, factor));
        }
        if self.take("=") {
            return match self.whole_real() {
                Some(number) => number.map(Operation::Set),
                None => self.place(self.rest).map(Operation::SetTo),
            };
        }
        for (word, make) in
            [("project ", Operation::Project as fn(Place) -> Operation), ("mean ", Operation::Mean)]
        {
            if self.take(word) {
                return self.place(self.rest).map(make);
            }
        }
        Err(self.wrong("an operation (=, *=, +=, project or mean)"))
    }

    /// All that is left as a number, if it looks like one.
    fn whole_real(&mut self) -> Option<Result<f32>> {
        self.skip_blanks();
        self.rest.trim().parse::<f32>().ok()?;
        Some(self.real())
    }

    fn real(&mut self) -> Result<f32> {
        self.skip_blanks();
        let number = self.rest.trim().parse::<f32>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| self.wrong("a finite number"))
    }

    fn place(&self, text: &str) -> Result<Place> {
        match text.trim().rsplit_once(':') {
            Some((file, tensor)) if !file.is_empty() && !tensor.is_empty() => {
                Ok(Place { file: file.into(), tensor: tensor.to_owned() })
            }
            _ => Err(self.wrong("a number, or FILE:TENSOR")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> EditText {
        text.parse().unwrap()
    }

    #[test]
    fn edits_are_read_in_all_their_forms() {
        let edit = parsed("blocks.3.hook_resid_post[2:5, -1, :] *= 0.5 @prompt");
        assert_eq!(edit.name, "blocks.3.hook_resid_post");
        let indices = [Index::Range(Some(2), Some(5)), Index::One(-1), Index::All];
        assert_eq!(edit.indices, indices);
        assert_eq!((edit.operation, edit.when), (Operation::Scale(0.5), When::Prompt));
        assert_eq!(parsed("z.1=0").operation, Operation::Set(0.0));
        assert_eq!(parsed("z.1*=2").operation, Operation::Scale(2.0));
        assert_eq!(parsed("blocks.*.hook_z* = 1").name, "blocks.*.hook_z*");
        let place = Place { file: "a b.safetensors".into(), tensor: "x".to_owned() };
        let add = parsed("z.1 += a b.safetensors:x * -2 @drawn");
        assert_eq!((add.operation, add.when), (Operation::Add(place.clone(), -2.0), When::Drawn));
        assert_eq!(parsed("z.1 project a b.safetensors:x").operation, Operation::Project(place));
        assert_eq!(parsed("z.1[3:] += 4").operation, Operation::AddNumber(4.0));
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        for (text, place, expected) in [
            ("", 1, "the name of a hook"),
            ("z.1", 4, "an operation"),
            ("z.1[", 5, "an index"),
            ("z.1[2", 6, "`,` or `]`"),
            ("z.1[a] = 0", 5, "an index"),
            ("z.1 = x", 7, "FILE:TENSOR"),
            ("z.1 *= x", 8, "a finite number"),
            ("z.1 *= inf", 8, "a finite number"),
            ("z.1 = NaN", 7, "a finite number"),
            ("z.1 += f:t * x", 14, "a finite number"),
        ] {
            let error = text.parse::<EditText>().unwrap_err().to_string();
            let at = format!("at character {place}, ");
            assert!(error.contains(&at) && error.contains(expected), "{text}: {error}");
        }
    }
}
