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
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;

use crate::checkpoint::NamedTensor;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::hook::{Hook, Size};
use crate::model::{Change, Edit, named};

use super::tensors::Tensors;

/// An edit as it was written, not yet applied to a model.
#[derive(Clone, Debug, PartialEq)]
pub struct EditText {
    text: String,
    name: String,
    indices: Vec<Index>,
    operation: Operation,
    when: When,
}

/// An index into one axis: from a number on, up to before another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Index {
    All,
    One(i64),
    Range(Option<i64>, Option<i64>),
}

#[derive(Clone, Debug, PartialEq)]
enum Operation {
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
struct Place {
    file: PathBuf,
    tensor: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
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
            self.rest[..length].parse().map_err(|_| self.wrong("a number of some digits"))?;
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

/// An axis of a hook's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    Position,
    Key,
    Head(usize),
    Column(usize),
}

/// The axes of a hook, in the order of its shape.
fn axes(config: &Config, hook: Hook) -> Vec<Axis> {
    let shape = hook.point().shape();
    let last = shape.len() - 1;
    let axis = |(place, size): (usize, &Size)| match size {
        Size::T => Axis::Position,
        Size::S => Axis::Key,
        Size::H if place < last => Axis::Head(config.heads),
        Size::K if place < last => Axis::Head(config.kv_heads),
        Size::One => Axis::Column(1),
        Size::C => Axis::Column(config.width),
        Size::D => Axis::Column(config.head_width),
        Size::F => Axis::Column(config.mlp.hidden()),
        Size::H | Size::K => Axis::Column(config.heads),
    };
    shape.iter().enumerate().map(axis).collect()
}

impl EditText {
    /// The edits of a model that this one means, for a prompt of so many tokens: one for each hook,
    /// or more where a tensor has rows for heads but not for positions.
    ///
    /// # Errors
    /// [`Error::Input`], with the edit's text, for a name that means no hook of the model, an index
    /// that its axis does not have, and a tensor that cannot be broadcast; those of reading the
    /// tensor.
    pub fn resolve(
        &self,
        config: &Config,
        prompt: usize,
        tensors: &mut Tensors,
    ) -> Result<Vec<(Hook, Edit)>> {
        let mut edits = Vec::new();
        for hook in named(config, &self.name)? {
            edits.extend(
                self.of_hook(config, hook, prompt, tensors)?.into_iter().map(|e| (hook, e)),
            );
        }
        Ok(edits)
    }

    fn of_hook(
        &self,
        config: &Config,
        hook: Hook,
        prompt: usize,
        tensors: &mut Tensors,
    ) -> Result<Vec<Edit>> {
        let axes = axes(config, hook);
        if self.indices.len() > axes.len() {
            return Err(self.wrong(&format!(
                "has {} indices, and {hook} has {} axes",
                self.indices.len(),
                axes.len()
            )));
        }
        let mut edit = Edit::all(Change::Zero);
        // The number of values along each axis; of an open end, none.
        let mut sizes = Vec::new();
        for (number, axis) in axes.iter().enumerate() {
            let index = self.indices.get(number).copied().unwrap_or(Index::All);
            let size = match *axis {
                Axis::Position => {
                    edit.positions = self.positions(index, prompt)?;
                    edit.positions.as_ref().filter(|p| p.end < OPEN).map(ExactSizeIterator::len)
                }
                Axis::Key => {
                    edit.columns = self.range(index, prompt, None)?;
                    edit.columns.as_ref().map(ExactSizeIterator::len)
                }
                Axis::Head(count) => {
                    edit.heads = self.range(index, count, Some(count))?;
                    Some(edit.heads.as_ref().map_or(count, ExactSizeIterator::len))
                }
                Axis::Column(count) => {
                    edit.columns = self.range(index, count, Some(count))?;
                    Some(edit.columns.as_ref().map_or(count, ExactSizeIterator::len))
                }
            };
            sizes.push(size);
        }
        let with = |change| Edit { change, ..edit.clone() };
        let (place, factor, change): (&Place, f32, fn(Vec<f32>) -> Change) = match &self.operation {
            Operation::Set(0.0) => return Ok(vec![with(Change::Zero)]),
            Operation::Set(number) => return Ok(vec![with(Change::Replace(vec![*number]))]),
            Operation::AddNumber(number) => return Ok(vec![with(Change::Add(vec![*number]))]),
            Operation::Scale(factor) => return Ok(vec![with(Change::Scale(*factor))]),
            Operation::SetTo(place) | Operation::Mean(place) => (place, 1.0, Change::Replace),
            Operation::Add(place, factor) => (place, *factor, Change::Add),
            Operation::Project(place) => (place, 1.0, Change::Project),
        };
        let mut tensor = tensors.get(&place.file, &place.tensor)?;
        if let Operation::Mean(_) = self.operation {
            tensor =
                mean_of_rows(&tensor).ok_or_else(|| self.wrong("takes the mean of no rows"))?;
        }
        if factor != 1.0 {
            tensor.values.iter_mut().for_each(|value| *value *= factor);
        }
        let heads_first = matches!(axes[0], Axis::Head(_));
        self.broadcast(hook, &tensor, &sizes, heads_first, &edit, change)
    }

    /// The edits for a tensor broadcast from the right to the sizes, of which an open one is `None`.
    fn broadcast(
        &self,
        hook: Hook,
        tensor: &NamedTensor,
        sizes: &[Option<usize>],
        heads_first: bool,
        edit: &Edit,
        change: fn(Vec<f32>) -> Change,
    ) -> Result<Vec<Edit>> {
        let ones = sizes.len().saturating_sub(tensor.shape.len());
        let mut shape = vec![1; ones];
        shape.extend(&tensor.shape);
        let fits = shape.len() == sizes.len()
            && shape.iter().zip(sizes).all(|(own, size)| *own == 1 || Some(*own) == *size);
        if !fits || tensor.values.is_empty() {
            let size =
                |size: &Option<usize>| size.map_or_else(|| "any".to_owned(), |n| n.to_string());
            let sizes: Vec<String> = sizes.iter().map(size).collect();
            let open = "; name the positions, such as [0:4], or end with @prompt";
            return Err(self.wrong(&format!(
                "takes a tensor of the shape {:?}, which does not fit what changes of {hook}, ({}){}",
                tensor.shape,
                sizes.join(", "),
                if sizes.contains(&"any".to_owned()) { open } else { "" }
            )));
        }
        if heads_first && shape[0] > 1 && shape[1] == 1 {
            // Values for each head that serve all positions: one edit for each head.
            let first = edit.heads.as_ref().map_or(0, |heads| heads.start);
            let per_head = tensor.values.len() / shape[0];
            let of_head = |(number, values): (usize, &[f32])| Edit {
                change: change(values.to_vec()),
                heads: Some(first + number..first + number + 1),
                ..edit.clone()
            };
            return Ok(tensor.values.chunks(per_head).enumerate().map(of_head).collect());
        }
        // Leading axes of one value are left out; what follows the first other one is filled up.
        let first = shape.iter().position(|size| *size > 1).unwrap_or(shape.len());
        let mut values = tensor.values.clone();
        for axis in (first..shape.len()).rev() {
            let size = sizes[axis].unwrap_or(1);
            if shape[axis] == 1 && size > 1 {
                let inner: usize =
                    (axis + 1..shape.len()).map(|a| sizes[a].unwrap_or(1).max(shape[a])).product();
                let repeated = |part: &[f32]| part.repeat(size);
                values = values.chunks(inner.max(1)).flat_map(repeated).collect();
            }
        }
        Ok(vec![Edit { change: change(values), ..edit.clone() }])
    }

    /// The positions: those of the index that are in the prompt, drawn, or either.
    fn positions(&self, index: Index, prompt: usize) -> Result<Option<Range<usize>>> {
        let named = self.range(index, prompt, None)?;
        let all = named.unwrap_or(0..OPEN);
        let range = match self.when {
            When::Always if all == (0..OPEN) => return Ok(None),
            When::Always => all,
            When::Prompt => all.start..all.end.min(prompt),
            When::Drawn => all.start.max(prompt)..all.end,
        };
        if range.start >= range.end {
            return Err(self.wrong(&format!(
                "acts on no position: the prompt has {prompt} tokens, and drawn ones follow"
            )));
        }
        Ok(Some(range))
    }

    /// The range of an index, whose negative numbers count from `from`; `None` for all.
    fn range(&self, index: Index, from: usize, end: Option<usize>) -> Result<Option<Range<usize>>> {
        let place = |number: i64| -> Option<usize> {
            match usize::try_from(number) {
                Ok(place) => Some(place),
                Err(_) => from.checked_sub(usize::try_from(number.unsigned_abs()).ok()?),
            }
        };
        let most = end.unwrap_or(OPEN);
        let range = match index {
            Index::All => return Ok(None),
            Index::One(number) => place(number).and_then(|at| Some(at..at.checked_add(1)?)),
            Index::Range(first, end) => first
                .map_or(Some(0), place)
                .zip(end.map_or(Some(most), place))
                .map(|(first, end)| first..end),
        };
        match range {
            Some(range) if range.start < range.end && range.end <= most => Ok(Some(range)),
            _ => {
                let written = match index {
                    Index::All => ":".to_owned(),
                    Index::One(number) => number.to_string(),
                    Index::Range(first, end) => {
                        let text = |number: Option<i64>| {
                            number.map_or_else(String::new, |n| n.to_string())
                        };
                        format!("{}:{}", text(first), text(end))
                    }
                };
                let has = end.map_or_else(
                    || format!("the prompt has {from} tokens"),
                    |count| format!("the axis has {count} values"),
                );
                Err(self.wrong(&format!("has the index {written}, but {has}")))
            }
        }
    }

    fn wrong(&self, what: &str) -> Error {
        Error::Input(format!("the edit `{}` {what}", self.text))
    }
}

/// The end of positions that go on as long as tokens are drawn.
const OPEN: usize = u32::MAX as usize;

/// The mean over the first axis.
fn mean_of_rows(tensor: &NamedTensor) -> Option<NamedTensor> {
    let (rows, rest) = tensor.shape.split_first()?;
    let width: usize = rest.iter().product();
    if *rows == 0 || width == 0 {
        return None;
    }
    let mut sums = vec![0.0; width];
    for row in tensor.values.chunks(width) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let values = sums.into_iter().map(|sum| (sum / *rows as f64) as f32).collect();
    Some(NamedTensor { shape: rest.to_vec(), values })
}
