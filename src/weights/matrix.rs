//! One weight as the forward page sees it: plain [out, in] rows, whatever the file's layout.

use std::ops::Range;
use std::sync::Arc;

use super::blocks::{dequantize, finite};
use super::parts::{Cut, Part, Shape};
use super::source::{Entry, Source, room};
use crate::config::{Config, Position};
use crate::error::{Error, Result};
use crate::names::Format;

/// A weight that lies in a file and is read on demand: y = W x with W of [rows, columns].
///
/// Vectors (gains and biases) are one row.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// The tensor's name in its file.
    pub name: String,
    /// How its numbers are stored.
    pub format: Format,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub columns: usize,
    source: Arc<Source>,
    /// Of the file's whole tensor.
    offset: u64,
    /// Values that stay together: a row, or one value of a vector.
    unit: usize,
    order: Order,
    /// What the file has left out of each value.
    missing: f32,
}

/// Where unit r lies in the file's tensor.
#[derive(Clone, Copy, Debug)]
enum Order {
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

impl Matrix {
    /// Finds `part` in the file's tensor, whose shape and type must be what `config` asks for.
    pub(super) fn new(
        name: String,
        entry: &Entry,
        part: Part,
        cut: Cut,
        config: &Config,
    ) -> Result<Self> {
        let bad = |reason| Error::tensor(entry.source.path(), name.as_str(), reason);
        let shape = part.shape(config);
        let (queries, keys, hidden) = (config.q_width(), config.kv_width(), config.mlp.hidden());
        let (joined, first) = match part {
            Part::Gate | Part::GateBias => (2 * hidden, 0),
            Part::Up | Part::UpBias => (2 * hidden, hidden),
            Part::K | Part::KBias => (queries + 2 * keys, queries),
            Part::V | Part::VBias => (queries + 2 * keys, queries + keys),
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
        if !entry.shape.iter().copied().eq(in_file.iter().map(|&n| n as u64)) {
            return Err(bad(format!(
                "its shape is {:?}, but the configuration asks for {in_file:?}",
                entry.shape
            )));
        }
        let format = entry.format.ok_or_else(|| {
            bad(format!(
                "its type {} is not supported; supported: F32, F16, BF16, and in GGUF Q8_0, Q4_0, Q4_1, \
                 Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K",
                entry.kind
            ))
        })?;
        let (rows, columns, unit) = match shape {
            Shape::Map(rows, columns) => (rows, columns, columns),
            Shape::Vector(columns) => (1, columns, 1),
        };
        let whole_values = matches!(shape, Shape::Vector(_))
            || matches!(cut, Cut::Transposed | Cut::JoinedTransposed);
        if whole_values && format.block() != 1 {
            return Err(bad(format!("its type is {}, but only floats serve here", entry.kind)));
        }
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
        let (source, offset) = (Arc::clone(&entry.source), entry.offset);
        Ok(Self { name, format, rows, columns, source, offset, unit, order, missing })
    }

    /// The bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.format.row_bytes(self.columns)
    }

    /// The bytes of some rows in the file's format, row after row; of a gain that the file holds
    /// less one, these are the file's.
    ///
    /// Fails where the file cannot be read any more, or holds a value, scale or minimum that is
    /// not finite.
    pub fn read(&self, rows: Range<usize>) -> Result<Vec<u8>> {
        if rows.start > rows.end || rows.end > self.rows {
            return Err(self.bad(format!("has {} rows, but {rows:?} were asked for", self.rows)));
        }
        let per_row = self.columns / self.unit;
        let bytes = self.read_units(rows.start * per_row..rows.end * per_row)?;
        if finite(self.format, &bytes) {
            return Ok(bytes);
        }
        Err(self.bad("holds a value that is infinite or not a number".to_owned()))
    }

    /// The values of some rows, row after row.
    ///
    /// Fails as [`read`](Self::read) does.
    pub fn values(&self, rows: Range<usize>) -> Result<Vec<f32>> {
        let mut values = dequantize(self.format, &self.read(rows)?);
        values.iter_mut().for_each(|value| *value += self.missing);
        Ok(values)
    }

    fn bad(&self, reason: String) -> Error {
        Error::tensor(self.source.path(), self.name.as_str(), reason)
    }

    /// Reads from the `index`-th piece of `size` bytes on; it lies inside the tensor, whose place
    /// was checked when the file was opened.
    fn read_at(&self, index: usize, size: usize, buffer: &mut [u8]) -> Result<()> {
        self.source.read_at(self.offset + index as u64 * size as u64, buffer)
    }

    fn read_units(&self, units: Range<usize>) -> Result<Vec<u8>> {
        let unit = self.format.row_bytes(self.unit);
        let mut out = room(units.len(), unit, self.source.path(), &self.name)?;
        match self.order {
            Order::Rows { first } => self.read_at(first + units.start, unit, &mut out)?,
            Order::Columns { first, stride } => {
                // One row of the file gives one value to each row of ours.
                let size = self.format.block_bytes();
                let mut segment = room(units.len(), size, self.source.path(), &self.name)?;
                for column in 0..self.columns {
                    let start = column * stride + first + units.start;
                    self.read_at(start, size, &mut segment)?;
                    for (row, value) in out.chunks_exact_mut(unit).zip(segment.chunks_exact(size)) {
                        row[column * size..][..size].copy_from_slice(value);
                    }
                }
            }
            Order::Heads { head, first } => {
                let mut row = units.start;
                while row < units.end {
                    let end = (row / head * head + head).min(units.end);
                    let to = (row - units.start) * unit..(end - units.start) * unit;
                    self.read_at(row / head * 3 * head + first + row % head, unit, &mut out[to])?;
                    row = end;
                }
            }
            Order::Pairs { head, rotated } => {
                let mut whole_head = room(head, unit, self.source.path(), &self.name)?;
                let mut held = None;
                for (row, to) in units.zip(out.chunks_exact_mut(unit)) {
                    if held != Some(row / head) {
                        self.read_at(row / head * head, unit, &mut whole_head)?;
                        held = Some(row / head);
                    }
                    let within = row % head;
                    let from = if within < rotated {
                        2 * (within % (rotated / 2)) + within / (rotated / 2)
                    } else {
                        within
                    };
                    to.copy_from_slice(&whole_head[from * unit..][..unit]);
                }
            }
        }
        Ok(out)
    }
}
