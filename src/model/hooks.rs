//! Which named values a model has, their shapes, and what can be done with them.

use std::ops::Range;

use crate::config::{Config, Mlp, Position};
use crate::error::{Error, Result};
use crate::gpu::Tensor;
use crate::hook::{Hook, Need, Size};
use crate::ops::{Columns, MASKED};

/// What to do with a named value during a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Return it; if the same value is edited, as the edits leave it.
    Read,
    /// Change it before anything uses it.
    Edit(Edit),
}

/// A change of a named value, or of some of its rows and columns.
///
/// A value is seen as one row per token, with everything after T in its shape as columns: head h of
/// [`Hook::Z`] is the columns h·D to (h + 1)·D. Scores and pattern have H·T rows of S columns: head
/// h is the rows h·T to (h + 1)·T.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// What happens to the values.
    pub change: Change,
    /// The rows that change; all if `None`.
    pub rows: Option<Range<usize>>,
    /// The columns that change; all if `None`.
    pub columns: Option<Range<usize>>,
}

/// The kinds of change. A tensor has one value for each value that changes, row by row, or one row
/// for all rows.
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
}

/// An [`Edit`] in the form of the kernel: x = scale · x + add.
#[derive(Debug)]
pub(super) struct Affine {
    pub(super) x: Columns,
    pub(super) rows: Range<usize>,
    pub(super) scale: f32,
    /// One row for all, or as many as `rows`.
    pub(super) add: Tensor,
    /// The values of `add`.
    pub(super) values: Vec<f32>,
}

impl Edit {
    /// An edit of the whole value.
    pub fn all(change: Change) -> Self {
        Self { change, rows: None, columns: None }
    }

    /// This edit, applied to the value in `x`.
    ///
    /// # Errors
    /// [`Error::Input`], naming the hook, for rows or columns that the value does not have, for a
    /// number of values that fits neither the region nor one row of it, and for values that are not
    /// finite.
    pub(super) fn affine(&self, hook: Hook, x: Columns) -> Result<Affine> {
        let rows = self.rows.clone().unwrap_or(0..x.of.rows);
        let columns = self.columns.clone().unwrap_or(0..x.count);
        let inside = |range: &Range<usize>, count| range.start <= range.end && range.end <= count;
        if !inside(&rows, x.of.rows) || !inside(&columns, x.count) {
            return Err(Error::Input(format!(
                "{hook} has {} rows of {} values here; the edit is of rows {rows:?}, columns {columns:?}",
                x.of.rows, x.count
            )));
        }
        let (scale, values) = match &self.change {
            Change::Zero => (0.0, vec![0.0; columns.len()]),
            Change::Scale(factor) => (*factor, vec![0.0; columns.len()]),
            Change::Add(values) => (1.0, values.clone()),
            Change::Replace(values) => (0.0, values.clone()),
        };
        let count = if values.len() == columns.len() { 1 } else { rows.len() };
        if values.len() != count * columns.len() {
            return Err(Error::Input(format!(
                "{} values for {} rows and {} columns of {hook}",
                values.len(),
                rows.len(),
                columns.len()
            )));
        }
        let scores = matches!(hook, Hook::AttnScores(_));
        let finite = |value: f32| match value {
            f32::NEG_INFINITY if scores => Some(MASKED),
            value => value.is_finite().then_some(value),
        };
        let values: Option<Vec<f32>> = values.into_iter().map(finite).collect();
        let values = values.filter(|_| scale.is_finite()).ok_or_else(|| {
            Error::Input(format!("an edit of {hook} has a value that is not finite"))
        })?;
        Ok(Affine {
            x: Columns { start: x.start + columns.start * x.step, count: columns.len(), ..x },
            rows,
            scale,
            add: Tensor::persistent(count, columns.len()),
            values,
        })
    }
}

/// The values that a model of this kind has, in the order of the forward pass.
pub fn hooks(config: &Config) -> Vec<Hook> {
    let all = Hook::all(config.layers).into_iter();
    all.filter(|hook| offered(config, *hook).is_ok()).collect()
}

/// Whether a model of this kind has a value.
///
/// # Errors
/// [`Error::Input`], naming the hook and saying why there is no such value.
pub fn offered(config: &Config, hook: Hook) -> Result<()> {
    let refuse = |why: &str| Err(Error::Input(format!("this model has no {hook}: {why}")));
    if hook.layer().is_some_and(|layer| layer >= config.layers) {
        return refuse(&format!("it has {} layers, counted from 0", config.layers));
    }
    let lacking = hook.point().needs().iter().find_map(|need| lacking(config, *need));
    lacking.map_or(Ok(()), refuse)
}

/// Why a model of this kind lacks what a value needs, or `None`.
fn lacking(config: &Config, need: Need) -> Option<&'static str> {
    let rotary = matches!(config.position, Position::Rope(_));
    let (has, why) = match need {
        Need::LearnedPositions => {
            (!rotary, "it rotates queries and keys instead of adding positions")
        }
        Need::Rotation => {
            (rotary, "it adds learned positions instead of rotating queries and keys")
        }
        Need::Mlp => (config.mlp != Mlp::None, "its layers have attention only"),
        Need::Gate => (config.mlp.gated(), "its MLP has no gate, and so no factor next to it"),
        Need::Serial => (
            !config.parallel,
            "attention and MLP read the same stream in parallel, so there is none between them",
        ),
        Need::NormAfterAttention => {
            (config.post_norms, "the output of attention is added without a norm")
        }
        Need::NormAfterMlp => (config.post_norms, "the output of the MLP is added without a norm"),
    };
    (!has).then_some(why)
}

/// The shape of a value over some rows, the furthest of which sees `keys` keys.
pub(super) fn shape(config: &Config, hook: Hook, rows: usize, keys: usize) -> Vec<usize> {
    let size = |size: &Size| match size {
        Size::One => 1,
        Size::T => rows,
        Size::C => config.width,
        Size::H => config.heads,
        Size::K => config.kv_heads,
        Size::D => config.head_width,
        Size::F => config.mlp.hidden(),
        Size::S => keys,
    };
    hook.point().shape().iter().map(size).collect()
}
