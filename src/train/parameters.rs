//! What is learned: every tensor of a model, with its gradient and its moments.

use std::collections::HashMap;

use crate::checkpoint::Param;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::gpu::{BufferId, Engine, Tensor, padded};
use crate::model::{Model, Tape, Values};
use crate::ops::WeightShard;
use crate::ops::backward::{AdamW, CastF16, Clip, Sgd, SquareSum};

use super::options::Optimizer;

/// What is stored for each parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrainSlot {
    /// The parameter itself.
    Value,
    /// ∂loss/∂parameter, as accumulated so far.
    Gradient,
    /// The moving mean of gradients.
    Mean,
    /// The moving mean of their squares.
    Square,
}

/// One tensor, in one or more buffers split by rows.
#[derive(Debug)]
pub(super) struct Parameter {
    /// The parameters of the function that it holds.
    pub(super) params: &'static [Param],
    pub(super) layer: usize,
    /// Whether their rows alternate.
    alternate: bool,
    columns: usize,
    /// Whether weight decay applies: to matrices and positions, not to gains and biases.
    decays: bool,
    pieces: Vec<Piece>,
}

/// Some rows of a parameter.
#[derive(Debug)]
struct Piece {
    rows: usize,
    /// Rows that its buffers have room for.
    room: usize,
    /// Indexed by [`TrainSlot`].
    buffers: [BufferId; 4],
    /// Its values as f16, if products take those.
    halves: Option<BufferId>,
}

impl Piece {
    /// What is stored for these rows in this slot.
    fn tensor(&self, slot: TrainSlot, columns: usize) -> Tensor {
        Tensor { buffer: self.buffers[slot as usize], rows: self.rows, columns }
    }

    fn bytes(&self, columns: usize) -> u64 {
        (self.room * padded(columns) * 4) as u64
    }
}

/// The parameters and the buffers of everything that belongs to them.
#[derive(Debug)]
pub(super) struct Parameters {
    pub(super) all: Vec<Parameter>,
    /// The model that runs: on the parameters themselves, or on their f16 copies.
    pub(super) model: Model,
    /// A model with gradients in place of weights.
    pub(super) gradients: Model,
}

impl Parameters {
    /// Names buffers for what belongs to each parameter of a model, whose matrices must be f32. The
    /// model that runs has them in the format `running`, f32 or f16.
    pub(super) fn of(model: &Model, running: Format) -> Result<Self> {
        let gradients = model.empty_like();
        let models = [model.clone(), gradients.clone(), model.empty_like(), model.empty_like()];
        let mut all: Vec<Parameter> = Vec::new();
        let mut wrong = None;
        for (slot, mut model) in models.into_iter().enumerate() {
            let mut index = 0;
            model.walk(&mut |param| {
                let (columns, pieces): (usize, Vec<(usize, usize, BufferId)>) = match param.values {
                    Values::Matrix(weight) => {
                        if weight.format != Format::F32 {
                            wrong = Some(format!("{} in {}", weight.name, weight.format));
                        }
                        let part = |part: &WeightShard| {
                            (part.rows, part.rows.next_multiple_of(4), part.planes[0])
                        };
                        (weight.columns, weight.shards.iter().map(part).collect())
                    }
                    Values::Vector(table) => {
                        (table.columns, vec![(table.rows, table.rows, table.buffer)])
                    }
                };
                if slot == 0 {
                    all.push(Parameter {
                        params: param.params,
                        layer: param.layer,
                        alternate: param.alternate,
                        columns,
                        decays: param.params.iter().all(|part| part.is_matrix()),
                        pieces: pieces
                            .iter()
                            .map(|&(rows, room, id)| Piece {
                                rows,
                                room,
                                buffers: [id; 4],
                                halves: None,
                            })
                            .collect(),
                    });
                }
                for (piece, (.., id)) in all[index].pieces.iter_mut().zip(pieces) {
                    piece.buffers[slot] = id;
                }
                index += 1;
            });
        }
        if let Some(what) = wrong {
            return Err(Error::unsupported(
                format!("training {what}"),
                "models loaded with every matrix in f32",
            ));
        }
        let mut model = model.clone();
        if running != Format::F32 {
            model = model.with_format(running);
            let mut parameters = all.iter_mut();
            model.walk(&mut |param| {
                let pieces = parameters.next().map(|parameter| &mut parameter.pieces);
                let Values::Matrix(weight) = param.values else { return };
                for (piece, part) in pieces.into_iter().flatten().zip(&weight.shards) {
                    piece.halves = Some(part.planes[0]);
                }
            });
        }
        Ok(Self { all, model, gradients })
    }

    /// Allocates gradients, moments and f16 copies, filled with zeros.
    pub(super) fn create(&self, engine: &mut Engine, optimizer: Optimizer) -> Result<()> {
        let last = optimizer.copies();
        for parameter in &self.all {
            for piece in &parameter.pieces {
                let bytes = piece.bytes(parameter.columns);
                for &buffer in &piece.buffers[1..last] {
                    engine.create(buffer, bytes)?;
                }
                if let Some(halves) = piece.halves {
                    engine.create(halves, bytes / 2)?;
                }
            }
        }
        Ok(())
    }

    /// Sets all gradients to zero, including the padding of rows.
    pub(super) fn clear_gradients(&self, engine: &Engine) -> Result<()> {
        const AT_ONCE: u64 = 16 << 20;
        for (_, piece, words) in self.pieces() {
            let bytes = words as u64 * 4;
            for start in (0..bytes).step_by(AT_ONCE as usize) {
                let zeros = vec![0; (bytes - start).min(AT_ONCE) as usize];
                engine.write(piece.buffers[TrainSlot::Gradient as usize], start, &zeros)?;
            }
        }
        Ok(())
    }

    /// The bytes of values, gradients, moments and f16 copies, including the padding of rows.
    pub(super) fn bytes(&self, optimizer: Optimizer) -> u64 {
        let copies = optimizer.copies() as u64;
        let pieces = self.all.iter().flat_map(|parameter| {
            parameter.pieces.iter().map(|piece| (piece.bytes(parameter.columns), piece.halves))
        });
        pieces.map(|(bytes, halves)| copies * bytes + halves.map_or(0, |_| bytes / 2)).sum()
    }

    /// How many values are learned.
    pub(super) fn count(&self) -> usize {
        self.all.iter().map(Parameter::count).sum()
    }

    /// How many partial sums of squares there are.
    pub(super) fn partials(&self) -> usize {
        let pieces = self.pieces();
        pieces.map(|(_, _, words)| SquareSum::slots(words)).sum()
    }

    fn pieces(&self) -> impl Iterator<Item = (&Parameter, &Piece, usize)> {
        self.all.iter().flat_map(|parameter| {
            let words = |piece: &Piece| (piece.bytes(parameter.columns) / 4) as usize;
            parameter.pieces.iter().map(move |piece| (parameter, piece, words(piece)))
        })
    }

    /// Records the norm of all gradients, its clipping, and the update of every parameter.
    pub(super) fn update(
        &self,
        tape: &mut Tape<'_>,
        optimizer: Optimizer,
        partials: BufferId,
        settings: BufferId,
        clip: BufferId,
    ) -> Result<()> {
        let mut slot = 0;
        for (_, piece, count) in self.pieces() {
            tape.push(SquareSum { values: piece.buffers[1], count, out: partials, slot })?;
            slot += SquareSum::slots(count);
        }
        tape.push(Clip { partials, count: slot, settings, out: clip })?;
        for (parameter, piece, count) in self.pieces() {
            let [parameters, gradient, mean, square] = piece.buffers;
            match optimizer {
                Optimizer::AdamW { .. } => {
                    let decays = parameter.decays;
                    tape.push(AdamW {
                        parameters,
                        gradient,
                        mean,
                        square,
                        count,
                        settings,
                        clip,
                        decays,
                    })?;
                }
                Optimizer::Sgd => {
                    tape.push(Sgd { parameters, gradient, count, settings, clip })?;
                }
            }
        }
        self.cast_weights_to_f16(tape)
    }

    /// Records the cast of parameters to their f16 copies, if there are any.
    pub(super) fn cast_weights_to_f16(&self, tape: &mut Tape<'_>) -> Result<()> {
        for (_, piece, count) in self.pieces() {
            if let Some(out) = piece.halves {
                tape.push(CastF16 { values: piece.buffers[0], count, out })?;
            }
        }
        Ok(())
    }

    /// What is stored for one parameter of the function: its values, row-major as in the model's
    /// files, [out, in].
    pub(super) async fn read(
        &self,
        engine: &mut Engine,
        slot: TrainSlot,
        part: Param,
        layer: usize,
        config: &Config,
    ) -> Result<Vec<f32>> {
        let parameter = self.find(part, layer)?;
        Ok(parameter.cut(&parameter.read(engine, slot).await?, part, config))
    }

    /// The same for all parameters, each with its layer. Every buffer is read once.
    pub(super) async fn read_all(
        &self,
        engine: &mut Engine,
        slot: TrainSlot,
        config: &Config,
    ) -> Result<HashMap<(Param, usize), Vec<f32>>> {
        let mut params = HashMap::new();
        for parameter in &self.all {
            let all = parameter.read(engine, slot).await?;
            let cut = |part: &Param| ((*part, parameter.layer), parameter.cut(&all, *part, config));
            params.extend(parameter.params.iter().map(cut));
        }
        Ok(params)
    }

    /// The tensor that holds a parameter of the function.
    fn find(&self, part: Param, layer: usize) -> Result<&Parameter> {
        let found = self.all.iter().find(|p| p.layer == layer && p.params.contains(&part));
        found.ok_or_else(|| Error::Input(format!("this model has no {part:?} in layer {layer}")))
    }
}

impl Parameter {
    /// All values, without padding.
    pub(super) async fn read(&self, engine: &mut Engine, slot: TrainSlot) -> Result<Vec<f32>> {
        let mut all = Vec::new();
        for piece in &self.pieces {
            all.extend(engine.read(&piece.tensor(slot, self.columns)).await?);
        }
        Ok(all)
    }

    /// Writes all values, without padding.
    pub(super) fn write(&self, engine: &Engine, slot: TrainSlot, values: &[f32]) -> Result<()> {
        let mut rest = values;
        for piece in &self.pieces {
            let (own, after) = rest.split_at(rest.len().min(piece.rows * self.columns));
            engine.write_tensor(&piece.tensor(slot, self.columns), own)?;
            rest = after;
        }
        Ok(())
    }

    /// The number of its values.
    pub(super) fn count(&self) -> usize {
        self.pieces.iter().map(|piece| piece.rows).sum::<usize>() * self.columns
    }

    /// The values of one of the parameters that it holds, out of all.
    fn cut(&self, all: &[f32], part: Param, config: &Config) -> Vec<f32> {
        let which = self.params.iter().position(|own| *own == part).unwrap_or(0);
        if self.alternate {
            // A vector joined with another shares one row with it; its unit is a value.
            let unit = if part.is_matrix() { self.columns } else { 1 };
            let units = all.chunks_exact(unit).skip(which).step_by(self.params.len());
            return units.flatten().copied().collect();
        }
        let before: usize = self.params[..which].iter().map(|part| part.values(config)).sum();
        all[before..][..part.values(config)].to_vec()
    }
}
