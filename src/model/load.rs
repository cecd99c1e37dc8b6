//! From a checkpoint to the device: joined, repacked and split under the binding limit.

use std::ops::Range;

use crate::config::{Mlp, Norm, Position};
use crate::error::{Error, Result};
use crate::gpu::{BufferId, Engine, Tensor, padded};
use crate::names::Format;
use crate::ops::{MAX_HEAD_WIDTH, Weight, rope_table};
use crate::weights::{Checkpoint, Matrix, Part, dequantize, planes, quantize};

use super::{Block, Joined, Map, MlpWeights, Model, NormWeights};

/// How to load.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions {
    /// Store every matrix whose width is a multiple of 32 in this format instead of the file's:
    /// a format that [`quantize`] makes, else loading fails.
    pub quantize: Option<Format>,
}

/// The bytes that a model will take on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Fit {
    /// Weights.
    pub weights: u64,
    /// Keys and values.
    pub cache: u64,
    /// What lives within one run.
    pub activations: u64,
}

/// About how many bytes are read from a file at once.
const READ_BYTES: usize = 8 << 20;

/// After how many bytes the device takes what was written, so that staging memory stays bounded.
const FLUSH_BYTES: u64 = 64 << 20;

struct Loader<'a> {
    engine: &'a mut Engine,
    checkpoint: &'a Checkpoint,
    options: LoadOptions,
    progress: &'a mut dyn FnMut(u64, u64),
    done: u64,
    total: u64,
    unflushed: u64,
}

/// How the rows of several matrices become the rows of one.
#[derive(Clone, Copy)]
enum Join {
    /// One after another.
    Stack,
    /// Alternating.
    Alternate,
}

impl Model {
    /// Puts a checkpoint's weights on the device; `progress` hears bytes done and bytes in all.
    ///
    /// # Errors
    /// Those of reading the file, and [`Error::Memory`] where a limit of the adapter forbids it.
    pub fn load(
        engine: &mut Engine,
        checkpoint: &Checkpoint,
        options: LoadOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self> {
        let config = checkpoint.config().clone();
        if config.head_width > MAX_HEAD_WIDTH {
            return Err(Error::unsupported(
                format!("a head width of {}", config.head_width),
                format!("up to {MAX_HEAD_WIDTH}"),
            ));
        }
        let total = file_bytes(checkpoint)?;
        let mut loader =
            Loader { engine, checkpoint, options, progress, done: 0, total, unflushed: 0 };
        let embed = loader.matrix(&[Part::Embed], Join::Stack, 0)?;
        let positions = match config.position {
            Position::Learned => Some(loader.table(Part::Positions)?),
            Position::Rope(_) => None,
        };
        let rope = match &config.position {
            Position::Rope(_) => Some(loader.rope()?),
            Position::Learned => None,
        };
        let blocks = (0..config.layers).map(|layer| loader.block(layer)).collect::<Result<_>>()?;
        let final_norm = loader.norm(Part::FinalNorm, Part::FinalNormBias, 0)?;
        let head = if config.tied_head {
            None
        } else {
            Some(loader.matrix(&[Part::Head], Join::Stack, 0)?)
        };
        engine.flush()?;
        Ok(Self { config, embed, positions, rope, blocks, final_norm, head })
    }
}

/// Every weight of a checkpoint.
fn matrices(checkpoint: &Checkpoint) -> Result<Vec<Matrix>> {
    let mut matrices = Vec::new();
    for part in Part::ALL {
        for layer in 0..if part.in_layer() { checkpoint.config().layers } else { 1 } {
            if checkpoint.has(part, layer) {
                matrices.push(checkpoint.matrix(part, layer)?);
            }
        }
    }
    Ok(matrices)
}

/// The bytes of all weights as they lie in the file.
fn file_bytes(checkpoint: &Checkpoint) -> Result<u64> {
    Ok(matrices(checkpoint)?.iter().map(|m| m.row_bytes() as u64 * m.rows as u64).sum())
}

/// The bytes of all weights as they will lie on the device.
pub(super) fn device_bytes(checkpoint: &Checkpoint, options: LoadOptions) -> Result<u64> {
    let bytes = |matrix: &Matrix| {
        let format = if matrix.rows == 1 { Format::F32 } else { device_format(matrix, options) };
        Weight::plane_bytes(format, matrix.columns).iter().sum::<usize>() as u64
            * matrix.rows as u64
    };
    Ok(matrices(checkpoint)?.iter().map(bytes).sum())
}

/// The format that a matrix will have on the device.
fn device_format(matrix: &Matrix, options: LoadOptions) -> Format {
    match options.quantize {
        Some(format) if matrix.columns.is_multiple_of(format.block()) => format,
        _ => matrix.format,
    }
}

impl Loader<'_> {
    fn block(&mut self, layer: usize) -> Result<Block> {
        let config = self.checkpoint.config().clone();
        let norm1 = self.norm(Part::Norm1, Part::Norm1Bias, layer)?;
        let qkv = self.qkv(layer)?;
        let qk_norm = if config.qk_norm { Some(self.qk_norm(layer)?) } else { None };
        let out = self.map(Part::Out, Part::OutBias, layer)?;
        let (mut norm2, mut mlp) = (None, None);
        if config.mlp != Mlp::None {
            norm2 = Some(self.norm(Part::Norm2, Part::Norm2Bias, layer)?);
            mlp = Some(self.mlp(layer, config.mlp)?);
        }
        Ok(Block { norm1, qkv, qk_norm, out, norm2, mlp })
    }

    fn mlp(&mut self, layer: usize, kind: Mlp) -> Result<MlpWeights> {
        if matches!(kind, Mlp::Gelu { .. }) {
            let up = self.map(Part::Up, Part::UpBias, layer)?;
            let down = self.map(Part::Down, Part::DownBias, layer)?;
            return Ok(MlpWeights::Gelu { up, down });
        }
        if self.format(Part::Gate, layer)? != self.format(Part::Up, layer)? {
            return Ok(MlpWeights::SwiGluApart {
                gate: self.map(Part::Gate, Part::GateBias, layer)?,
                up: self.map(Part::Up, Part::UpBias, layer)?,
                down: self.map(Part::Down, Part::DownBias, layer)?,
            });
        }
        let weight = self.matrix(&[Part::Gate, Part::Up], Join::Alternate, layer)?;
        let bias = self.bias(&[Part::GateBias, Part::UpBias], Join::Alternate, layer)?;
        let down = self.map(Part::Down, Part::DownBias, layer)?;
        Ok(MlpWeights::SwiGlu { gate_up: Map { weight, bias }, down })
    }

    /// Queries, keys and values, those of equal formats joined.
    fn qkv(&mut self, layer: usize) -> Result<Vec<Joined>> {
        let parts = [(Part::Q, Part::QBias), (Part::K, Part::KBias), (Part::V, Part::VBias)];
        let mut groups: Vec<(Format, Vec<usize>)> = Vec::new();
        for (which, (part, _)) in parts.iter().enumerate() {
            let format = self.format(*part, layer)?;
            match groups.iter_mut().find(|(other, _)| *other == format) {
                Some((_, group)) => group.push(which),
                None => groups.push((format, vec![which])),
            }
        }
        let mut joined = Vec::new();
        for (_, holds) in groups {
            let weights: Vec<Part> = holds.iter().map(|&which| parts[which].0).collect();
            let biases: Vec<Part> = holds.iter().map(|&which| parts[which].1).collect();
            let weight = self.matrix(&weights, Join::Stack, layer)?;
            let bias = self.bias(&biases, Join::Stack, layer)?;
            joined.push(Joined { map: Map { weight, bias }, holds });
        }
        Ok(joined)
    }

    fn map(&mut self, weight: Part, bias: Part, layer: usize) -> Result<Map> {
        let weight = self.matrix(&[weight], Join::Stack, layer)?;
        Ok(Map { weight, bias: self.bias(&[bias], Join::Stack, layer)? })
    }

    fn norm(&mut self, gain: Part, bias: Part, layer: usize) -> Result<NormWeights> {
        let gain = self.vector(gain, layer)?;
        let gain = self.upload(1, &gain)?;
        let bias = match self.checkpoint.config().norm {
            Norm::RmsNorm => None,
            Norm::LayerNorm => {
                let bias = self.vector(bias, layer)?;
                Some(self.upload(1, &bias)?)
            }
        };
        Ok(NormWeights { gain, bias })
    }

    fn qk_norm(&mut self, layer: usize) -> Result<Tensor> {
        let mut gains = self.vector(Part::QNorm, layer)?;
        gains.extend(self.vector(Part::KNorm, layer)?);
        self.upload(2, &gains)
    }

    /// A whole table as f32: the learned positions.
    fn table(&mut self, part: Part) -> Result<Tensor> {
        let matrix = self.checkpoint.matrix(part, 0)?;
        let values = matrix.values(0..matrix.rows)?;
        self.count(matrix.row_bytes() as u64 * matrix.rows as u64);
        self.upload(matrix.rows, &values)
    }

    fn rope(&mut self) -> Result<BufferId> {
        let config = self.checkpoint.config();
        let table = rope_table(&config.rope_frequencies(), config.context);
        let id = BufferId::fresh();
        self.engine.create(id, table.len() as u64 * 4)?;
        self.engine.write(id, 0, bytemuck::cast_slice(&table))?;
        Ok(id)
    }

    fn vector(&mut self, part: Part, layer: usize) -> Result<Vec<f32>> {
        let matrix = self.checkpoint.matrix(part, layer)?;
        self.count(matrix.row_bytes() as u64 * matrix.rows as u64);
        matrix.values(0..matrix.rows)
    }

    /// The biases of joined maps; zeros stand in where only some of them have one.
    fn bias(&mut self, parts: &[Part], join: Join, layer: usize) -> Result<Option<Tensor>> {
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

    fn upload(&mut self, rows: usize, values: &[f32]) -> Result<Tensor> {
        let tensor = Tensor::lasting(rows, values.len() / rows);
        self.engine.create_tensor(&tensor)?;
        self.engine.write_tensor(&tensor, values)?;
        Ok(tensor)
    }

    /// The format that a part will have on the device.
    fn format(&self, part: Part, layer: usize) -> Result<Format> {
        Ok(device_format(&self.checkpoint.matrix(part, layer)?, self.options))
    }

    /// One weight from the rows of one or more matrices of the same format and width.
    fn matrix(&mut self, parts: &[Part], join: Join, layer: usize) -> Result<Weight> {
        let format = self.format(parts[0], layer)?;
        let matrices = parts
            .iter()
            .map(|&part| self.checkpoint.matrix(part, layer))
            .collect::<Result<Vec<_>>>()?;
        let names: Vec<&str> = matrices.iter().map(|matrix| matrix.name.as_str()).collect();
        let columns = matrices[0].columns;
        let rows = matrices.iter().map(|matrix| matrix.rows).sum();
        let limit = self.engine.gpu().caps().max_binding.min(self.engine.gpu().caps().max_buffer);
        let weight = Weight::named(&names.join("|"), format, rows, columns, limit);
        let plane_bytes = Weight::plane_bytes(format, columns);
        let step = (READ_BYTES / (padded(columns) * 4)).max(1).next_multiple_of(8);
        for part in &weight.parts {
            for (plane, bytes) in part.planes.iter().zip(&plane_bytes) {
                self.engine.create(*plane, (bytes * part.rows.next_multiple_of(4)) as u64)?;
            }
            for start in (0..part.rows).step_by(step) {
                let count = step.min(part.rows - start);
                let from = part.first + start;
                let bytes = self.read(&matrices, join, from..from + count, format)?;
                let packed = planes(format, columns, &bytes);
                for ((plane, bytes), data) in part.planes.iter().zip(&plane_bytes).zip(&packed) {
                    self.engine.write(*plane, (bytes * start) as u64, data)?;
                }
            }
        }
        Ok(weight)
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
            self.engine.flush()?;
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
