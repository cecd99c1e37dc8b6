//! Matrices and vectors of a checkpoint on their way to the device: joined, repacked, and split under
//! the binding limit.

use std::ops::Range;

use crate::error::Result;
use crate::gpu::{BufferId, Engine, Tensor, padded};
use crate::names::Format;
use crate::ops::Weight;
use crate::weights::{Checkpoint, Matrix, Part, dequantize, planes, quantize};

use super::LoadOptions;

/// About how many bytes are read from a file at once.
const READ_BYTES: usize = 8 << 20;

/// After how many bytes the device takes what was written, so that staging memory stays bounded.
const FLUSH_BYTES: u64 = 64 << 20;

/// Puts matrices and vectors of a checkpoint on the device, or only gives them names.
pub(super) struct Loader<'a> {
    /// Without, weights get their names and their places but neither memory nor numbers.
    pub(super) engine: Option<&'a mut Engine>,
    /// The most bytes that a buffer may have.
    limit: u64,
    pub(super) checkpoint: &'a Checkpoint,
    options: LoadOptions,
    progress: &'a mut dyn FnMut(u64, u64),
    done: u64,
    total: u64,
    unflushed: u64,
}

/// How the rows of several matrices become the rows of one.
#[derive(Clone, Copy)]
pub(super) enum Join {
    /// One after another.
    Stack,
    /// Alternating.
    Alternate,
}

/// The bytes of all weights as they lie in the file.
fn file_bytes(checkpoint: &Checkpoint) -> Result<u64> {
    let mut bytes = 0;
    for part in Part::ALL {
        for layer in 0..if part.in_layer() { checkpoint.config().layers } else { 1 } {
            if checkpoint.has(part, layer) {
                let matrix = checkpoint.matrix(part, layer)?;
                bytes += matrix.row_bytes() as u64 * matrix.rows as u64;
            }
        }
    }
    Ok(bytes)
}

/// The format that a matrix will have on the device.
fn device_format(matrix: &Matrix, options: LoadOptions) -> Format {
    match options.quantize {
        Some(format) if matrix.columns.is_multiple_of(format.block()) => format,
        _ => matrix.format,
    }
}

impl<'a> Loader<'a> {
    /// One that fills an engine; `progress` hears bytes done and bytes in all.
    pub(super) fn new(
        engine: &'a mut Engine,
        checkpoint: &'a Checkpoint,
        options: LoadOptions,
        progress: &'a mut dyn FnMut(u64, u64),
    ) -> Result<Self> {
        let (limit, total) = (engine.gpu().caps().max_buffer_bytes(), file_bytes(checkpoint)?);
        let by_name = Self::by_name(limit, checkpoint, options, progress);
        Ok(Self { engine: Some(engine), total, ..by_name })
    }

    /// One that only gives names.
    pub(super) fn by_name(
        limit: u64,
        checkpoint: &'a Checkpoint,
        options: LoadOptions,
        progress: &'a mut dyn FnMut(u64, u64),
    ) -> Self {
        Self { engine: None, limit, checkpoint, options, progress, done: 0, total: 0, unflushed: 0 }
    }

    /// A whole table as f32: the learned positions.
    pub(super) fn table(&mut self, part: Part) -> Result<Tensor> {
        let matrix = self.checkpoint.matrix(part, 0)?;
        let values = self.values(&matrix)?;
        self.upload(matrix.rows, &values)
    }

    pub(super) fn vector(&mut self, part: Part, layer: usize) -> Result<Vec<f32>> {
        let matrix = self.checkpoint.matrix(part, layer)?;
        self.values(&matrix)
    }

    /// A whole matrix in f32; zeros where only names are wanted.
    fn values(&mut self, matrix: &Matrix) -> Result<Vec<f32>> {
        if self.engine.is_none() {
            return Ok(vec![0.0; matrix.rows * matrix.columns]);
        }
        self.count(matrix.row_bytes() as u64 * matrix.rows as u64);
        matrix.values(0..matrix.rows)
    }

    /// The biases of joined maps; zeros stand in where only some of them have one.
    pub(super) fn bias(
        &mut self,
        parts: &[Part],
        join: Join,
        layer: usize,
    ) -> Result<Option<Tensor>> {
        if !parts.iter().any(|&part| self.checkpoint.has(part, layer)) {
            return Ok(None);
        }
        let vectors =
            parts.iter().map(|&part| self.vector(part, layer)).collect::<Result<Vec<_>>>()?;
        let values: Vec<f32> = match join {
            Join::Stack => vectors.concat(),
            Join::Alternate => {
                (0..vectors[0].len()).flat_map(|i| vectors.iter().map(move |v| v[i])).collect()
            }
        };
        Ok(Some(self.upload(1, &values)?))
    }

    pub(super) fn upload(&mut self, rows: usize, values: &[f32]) -> Result<Tensor> {
        let tensor = Tensor::lasting(rows, values.len() / rows);
        if let Some(engine) = &mut self.engine {
            engine.create_tensor(&tensor)?;
            engine.write_tensor(&tensor, values)?;
        }
        Ok(tensor)
    }

    /// The format that a part will have on the device.
    pub(super) fn format(&self, part: Part, layer: usize) -> Result<Format> {
        Ok(device_format(&self.checkpoint.matrix(part, layer)?, self.options))
    }

    /// One weight from the rows of one or more matrices of the same format and width.
    pub(super) fn matrix(&mut self, parts: &[Part], join: Join, layer: usize) -> Result<Weight> {
        let format = self.format(parts[0], layer)?;
        let matrices = parts
            .iter()
            .map(|&part| self.checkpoint.matrix(part, layer))
            .collect::<Result<Vec<_>>>()?;
        let names: Vec<&str> = matrices.iter().map(|matrix| matrix.name.as_str()).collect();
        let columns = matrices[0].columns;
        let rows = matrices.iter().map(|matrix| matrix.rows).sum();
        let weight = Weight::named(&names.join("|"), format, rows, columns, self.limit);
        if self.engine.is_some() {
            self.fill(&weight, &matrices, join)?;
        }
        Ok(weight)
    }

    /// Makes a weight's planes and reads its rows into them, piece by piece.
    fn fill(&mut self, weight: &Weight, matrices: &[Matrix], join: Join) -> Result<()> {
        let (format, columns) = (weight.format, weight.columns);
        let plane_bytes = Weight::plane_bytes(format, columns);
        let step = (READ_BYTES / (padded(columns) * 4)).max(1).next_multiple_of(8);
        for part in &weight.parts {
            for (plane, bytes) in part.planes.iter().zip(&plane_bytes) {
                self.create(*plane, (bytes * part.rows.next_multiple_of(4)) as u64)?;
            }
            for start in (0..part.rows).step_by(step) {
                let count = step.min(part.rows - start);
                let from = part.first + start;
                let bytes = self.read(matrices, join, from..from + count, format)?;
                let packed = planes(format, columns, &bytes);
                for ((plane, bytes), data) in part.planes.iter().zip(&plane_bytes).zip(&packed) {
                    self.write(*plane, (bytes * start) as u64, data)?;
                }
            }
        }
        Ok(())
    }

    fn create(&mut self, id: BufferId, bytes: u64) -> Result<()> {
        self.engine.as_mut().map_or(Ok(()), |engine| engine.create(id, bytes))
    }

    fn write(&self, id: BufferId, offset: u64, bytes: &[u8]) -> Result<()> {
        self.engine.as_ref().map_or(Ok(()), |engine| engine.write(id, offset, bytes))
    }

    /// The bytes of some rows of the joined matrix, in `format`.
    fn read(
        &mut self,
        matrices: &[Matrix],
        join: Join,
        rows: Range<usize>,
        format: Format,
    ) -> Result<Vec<u8>> {
        let bytes = match join {
            Join::Stack => {
                let mut bytes = Vec::new();
                let mut first = 0;
                for matrix in matrices {
                    let from = rows.start.clamp(first, first + matrix.rows) - first;
                    let to = rows.end.clamp(first, first + matrix.rows) - first;
                    if from < to {
                        bytes.extend(self.convert(matrix, from..to, format)?);
                    }
                    first += matrix.rows;
                }
                bytes
            }
            Join::Alternate => {
                let half = rows.start / matrices.len()..rows.end / matrices.len();
                let pieces = matrices
                    .iter()
                    .map(|matrix| self.convert(matrix, half.clone(), format))
                    .collect::<Result<Vec<_>>>()?;
                let row = format.row_bytes(matrices[0].columns);
                (0..half.len())
                    .flat_map(|i| pieces.iter().flat_map(move |p| &p[i * row..(i + 1) * row]))
                    .copied()
                    .collect()
            }
        };
        Ok(bytes)
    }

    /// The bytes of some rows of one matrix, in `format`.
    fn convert(&mut self, matrix: &Matrix, rows: Range<usize>, format: Format) -> Result<Vec<u8>> {
        let bytes = matrix.read(rows)?;
        self.count(bytes.len() as u64);
        if self.unflushed >= FLUSH_BYTES {
            self.unflushed = 0;
            if let Some(engine) = &self.engine {
                engine.flush()?;
            }
        }
        if matrix.format == format {
            return Ok(bytes);
        }
        quantize(format, &dequantize(matrix.format, &bytes))
    }

    fn count(&mut self, bytes: u64) {
        self.done += bytes;
        self.unflushed += bytes;
        (self.progress)(self.done, self.total);
    }
}
