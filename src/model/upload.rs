//! How tensors get onto the device: joined, repacked, and split under the binding limit. Without a
//! device they get names and shapes, but neither memory nor values.

use std::ops::Range;

use crate::checkpoint::{Checkpoint, Matrix, Param, WeightsHash, planes};
use crate::config::Config;
use crate::error::Result;
use crate::format::Format;
use crate::gpu::{Engine, Tensor, padded};
use crate::ops::Weight;

/// About how many bytes to read from a file at once.
const READ_BYTES: usize = 8 << 20;

/// Pending writes are flushed after this many bytes, so that staging memory stays bounded.
const FLUSH_BYTES: u64 = 64 << 20;

/// How to load.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions {
    /// Store every matrix whose width is a multiple of 32 in this format instead of the file's:
    /// loading fails if [`quantize`](crate::checkpoint::quantize) cannot write it.
    pub quantize: Option<Format>,
}

/// Where the tensors come from.
pub(super) enum Source<'a> {
    /// The files of a checkpoint.
    Files { checkpoint: &'a Checkpoint, options: LoadOptions },
    /// Sizes only; every matrix that fills whole blocks is in this format, any other in f32.
    Sizes { config: &'a Config, format: Format },
}

/// What is known of a matrix before it is read.
struct MatrixInfo {
    name: String,
    format: Format,
    rows: usize,
    columns: usize,
}

/// How the rows of several matrices become the rows of one.
#[derive(Clone, Copy)]
pub(super) enum Join {
    /// One after another.
    Stack,
    /// Alternating.
    Alternate,
}

impl Source<'_> {
    fn has(&self, part: Param, layer: usize) -> bool {
        match self {
            Self::Files { checkpoint, .. } => checkpoint.has(part, layer),
            Self::Sizes { config, .. } => part.belongs_to(config),
        }
    }

    fn info(&self, part: Param, layer: usize) -> Result<MatrixInfo> {
        match *self {
            Self::Files { checkpoint, options } => {
                let Matrix { name, format, rows, columns, .. } = checkpoint.matrix(part, layer)?;
                let format = match options.quantize {
                    Some(other) if columns.is_multiple_of(other.block()) => other,
                    _ => format,
                };
                Ok(MatrixInfo { name, format, rows, columns })
            }
            Self::Sizes { config, format } => {
                let [rows, columns] = part.size(config);
                let whole = columns.is_multiple_of(format.block());
                let format = if whole { format } else { Format::F32 };
                Ok(MatrixInfo { name: format!("{layer}.{part:?}"), format, rows, columns })
            }
        }
    }
}

/// The tensors of a model: names, and their values if there is a device.
pub(super) struct Tensors<'a> {
    source: Source<'a>,
    /// The most bytes that a buffer may have.
    limit: u64,
    upload: Option<Upload<'a>>,
}

impl<'a> Tensors<'a> {
    /// Tensors that exist by name only, in buffers of at most `limit` bytes.
    pub(super) fn named(source: Source<'a>, limit: u64) -> Self {
        Self { source, limit, upload: None }
    }

    /// Tensors that are filled from a checkpoint; `progress` is called with the bytes done and the
    /// total.
    pub(super) fn uploaded(
        engine: &'a mut Engine,
        checkpoint: &'a Checkpoint,
        options: LoadOptions,
        progress: &'a mut dyn FnMut(u64, u64),
    ) -> Result<Self> {
        let limit = engine.gpu().caps().max_buffer_bytes();
        let total = file_bytes(checkpoint)?;
        let hash = WeightsHash::default();
        let upload = Upload { engine, checkpoint, progress, done: 0, total, unflushed: 0, hash };
        let source = Source::Files { checkpoint, options };
        Ok(Self { source, limit, upload: Some(upload) })
    }

    /// The format that a matrix will have on the device.
    pub(super) fn format(&self, part: Param, layer: usize) -> Result<Format> {
        Ok(self.source.info(part, layer)?.format)
    }

    /// One weight from the rows of one or more matrices of the same format and width.
    pub(super) fn matrix(&mut self, parts: &[Param], join: Join, layer: usize) -> Result<Weight> {
        let known = parts.iter().map(|&part| self.source.info(part, layer));
        let known = known.collect::<Result<Vec<_>>>()?;
        let names: Vec<&str> = known.iter().map(|known| known.name.as_str()).collect();
        let rows = known.iter().map(|known| known.rows).sum();
        let (format, columns) = (known[0].format, known[0].columns);
        let weight = Weight::named(&names.join("|"), format, rows, columns, self.limit);
        if let Some(upload) = &mut self.upload {
            upload.matrix(&weight, parts, join, layer)?;
        }
        Ok(weight)
    }

    /// A whole table as f32: the learned positions.
    pub(super) fn table(&mut self, part: Param) -> Result<Tensor> {
        let MatrixInfo { rows, columns, .. } = self.source.info(part, 0)?;
        let tensor = Tensor::persistent(rows, columns);
        self.fill(&tensor, &[part], Join::Stack, 0)
    }

    /// Vectors of one width as the rows of a tensor.
    pub(super) fn vectors(&mut self, parts: &[Param], layer: usize) -> Result<Tensor> {
        let MatrixInfo { columns, .. } = self.source.info(parts[0], layer)?;
        self.fill(&Tensor::persistent(parts.len(), columns), parts, Join::Stack, layer)
    }

    /// The biases of joined projections in one row; `None` if none has one.
    pub(super) fn bias(
        &mut self,
        parts: &[Param],
        join: Join,
        layer: usize,
    ) -> Result<Option<Tensor>> {
        if !parts.iter().any(|&part| self.source.has(part, layer)) {
            return Ok(None);
        }
        let mut columns = 0;
        for &part in parts {
            columns += self.source.info(part, layer)?.columns;
        }
        self.fill(&Tensor::persistent(1, columns), parts, join, layer).map(Some)
    }

    fn fill(
        &mut self,
        tensor: &Tensor,
        parts: &[Param],
        join: Join,
        layer: usize,
    ) -> Result<Tensor> {
        if let Some(upload) = &mut self.upload {
            upload.tensor(tensor, parts, join, layer)?;
        }
        Ok(*tensor)
    }

    /// The hash of everything that was read, as the files have it; `None` without a device.
    pub(super) fn hash(&self) -> Option<String> {
        self.upload.as_ref().map(|upload| upload.hash.value())
    }

    /// Flushes pending writes to the device.
    pub(super) fn flush(&self) -> Result<()> {
        self.upload.as_ref().map_or(Ok(()), |upload| upload.engine.flush())
    }
}

/// The bytes of all weights in the file.
fn file_bytes(checkpoint: &Checkpoint) -> Result<u64> {
    let mut bytes = 0;
    for part in Param::ALL {
        for layer in 0..if part.in_layer() { checkpoint.config().layers } else { 1 } {
            if checkpoint.has(part, layer) {
                let matrix = checkpoint.matrix(part, layer)?;
                bytes += matrix.row_bytes() as u64 * matrix.rows as u64;
            }
        }
    }
    Ok(bytes)
}

/// The upload of a checkpoint to an engine.
struct Upload<'a> {
    engine: &'a mut Engine,
    checkpoint: &'a Checkpoint,
    progress: &'a mut dyn FnMut(u64, u64),
    done: u64,
    total: u64,
    unflushed: u64,
    /// Of what has passed, so that no file is read twice.
    hash: WeightsHash,
}

impl Upload<'_> {
    /// Creates a tensor and writes the f32 values of some parameters into it.
    fn tensor(&mut self, tensor: &Tensor, parts: &[Param], join: Join, layer: usize) -> Result<()> {
        let vectors: Vec<Vec<f32>> =
            parts.iter().map(|&part| self.values(part, layer)).collect::<Result<_>>()?;
        let values: Vec<f32> = match join {
            Join::Stack => vectors.concat(),
            Join::Alternate => {
                (0..vectors[0].len()).flat_map(|i| vectors.iter().map(move |v| v[i])).collect()
            }
        };
        self.engine.create_tensor(tensor)?;
        self.engine.write_tensor(tensor, &values)
    }

    fn values(&mut self, part: Param, layer: usize) -> Result<Vec<f32>> {
        let matrix = self.checkpoint.matrix(part, layer)?;
        self.count(matrix.row_bytes() as u64 * matrix.rows as u64);
        let bytes = matrix.read(0..matrix.rows)?;
        self.hash.add(&matrix, &bytes);
        Ok(matrix.values_of(&bytes))
    }

    /// Creates a weight's planes and fills them with the rows of some parameters.
    fn matrix(&mut self, weight: &Weight, parts: &[Param], join: Join, layer: usize) -> Result<()> {
        let checkpoint = self.checkpoint;
        let matrices: Vec<Matrix> =
            parts.iter().map(|&part| checkpoint.matrix(part, layer)).collect::<Result<_>>()?;
        self.fill(weight, &matrices, join)
    }

    /// Creates a weight's planes and reads its rows into them, piece by piece.
    fn fill(&mut self, weight: &Weight, matrices: &[Matrix], join: Join) -> Result<()> {
        let (format, columns) = (weight.format, weight.columns);
        let plane_bytes = Weight::plane_bytes(format, columns);
        let step = (READ_BYTES / (padded(columns) * 4)).max(1).next_multiple_of(8);
        for part in &weight.shards {
            for (plane, bytes) in part.planes.iter().zip(&plane_bytes) {
                let bytes = (bytes * part.rows.next_multiple_of(4)) as u64;
                self.engine.create(*plane, bytes)?;
            }
            for start in (0..part.rows).step_by(step) {
                let count = step.min(part.rows - start);
                let from = part.first + start;
                let bytes = self.read(matrices, join, from..from + count, format)?;
                let packed = planes(format, columns, &bytes);
                for ((plane, bytes), data) in part.planes.iter().zip(&plane_bytes).zip(&packed) {
                    self.engine.write(*plane, (bytes * start) as u64, data)?;
                }
            }
        }
        Ok(())
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
        self.hash.add(matrix, &bytes);
        self.count(bytes.len() as u64);
        if self.unflushed >= FLUSH_BYTES {
            self.unflushed = 0;
            self.engine.flush()?;
        }
        if matrix.format == format {
            return Ok(bytes);
        }
        matrix.quantized(&bytes, format)
    }

    fn count(&mut self, bytes: u64) {
        self.done += bytes;
        self.unflushed += bytes;
        (self.progress)(self.done, self.total);
    }
}
