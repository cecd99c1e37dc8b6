//! Which values of a hook an edit changes.

use std::ops::Range;

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, Tensor, params};
use crate::select::part;

use super::columns::Columns;
use super::op::{check_shape, to_u32};

/// The part of a hook's value that an edit changes.
///
/// A value has T rows with the heads next to each other, (T, H·W), or, for scores and patterns, a
/// block of T rows for each head, (H·T, W). A value without heads has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The positions whose rows change.
    pub positions: Range<u32>,
    /// The sequence whose rows change; all if `None`.
    pub sequence: Option<u32>,
    /// The heads that change.
    pub heads: Range<usize>,
    /// The values of each head that change.
    pub columns: Range<usize>,
    /// How the heads lie.
    pub layout: HeadLayout,
}

/// How the heads of a value lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadLayout {
    /// Next to each other in each row, each this wide.
    InColumns(usize),
    /// One after another, each a block of this many rows.
    InRows(usize),
}

/// What an edit takes from a tensor: its values by position, head and column.
#[derive(Clone, Copy, Debug)]
pub struct Operand {
    /// (P·H, W): a row for each position, or one; within that for each head, or one; and a column
    /// for each that changes, or one.
    pub values: Tensor,
    /// Whether each position has values of its own.
    pub by_position: bool,
    /// Whether each head has values of its own.
    pub by_head: bool,
}

params! {
    pub(super) struct Params {
        rows: u32,
        row: u32,
        stride: u32,
        start: u32,
        step: u32,
        head_step: u32,
        heads: u32,
        columns: u32,
        first: u32,
        end: u32,
        sequence: u32,
        operand_position: u32,
        operand_head: u32,
        operand_column: u32,
        scale: f32,
    }
}

/// An edit's kernel, and what it is bound to.
pub(super) struct Change<'a> {
    pub(super) op: &'static str,
    pub(super) program: Program,
    /// (T): token, position, sequence and step of each row.
    pub(super) rows: BufferId,
    pub(super) x: Columns,
    pub(super) region: &'a Region,
    pub(super) operand: &'a Operand,
    pub(super) scale: f32,
}

impl Change<'_> {
    /// Appends the kernel. `grid` is made from the heads of a row, the columns and the rows.
    pub(super) fn record(
        self,
        recording: &mut Recording,
        grid: fn([u32; 3]) -> [u32; 3],
    ) -> Result<()> {
        let Self { op, program, rows, x, region, operand, scale } = self;
        let Region { heads, columns, .. } = region;
        let (row_heads, tokens, all, width) = match region.layout {
            HeadLayout::InColumns(width) => (heads.len(), x.of.rows, x.count / width.max(1), width),
            HeadLayout::InRows(tokens) => (1, tokens, x.of.rows / tokens.max(1), x.count),
        };
        let per_head = if operand.by_head { heads.len() } else { 1 };
        let positions = if operand.by_position { region.positions.len() } else { 1 };
        let fits = x.end() <= x.of.columns
            && tokens > 0
            && heads.start < heads.end
            && heads.end <= all
            && columns.start < columns.end
            && columns.end <= width
            && operand.values.rows == positions * per_head
            && (operand.values.columns == 1 || operand.values.columns >= columns.len());
        check_shape(fits, op, || {
            format!(
                "{} x {} values for heads {heads:?} and columns {columns:?} of {all} heads of {width}",
                operand.values.rows, operand.values.columns
            )
        })?;
        let in_rows = matches!(region.layout, HeadLayout::InRows(_));
        let stride = operand.values.stride();
        let params = Params {
            rows: to_u32(tokens),
            row: if in_rows { to_u32(heads.start * tokens) } else { 0 },
            stride: to_u32(x.of.stride()),
            start: to_u32(
                x.start + x.step * (columns.start + if in_rows { 0 } else { heads.start * width }),
            ),
            step: to_u32(x.step),
            head_step: to_u32(width * x.step),
            heads: to_u32(row_heads),
            columns: to_u32(columns.len()),
            first: region.positions.start,
            end: region.positions.end,
            sequence: region.sequence.unwrap_or(u32::MAX),
            operand_position: if operand.by_position { to_u32(per_head * stride) } else { 0 },
            operand_head: if operand.by_head { to_u32(stride) } else { 0 },
            operand_column: u32::from(operand.values.columns > 1),
            scale,
        };
        let count = if in_rows { tokens * heads.len() } else { tokens };
        recording
            .dispatch(program.part(part("region")), &params)
            .read(0, rows)
            .read(0, operand.values.buffer)
            .write(0, x.of.buffer)
            .grid(grid([params.heads, params.columns, to_u32(count)]));
        Ok(())
    }
}
