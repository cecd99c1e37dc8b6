//! Where the values of a part lie in a file's tensor, to read them and to write them.

use super::params::{Cut, Param, Shape};
use crate::config::{Config, Position};

/// How a part of [`rows`, `columns`] lies in a tensor.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// The tensor's shape.
    pub(super) in_file: Vec<usize>,
    /// Outputs.
    pub(super) rows: usize,
    /// Inputs.
    pub(super) columns: usize,
    /// Values that stay together: a row, or one value of a vector.
    pub(super) unit: usize,
    pub(super) order: Order,
    /// What the file has left out of each value.
    pub(super) missing: f32,
}

/// Where unit r lies in the file's tensor.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// At unit `first + r`.
    Rows { first: usize },
    /// At column `first + r` of rows of `stride` values.
    Columns { first: usize, stride: usize },
    /// Heads whose rotated pairs lie side by side: unit (j, i) of a head's first `rotated` is at
    /// (i, j), with j in 0..2.
    Pairs { head: usize, rotated: usize },
    /// Heads of three such parts in turn: unit r of a head is at `first + r` of three heads.
    Heads { head: usize, first: usize },
}

/// Where unit `within` of a head lies whose rotated pairs lie side by side.
pub(super) fn paired(within: usize, rotated: usize) -> usize {
    if within < rotated { 2 * (within % (rotated / 2)) + within / (rotated / 2) } else { within }
}

impl Layout {
    /// How a part lies in a tensor that is cut so.
    pub(super) fn of(part: Param, cut: Cut, config: &Config) -> Self {
        let shape = part.shape(config);
        let (queries, keys, hidden) = (config.q_width(), config.kv_width(), config.mlp.hidden());
        let (joined, first) = match part {
            Param::Gate | Param::GateBias => (2 * hidden, 0),
            Param::Up | Param::UpBias => (2 * hidden, hidden),
            Param::K | Param::KBias => (queries + 2 * keys, queries),
            Param::V | Param::VBias => (queries + 2 * keys, queries + keys),
            _ => (queries + 2 * keys, 0),
        };
        let in_file: Vec<usize> = match (shape, cut) {
            (Shape::Vector(_), Cut::Joined | Cut::JoinedTransposed | Cut::ByHead) => vec![joined],
            (Shape::Vector(n), _) => vec![n],
            (Shape::Map(rows, columns), Cut::Whole | Cut::Paired | Cut::LessOne) => {
                vec![rows, columns]
            }
            (Shape::Map(rows, columns), Cut::Transposed) => vec![columns, rows],
            (Shape::Map(_, columns), Cut::Joined | Cut::ByHead) => vec![joined, columns],
            (Shape::Map(_, columns), Cut::JoinedTransposed) => vec![columns, joined],
        };
        let (rows, columns, unit) = match shape {
            Shape::Map(rows, columns) => (rows, columns, columns),
            Shape::Vector(columns) => (1, columns, 1),
        };
        let order = match (cut, shape, &config.position) {
            (Cut::Transposed, Shape::Map(..), _) => Order::Columns { first: 0, stride: rows },
            (Cut::JoinedTransposed, Shape::Map(..), _) => Order::Columns { first, stride: joined },
            (Cut::Joined | Cut::JoinedTransposed, ..) => Order::Rows { first },
            (Cut::Paired, _, Position::Rope(rope)) => {
                Order::Pairs { head: config.head_width, rotated: rope.rotated }
            }
            // As many heads of keys as of queries: what comes first of the joined, over all heads.
            (Cut::ByHead, ..) => {
                Order::Heads { head: config.head_width, first: first / config.heads }
            }
            _ => Order::Rows { first: 0 },
        };
        let missing = if cut == Cut::LessOne { 1.0 } else { 0.0 };
        Self { in_file, rows, columns, unit, order, missing }
    }

    /// Whether the part's values do not lie in the tensor by whole rows.
    pub(super) fn takes_values_apart(&self, cut: Cut) -> bool {
        self.unit == 1 || matches!(cut, Cut::Transposed | Cut::JoinedTransposed)
    }

    /// Puts the part's values, row after row, into their places of the file's tensor.
    pub(super) fn scatter(&self, values: &[f32], tensor: &mut [f32]) {
        let unit = self.unit;
        for (r, values) in values.chunks_exact(unit).enumerate() {
            let place = match self.order {
                Order::Columns { first, stride } => {
                    let column = tensor.iter_mut().skip(first + r).step_by(stride);
                    column.zip(values).for_each(|(to, value)| *to = value - self.missing);
                    continue;
                }
                Order::Rows { first } => first + r,
                Order::Heads { head, first } => r / head * 3 * head + first + r % head,
                Order::Pairs { head, rotated } => r / head * head + paired(r % head, rotated),
            };
            let row = &mut tensor[place * unit..][..unit];
            row.iter_mut().zip(values).for_each(|(to, value)| *to = value - self.missing);
        }
    }
}
