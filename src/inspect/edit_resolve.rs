//! Written edits in terms of a model and a prompt.

use std::ops::Range;

use crate::checkpoint::NamedTensor;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::hook::{Hook, Point, Size};
use crate::model::{Change, Edit, named, shape};

use super::edit_text::{EditText, Index, Operation, Place, When};
use super::tensors::Tensors;

/// The change that takes a tensor.
type Make = fn(Vec<f32>) -> Change;

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
    let letters = hook.point().shape();
    let sizes = shape(config, hook, 1, 1);
    let axis = |(letter, (place, size)): (&Size, (usize, usize))| match letter {
        Size::T => Axis::Position,
        Size::S => Axis::Key,
        Size::H | Size::K if place + 1 < letters.len() => Axis::Head(size),
        _ => Axis::Column(size),
    };
    letters.iter().zip(sizes.into_iter().enumerate()).map(axis).collect()
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
        let (place, factor, change): (&Place, f32, Make) = match &self.operation {
            Operation::Set(0.0) => return Ok(vec![with(Change::Zero)]),
            Operation::Set(number) => return Ok(vec![with(Change::Replace(vec![*number]))]),
            Operation::AddNumber(number) => return Ok(vec![with(Change::Add(vec![*number]))]),
            Operation::Scale(factor) => return Ok(vec![with(Change::Scale(*factor))]),
            Operation::SetTo(place) | Operation::Mean(place) => (place, 1.0, Change::Replace),
            Operation::Add(place, factor) => (place, *factor, Change::Add),
            Operation::Project(place) => (place, 1.0, Change::Project),
        };
        let mut tensor = tensors.get(&place.file, &place.tensor)?;
        let hides = |value: f32| value == f32::NEG_INFINITY && hook.point() == Point::AttnScores;
        if let Some(value) = tensor.values.iter().find(|x| !x.is_finite() && !hides(**x)) {
            let file = place.file.display();
            return Err(self.wrong(&format!(
                "takes {} from {file}, which holds the value {value}",
                place.tensor
            )));
        }
        if let Operation::Mean(_) = self.operation {
            tensor = mean_of_rows(&tensor)
                .ok_or_else(|| self.wrong("takes a mean, but the tensor has no rows"))?;
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
        change: Make,
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
                "takes a tensor of shape {:?}, which does not fit the part of {hook} that it changes, ({}){}",
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
                "acts on no position: the prompt has {prompt} tokens, and generated ones follow"
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
