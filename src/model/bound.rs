//! Edits that fit a model, as they act on a device and on the reference.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::gpu::{BufferId, Tensor};
use crate::hook::Hook;
use crate::ops::{Columns, HeadLayout, MASKED, Operand, Own, Project, Region, ScaleAdd};
use crate::reference;

use super::hook_fn::{HookFn, HookValue, Place};
use super::own_op::OwnOp;

/// An edit that fits a model: the region that it changes, and the operand, which lies in a tensor of
/// its own.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) hook: Hook,
    pub(super) kind: Kind,
    pub(super) positions: Range<u32>,
    pub(super) sequence: Option<u32>,
    pub(super) heads: Range<usize>,
    /// All heads of the value.
    pub(super) all_heads: usize,
    pub(super) columns: Range<usize>,
    /// Whether the head is the first axis.
    pub(super) heads_first: bool,
    /// P, H and W of the operand; a size of 1 serves all.
    pub(super) shape: [usize; 3],
    /// (P·H, W).
    pub(super) operand: Tensor,
    pub(super) values: Arc<[f32]>,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// x = scale · x + operand.
    Affine { scale: f32 },
    /// x = x − (x · operand) operand.
    Project,
    /// x is what the host makes of it.
    Call(HookFn),
    /// x is what the caller's op makes of it and the operand.
    Own(OwnOp),
}

/// An edit's op, whose operand must be created and written before it runs.
pub(super) enum EditOp {
    ScaleAdd(ScaleAdd),
    Project(Project),
    Own(Own),
    /// None: the run stops, and the host calls [`Bound::call`].
    Call,
}

/// How a value lies among the numbers of a tensor: as (T, H·W) or, with the heads first, as (H·T, W).
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// From a row to the next.
    pub(super) stride: usize,
    /// The first column, and the distance of two.
    pub(super) start: usize,
    pub(super) step: usize,
    /// W.
    pub(super) width: usize,
}

impl Bound {
    /// The operand's tensor and its values, if it has one.
    pub(super) fn input(&self) -> Option<(Tensor, &[f32])> {
        match self.kind {
            Kind::Call(_) => None,
            _ => Some((self.operand, &self.values)),
        }
    }

    /// The op on the value in `x`; `None` if the value has none of the columns, as a short text has
    /// none of the later keys.
    pub(super) fn op(&self, rows: BufferId, x: Columns) -> Option<EditOp> {
        let layout = if self.heads_first {
            HeadLayout::InRows(x.of.rows / self.all_heads.max(1))
        } else {
            HeadLayout::InColumns(x.count / self.all_heads.max(1))
        };
        let columns = self.columns_of(self.width(x))?;
        let region = Region {
            positions: self.positions.clone(),
            sequence: self.sequence,
            heads: self.heads.clone(),
            columns,
            layout,
        };
        let [by_position, by_head, _] = self.shape.map(|size| size > 1);
        let operand = Operand { values: self.operand, by_position, by_head };
        Some(match &self.kind {
            Kind::Affine { scale } => {
                EditOp::ScaleAdd(ScaleAdd { rows, x, region, scale: *scale, add: operand })
            }
            Kind::Project => EditOp::Project(Project { rows, x, region, direction: operand }),
            Kind::Own(OwnOp { kernel, constants, each, .. }) => {
                let (constants, each) = (constants.clone(), *each);
                EditOp::Own(Own { kernel, constants, each, rows, x, region, operand })
            }
            Kind::Call(_) => EditOp::Call,
        })
    }

    /// Whether a run stops for it.
    pub(super) fn stops(&self) -> bool {
        matches!(self.kind, Kind::Call(_))
    }

    /// The columns of each head in a tensor.
    pub(super) fn width(&self, x: Columns) -> usize {
        if self.heads_first { x.count } else { x.count / self.all_heads.max(1) }
    }

    /// The columns that change where a head has so many; `None` without any.
    fn columns_of(&self, width: usize) -> Option<Range<usize>> {
        let columns = self.columns.start..self.columns.end.min(width);
        (!columns.is_empty()).then_some(columns)
    }

    /// Hands the part of a value that the edit names to its function, if it has one, and takes back what
    /// it leaves. The rows' `x` are numbers of a tensor; where it holds scores, `window` is that of the
    /// layer's mask. Gives whether any number is another now.
    ///
    /// # Errors
    /// Those of the function; [`Error::Input`], naming the hook, where it leaves a value that is not
    /// finite and was not there before.
    pub(super) fn call(
        &self,
        rows: &[Place],
        x: &mut [f32],
        layout: Layout,
        window: Option<usize>,
    ) -> Result<bool> {
        let Kind::Call(function) = &self.kind else { return Ok(false) };
        let acts = |place: &Place| {
            self.positions.contains(&place.position)
                && self.sequence.is_none_or(|wanted| wanted == place.sequence)
        };
        let own: Vec<usize> = (0..rows.len()).filter(|row| acts(&rows[*row])).collect();
        let Some(columns) = self.columns_of(layout.width).filter(|_| !own.is_empty()) else {
            return Ok(false);
        };
        let (heads, scores) = (self.heads.clone(), matches!(self.hook, Hook::AttnScores(_)));
        // The head and the row of each run of columns, in the order of the value's shape.
        let runs: Vec<(usize, usize)> = if self.heads_first {
            heads.clone().flat_map(|head| own.iter().map(move |row| (head, *row))).collect()
        } else {
            own.iter().flat_map(|row| heads.clone().map(move |head| (head, *row))).collect()
        };
        let index = |(head, row): (usize, usize), column: usize| match self.heads_first {
            true => (head * rows.len() + row) * layout.stride + layout.start + column * layout.step,
            false => {
                row * layout.stride + layout.start + (head * layout.width + column) * layout.step
            }
        };
        let places: Vec<usize> = runs
            .iter()
            .flat_map(|run| columns.clone().map(move |column| index(*run, column)))
            .collect();
        let mut values: Vec<f32> = places.iter().map(|at| x[*at]).collect();
        if scores {
            let of_runs = values.chunks_mut(columns.len()).zip(&runs);
            for (values, (_, row)) in of_runs {
                let end = rows[*row].position as usize + 1;
                let seen = window.map_or(0, |window| end.saturating_sub(window))..end;
                for (value, column) in values.iter_mut().zip(columns.clone()) {
                    if !seen.contains(&column) || *value <= MASKED {
                        *value = f32::NEG_INFINITY;
                    }
                }
            }
        }
        let before = values.clone();
        let shape = match (self.hook.point().shape().len(), self.heads_first) {
            (3, true) => vec![heads.len(), own.len(), columns.len()],
            (3, false) => vec![own.len(), heads.len(), columns.len()],
            _ => vec![own.len(), columns.len()],
        };
        let places_of_rows: Vec<Place> = own.iter().map(|row| rows[*row]).collect();
        let (hook, rows) = (self.hook, &places_of_rows[..]);
        function.call(HookValue { hook, shape: &shape, rows, values: &mut values })?;
        let mut changed = false;
        for ((at, before), value) in places.into_iter().zip(before).zip(values) {
            // A score that is hidden stays so.
            if before.to_bits() == value.to_bits() || (scores && before == f32::NEG_INFINITY) {
                continue;
            }
            x[at] = match value {
                f32::NEG_INFINITY if scores => MASKED,
                value if value.is_finite() => value,
                value => {
                    return Err(Error::Input(format!(
                        "the function at {hook} wrote {value}, where only finite values can go on"
                    )));
                }
            };
            changed = true;
        }
        Ok(changed)
    }

    /// The edit on the reference: of a value of this shape whose rows begin at position `first` of
    /// sequence 0.
    ///
    /// # Errors
    /// As [`Bound::call`]; [`Error::Input`] for an op of the caller's that has no twin.
    pub(crate) fn apply(&self, shape: &[usize], values: &mut [f64], first: usize) -> Result<()> {
        let (tokens, width) = match (self.heads_first, shape) {
            (true, [_, tokens, width]) => (*tokens, *width),
            (_, [tokens, rest @ ..]) => {
                (*tokens, rest.iter().product::<usize>() / self.all_heads.max(1))
            }
            _ => return Ok(()),
        };
        let Some(columns) = self.columns_of(width) else { return Ok(()) };
        if let Kind::Call(_) = self.kind {
            return self.call_on_reference(tokens, width, values, first);
        }
        let rows: Vec<(u32, u32)> = (first..first + tokens).map(|p| (p as u32, 0)).collect();
        let region = reference::Region {
            shape: [self.all_heads, width],
            heads_first: self.heads_first,
            positions: self.positions.clone(),
            sequence: self.sequence,
            heads: self.heads.clone(),
            columns,
        };
        let operand: Vec<f64> = self.values.iter().map(|x| f64::from(*x)).collect();
        let operand = reference::Operand { shape: self.shape, values: &operand };
        // Scores that the mask hides stay hidden.
        let hidden: Vec<usize> = match self.hook {
            Hook::AttnScores(_) => {
                (0..values.len()).filter(|at| values[*at] == f64::NEG_INFINITY).collect()
            }
            _ => Vec::new(),
        };
        match &self.kind {
            Kind::Affine { scale } => {
                reference::scale_add(values, &rows, &region, f64::from(*scale), operand);
            }
            Kind::Project => reference::project(values, &rows, &region, operand),
            Kind::Own(op) => {
                let twin = op.twin.as_ref().ok_or_else(|| {
                    let (name, hook) = (op.kernel.name, self.hook);
                    Error::Input(format!(
                        "the op {name} at {hook} has no twin in plain Rust, so it runs on a device only"
                    ))
                })?;
                region.each(values, &rows, operand, |x, operand| twin(x, operand));
            }
            Kind::Call(_) => {}
        }
        hidden.into_iter().for_each(|at| values[at] = f64::NEG_INFINITY);
        if let Hook::AttnScores(_) = self.hook {
            let masked = values.iter_mut().filter(|value| **value <= f64::from(MASKED));
            masked.for_each(|value| *value = f64::NEG_INFINITY);
        }
        Ok(())
    }

    /// The function gets what a device would give it; numbers that it leaves alone keep all their bits.
    fn call_on_reference(
        &self,
        tokens: usize,
        width: usize,
        values: &mut [f64],
        first: usize,
    ) -> Result<()> {
        let place = |position: usize| Place { position: position as u32, sequence: 0 };
        let rows: Vec<Place> = (first..first + tokens).map(place).collect();
        let stride = if self.heads_first { width } else { width * self.all_heads };
        let mut narrow: Vec<f32> = values.iter().map(|value| *value as f32).collect();
        let before = narrow.clone();
        // What the mask hides is −∞ here already.
        self.call(&rows, &mut narrow, Layout { stride, start: 0, step: 1, width }, None)?;
        for ((value, before), after) in values.iter_mut().zip(before).zip(narrow) {
            if before.to_bits() != after.to_bits() {
                *value = f64::from(after);
            }
        }
        if let Hook::AttnScores(_) = self.hook {
            let masked = values.iter_mut().filter(|value| **value <= f64::from(MASKED));
            masked.for_each(|value| *value = f64::NEG_INFINITY);
        }
        Ok(())
    }
}
