//! Changes of named values while they are computed, on a device and on the reference.

use std::ops::Range;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::gpu::Tensor;
use crate::hook::Hook;
use crate::ops::MASKED;

use super::bound::{Bound, Kind};
use super::hook_fn::HookFn;
use super::hooks::{heads_first, offered, shape};
use super::own_op::OwnOp;

/// What to do with a named value during a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Return it; if the same value is edited, as the edits leave it.
    Read,
    /// Change it before anything uses it.
    Edit(Edit),
}

/// The actions of edits, and of reads after them.
pub fn actions(
    edits: &[(Hook, Edit)],
    reads: impl IntoIterator<Item = Hook>,
) -> Vec<(Hook, Action)> {
    let edits = edits.iter().map(|(hook, edit)| (*hook, Action::Edit(edit.clone())));
    edits.chain(reads.into_iter().map(|hook| (hook, Action::Read))).collect()
}

/// A change of a named value, or of part of it.
///
/// A value has up to three axes besides the batch: the position (T in its shape), the head (H or K)
/// and the last one, here called columns (C, D, F, or S for the keys of scores and patterns). An edit
/// acts on the ranges of each that it names.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// What happens to the values.
    pub change: Change,
    /// The positions in a sequence that change; all if `None`, those of tokens drawn later too.
    pub positions: Option<Range<usize>>,
    /// The sequence of the session that changes; all if `None`.
    pub sequence: Option<u32>,
    /// The heads that change; all if `None`. Must be `None` or `0..1` for a value without heads.
    pub heads: Option<Range<usize>>,
    /// The columns that change; all if `None`.
    pub columns: Option<Range<usize>>,
}

/// The kinds of change.
///
/// A tensor's values are in the order of the hook's shape, of the part that changes: all of them, or
/// without the first axis or the first two, in which case the same serve all; a single value serves
/// everything. If the edit names no positions and the tensor has some, these are the first ones.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// x = 0.
    Zero,
    /// x = factor · x.
    Scale(f32),
    /// x = x + tensor.
    Add(Vec<f32>),
    /// x = tensor. Scores may be −∞; those that the mask hides stay hidden.
    Replace(Vec<f32>),
    /// x = x − (x · d) d / |d|² within each head and position: takes the direction d out.
    Project(Vec<f32>),
    /// x is what a function makes of it.
    Call(HookFn),
    /// x is what an op of the caller's own makes of it.
    Own(OwnOp),
}

impl Edit {
    /// An edit of the whole value, of every token.
    pub fn all(change: Change) -> Self {
        Self { change, positions: None, sequence: None, heads: None, columns: None }
    }

    /// Whether code of the caller's acts, so that what it does cannot be told from the edit.
    pub(crate) fn is_foreign(&self) -> bool {
        matches!(self.change, Change::Call(_) | Change::Own(_))
    }

    /// This edit on a text of so many tokens.
    ///
    /// # Errors
    /// As [`Edit::bind`], and [`Error::Input`] for positions that the text does not have.
    pub(crate) fn bind_to(&self, config: &Config, hook: Hook, tokens: usize) -> Result<Bound> {
        let bound = self.bind(config, hook, tokens)?;
        let end = bound.positions.end;
        if end as usize <= tokens || end == u32::MAX {
            return Ok(bound);
        }
        Err(Error::Input(format!(
            "the edit of {hook} covers positions up to {}, but the text has only {tokens} tokens",
            end - 1
        )))
    }

    /// This edit in a model of this kind. Scores and patterns have at most `keys` columns.
    ///
    /// # Errors
    /// [`Error::Input`], naming the hook, for a value that the model does not have, ranges that the
    /// value does not have, a tensor that fits none of the ways above, and for values that are not
    /// finite.
    pub(crate) fn bind(&self, config: &Config, hook: Hook, keys: usize) -> Result<Bound> {
        offered(config, hook)?;
        let Axes { heads: all_heads, columns: width, heads_first } = axes(config, hook, keys);
        let heads = inside(&self.heads, all_heads, || format!("{hook} has {all_heads} heads"))?;
        let columns = inside(&self.columns, width, || format!("{hook} has {width} columns"))?;
        let input = |reason: String| Error::Input(format!("the edit of {hook} {reason}"));
        let (kind, values) = match &self.change {
            Change::Zero => (Kind::Affine { scale: 0.0 }, vec![0.0]),
            Change::Scale(factor) => (Kind::Affine { scale: *factor }, vec![0.0]),
            Change::Add(values) => (Kind::Affine { scale: 1.0 }, values.clone()),
            Change::Replace(values) => (Kind::Affine { scale: 0.0 }, values.clone()),
            Change::Project(values) => (Kind::Project, values.clone()),
            Change::Call(function) => (Kind::Call(function.clone()), vec![0.0]),
            Change::Own(op) => (Kind::Own(op.clone()), op.operand.clone()),
        };
        if let Kind::Affine { scale } = kind
            && !scale.is_finite()
        {
            return Err(input("scales by a number that is not finite".to_owned()));
        }
        let named = self.positions.clone();
        if named.as_ref().is_some_and(|positions| positions.is_empty()) {
            return Err(input("names no position".to_owned()));
        }
        let sizes = [heads.len(), columns.len()];
        let shape = operand_shape(values.len(), named.as_ref().map(Range::len), sizes, heads_first);
        let shape = shape.ok_or_else(|| {
            let places =
                named.as_ref().map_or_else(|| "P".to_owned(), |range| range.len().to_string());
            let [h, w] = sizes;
            let order = if heads_first {
                format!("{h}, {places}, {w}")
            } else {
                format!("{places}, {h}, {w}")
            };
            input(format!(
                "has {} values, which fill neither ({order}) nor its last axes nor one value",
                values.len()
            ))
        })?;
        let positions = match named {
            Some(named) => named,
            None if shape[0] > 1 => 0..shape[0],
            None => 0..u32::MAX as usize,
        };
        let bound = |position: usize| u32::try_from(position).unwrap_or(u32::MAX);
        let values = finite(hook, values)
            .ok_or_else(|| input("has a value that is not finite".to_owned()))?;
        let values = if heads_first { positions_first(&values, shape) } else { values };
        let values = match kind {
            Kind::Project => unit(&values, shape[2], columns.len()),
            _ => values,
        };
        Ok(Bound {
            hook,
            kind,
            positions: bound(positions.start)..bound(positions.end),
            sequence: self.sequence,
            heads,
            all_heads,
            columns,
            heads_first,
            shape,
            operand: Tensor::persistent(shape[0] * shape[1], shape[2]),
            values: values.into(),
        })
    }
}

/// The axes of a value besides the position.
struct Axes {
    /// 1 if it has no heads.
    heads: usize,
    columns: usize,
    heads_first: bool,
}

fn axes(config: &Config, hook: Hook, keys: usize) -> Axes {
    let heads_first = heads_first(hook);
    match shape(config, hook, 1, keys)[..] {
        [heads, _, columns] if heads_first => Axes { heads, columns, heads_first },
        [_, heads, columns] => Axes { heads, columns, heads_first },
        [_, columns] => Axes { heads: 1, columns, heads_first },
        // There is no hook of another kind.
        _ => Axes { heads: 1, columns: 1, heads_first },
    }
}

/// The range, or all of `count`; an error for an empty one or one beyond the end.
fn inside(
    range: &Option<Range<usize>>,
    count: usize,
    has: impl Fn() -> String,
) -> Result<Range<usize>> {
    let range = range.clone().unwrap_or(0..count);
    if range.start < range.end && range.end <= count {
        return Ok(range);
    }
    Err(Error::Input(format!("{}; the edit covers {}..{}", has(), range.start, range.end)))
}

/// (P, H, W) of an operand with this many values, where 1 serves all; `None` if it does not fit.
fn operand_shape(
    count: usize,
    positions: Option<usize>,
    [heads, columns]: [usize; 2],
    heads_first: bool,
) -> Option<[usize; 3]> {
    if count == 1 {
        return Some([1, 1, 1]);
    }
    if count == columns {
        return Some([1, 1, columns]);
    }
    let inner = if heads_first { positions } else { Some(heads) };
    if inner.is_some_and(|inner| count == inner * columns) {
        return Some(if heads_first { [count / columns, 1, columns] } else { [1, heads, columns] });
    }
    let whole = heads * columns;
    let places = count / whole.max(1);
    let fits = count > 0 && count.is_multiple_of(whole) && positions.is_none_or(|p| p == places);
    fits.then_some([places, heads, columns])
}

/// (H, P, W) as (P, H, W).
fn positions_first(values: &[f32], [positions, heads, columns]: [usize; 3]) -> Vec<f32> {
    let row = |p: usize, h: usize| &values[(h * positions + p) * columns..][..columns];
    (0..positions).flat_map(|p| (0..heads).flat_map(move |h| row(p, h).to_vec())).collect()
}

/// Rows scaled to the norm 1 over the columns that change; a row of zeros stays one.
fn unit(values: &[f32], columns: usize, changed: usize) -> Vec<f32> {
    // One value that serves all columns counts once for each.
    let times = if columns == 1 { changed as f64 } else { 1.0 };
    let mut out = Vec::with_capacity(values.len());
    for row in values.chunks(columns.max(1)) {
        let squares: f64 = row.iter().map(|x| f64::from(*x).powi(2)).sum();
        let norm = (squares * times).sqrt();
        let scaled = |x: &f32| if norm == 0.0 { 0.0 } else { (f64::from(*x) / norm) as f32 };
        out.extend(row.iter().map(scaled));
    }
    out
}

/// The values if all are finite; −∞ may replace a score.
fn finite(hook: Hook, values: Vec<f32>) -> Option<Vec<f32>> {
    let scores = matches!(hook, Hook::AttnScores(_));
    let finite = |value: f32| match value {
        f32::NEG_INFINITY if scores => Some(MASKED),
        value => value.is_finite().then_some(value),
    };
    values.into_iter().map(finite).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_fit_in_one_way() {
        let of = |count, positions, sizes, first| operand_shape(count, positions, sizes, first);
        assert_eq!(of(1, None, [4, 8], false), Some([1, 1, 1]));
        assert_eq!(of(8, None, [4, 8], false), Some([1, 1, 8]));
        assert_eq!(of(32, None, [4, 8], false), Some([1, 4, 8]));
        assert_eq!(of(96, None, [4, 8], false), Some([3, 4, 8]));
        assert_eq!(of(96, Some(3), [4, 8], false), Some([3, 4, 8]));
        assert_eq!(of(96, Some(2), [4, 8], false), None);
        assert_eq!(of(40, None, [4, 8], false), None);
        assert_eq!(of(0, None, [4, 8], false), None);
        // Scores: (H, P, W).
        assert_eq!(of(24, Some(3), [4, 8], true), Some([3, 1, 8]));
        assert_eq!(of(96, Some(3), [4, 8], true), Some([3, 4, 8]));
        let values: Vec<f32> = (0..8).map(|x| x as f32).collect();
        assert_eq!(positions_first(&values, [2, 2, 2]), [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
    }

    #[test]
    fn directions_have_the_norm_one() {
        assert_eq!(unit(&[3.0, 4.0, 0.0, 0.0], 2, 2), [0.6, 0.8, 0.0, 0.0]);
        assert_eq!(unit(&[-2.0], 1, 4), [-0.5]);
    }
}
