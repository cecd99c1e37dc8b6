//! Where the values of a parameter are in a file's tensor, for reading and writing.

use super::params::{Cut, Param, Shape};
use crate::config::{Config, Position};

/// The place of a parameter of [`rows`, `columns`] in a tensor.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// The tensor's shape.
    pub(super) in_file: Vec<usize>,
    /// Outputs.
    pub(super) rows: usize,
    /// Inputs.
    pub(super) columns: usize,
    /// Values that are contiguous in both: a row, or one value of a vector.
    pub(super) unit: usize,
    pub(super) order: Order,
    /// Added to each value of the file: 1 for gains that are stored as gain − 1.
    pub(super) offset: f32,
}

/// Where unit r is in the file's tensor.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// At unit `first + r`.
    Rows { first: usize },
    /// At column `first + r` of rows of `stride` values.
    Columns { first: usize, stride: usize },
    /// Heads whose rotated pairs are interleaved: unit (j, i) of a head's first `rotated` is at
    /// (i, j), with j in 0..2.
    Pairs { head: usize, rotated: usize },
    /// Query, key and value of one head, then of the next: unit r of a head is at `first + r` of
    /// three heads.
    Heads { head: usize, first: usize },
}

/// The place of unit `within` of a head whose rotated pairs are interleaved.
pub(super) fn paired(within: usize, rotated: usize) -> usize {
    if within < rotated { 2 * (within % (rotated / 2)) + within / (rotated / 2) } else { within }
}

impl Layout {
    /// The layout of a parameter in a tensor that is cut in this way.
    pub(super) fn of(param: Param, cut: Cut, config: &Config) -> Self {
        let shape = param.shape(config);
        let (queries, keys, hidden) = (config.q_width(), config.kv_width(), config.mlp.hidden());
        let (joined, first) = match param {
            Param::Gate | Param::GateBias => (2 * hidden, 0),
            Param::Up | Param::UpBias => (2 * hidden, hidden),
            Param::K | Param::KBias => (queries + 2 * keys, queries),
            Param::V | Param::VBias => (queries + 2 * keys, queries + keys),
            _ => (queries + 2 * keys, 0),
        };
        let in_file: Vec<usize> = match (shape, cut) {
            (Shape::Vector(_), Cut::Joined | Cut::JoinedTransposed | Cut::ByHead) => vec![joined],
            (Shape::Vector(n), _) => vec![n],
            (Shape::Matrix(rows, columns), Cut::Whole | Cut::Paired | Cut::MinusOne) => {
                vec![rows, columns]
            }
            (Shape::Matrix(rows, columns), Cut::Transposed) => vec![columns, rows],
            (Shape::Matrix(_, columns), Cut::Joined | Cut::ByHead) => vec![joined, columns],
            (Shape::Matrix(_, columns), Cut::JoinedTransposed) => vec![columns, joined],
        };
        let (rows, columns, unit) = match shape {
            Shape::Matrix(rows, columns) => (rows, columns, columns),
            Shape::Vector(columns) => (1, columns, 1),
        };
        let order = match (cut, shape, &config.position) {
            (Cut::Transposed, Shape::Matrix(..), _) => Order::Columns { first: 0, stride: rows },
            (Cut::JoinedTransposed, Shape::Matrix(..), _) => {
                Order::Columns { first, stride: joined }
            }
            (Cut::Joined | Cut::JoinedTransposed, ..) => Order::Rows { first },
            (Cut::Paired, _, Position::Rope(rope)) => {
                Order::Pairs { head: config.head_width, rotated: rope.rotated }
            }
            // There are as many key heads as query heads: the offset within three heads, over all
            // heads.
            (Cut::ByHead, ..) => {
                Order::Heads { head: config.head_width, first: first / config.heads }
            }
            _ => Order::Rows { first: 0 },
        };
        let offset = if cut == Cut::MinusOne { 1.0 } else { 0.0 };
        Self { in_file, rows, columns, unit, order, offset }
    }

    /// Whether rows of the parameter are not contiguous in the tensor.
    pub(super) fn takes_values_apart(&self, cut: Cut) -> bool {
        self.unit == 1 || matches!(cut, Cut::Transposed | Cut::JoinedTransposed)
    }

    /// Writes the parameter's values, row after row, to their places in the file's tensor.
    pub(super) fn scatter(&self, values: &[f32], tensor: &mut [f32]) {
        let unit = self.unit;
        for (r, values) in values.chunks_exact(unit).enumerate() {
            let place = match self.order {
                Order::Columns { first, stride } => {
                    let column = tensor.iter_mut().skip(first + r).step_by(stride);
                    column.zip(values).for_each(|(to, value)| *to = value - self.offset);
                    continue;
                }
                Order::Rows { first } => first + r,
                Order::Heads { head, first } => r / head * 3 * head + first + r % head,
                Order::Pairs { head, rotated } => r / head * head + paired(r % head, rotated),
            };
            let row = &mut tensor[place * unit..][..unit];
            row.iter_mut().zip(values).for_each(|(to, value)| *to = value - self.offset);
        }
    }
}
