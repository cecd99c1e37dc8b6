//! One weight as the forward page sees it: row-major [out, in], independent of the file's layout.

use std::ops::Range;
use std::sync::Arc;

use super::format::blocks::{dequantize, finite, quantize};
use super::layout::{Layout, Order, paired};
use super::params::{Cut, Param};
use super::source::{Entry, Source, room};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::format::Format;

/// A weight in a file, which is read on demand: y = W x with W of [rows, columns].
///
/// Vectors (gains and biases) are one row.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// The tensor's name in its file.
    pub name: String,
    /// The format of its numbers.
    pub format: Format,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub columns: usize,
    /// Which parameter it is.
    pub(super) param: Param,
    source: Arc<Source>,
    /// The entry of the whole tensor in the file.
    offset: u64,
    layout: Layout,
}

impl Matrix {
    /// Finds `param` in the file's tensor, whose shape and type must be what `config` asks for.
    pub(super) fn new(
        name: String,
        entry: &Entry,
        param: Param,
        cut: Cut,
        config: &Config,
    ) -> Result<Self> {
        let name = entry.stored_as.clone().unwrap_or(name);
        let bad = |reason| Error::tensor(entry.source.path(), name.as_str(), reason);
        let layout = Layout::of(param, cut, config);
        let in_file = &layout.in_file;
        if !entry.shape.iter().copied().eq(in_file.iter().map(|&n| n as u64)) {
            return Err(bad(format!(
                "its shape is {:?}, but the configuration asks for {in_file:?}",
                entry.shape
            )));
        }
        let unreadable = || bad(format!("its type {} is not supported", entry.kind));
        let format = entry.format.ok_or_else(unreadable)?;
        if layout.takes_values_apart(cut) && format.block() != 1 {
            return Err(bad(format!("its type is {}, but it must be a float type", entry.kind)));
        }
        let (rows, columns) = (layout.rows, layout.columns);
        let (source, offset) = (Arc::clone(&entry.source), entry.offset);
        Ok(Self { name, format, rows, columns, param, source, offset, layout })
    }

    /// The bytes of one row in the file's format.
    pub fn row_bytes(&self) -> usize {
        self.format.row_bytes(self.columns)
    }

    /// The bytes of some rows in the file's format, row after row. A gain that is stored as gain −
    /// 1 is returned as it is stored.
    ///
    /// # Errors
    /// Those of reading the file, and [`Error::Tensor`] if a value, scale or minimum is not finite.
    pub fn read(&self, rows: Range<usize>) -> Result<Vec<u8>> {
        if rows.start > rows.end || rows.end > self.rows {
            return Err(self.bad(format!("has {} rows, but {rows:?} were requested", self.rows)));
        }
        let per_row = self.columns / self.layout.unit;
        let bytes = self.read_units(rows.start * per_row..rows.end * per_row)?;
        if finite(self.format, &bytes) {
            return Ok(bytes);
        }
        Err(self.bad("holds a value that is infinite or NaN".to_owned()))
    }

    /// The values of some rows, row after row: (rows, columns).
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn values(&self, rows: Range<usize>) -> Result<Vec<f32>> {
        Ok(self.values_of(&self.read(rows)?))
    }

    /// The values that bytes from [`read`](Self::read) stand for.
    pub(crate) fn values_of(&self, bytes: &[u8]) -> Vec<f32> {
        let mut values = dequantize(self.format, bytes);
        values.iter_mut().for_each(|value| *value += self.layout.offset);
        values
    }

    /// Bytes from [`read`](Self::read) in another format.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a format that is only read, and [`Error::Tensor`] if a value, or the
    /// scale of a block, is too large for the format: most of them hold f16 numbers.
    pub(crate) fn quantized(&self, bytes: &[u8], format: Format) -> Result<Vec<u8>> {
        let values = dequantize(self.format, bytes);
        let quantized = quantize(format, &values)?;
        if finite(format, &quantized) {
            return Ok(quantized);
        }
        let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        Err(self.bad(format!(
            "holds values up to {largest:e}, which are too large for {format}; load it in its own format, {}",
            self.format
        )))
    }

    fn bad(&self, reason: String) -> Error {
        Error::tensor(self.source.path(), self.name.as_str(), reason)
    }

    /// Reads from the `index`-th piece of `size` bytes on. It is inside the tensor, whose place was
    /// checked when the file was opened.
    fn read_at(&self, index: usize, size: usize, buffer: &mut [u8]) -> Result<()> {
        self.source.read_at(self.offset + index as u64 * size as u64, buffer)
    }

    fn read_units(&self, units: Range<usize>) -> Result<Vec<u8>> {
        let unit = self.format.row_bytes(self.layout.unit);
        let mut out = room(units.len(), unit, self.source.path(), &self.name)?;
        match self.layout.order {
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
                    let from = paired(row % head, rotated);
                    to.copy_from_slice(&whole_head[from * unit..][..unit]);
                }
            }
        }
        Ok(out)
    }
}
