//! What is learned: every tensor of a model, with its gradient and its moments beside it.

use std::collections::HashMap;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::gpu::{BufferId, Engine, Tensor, padded};
use crate::model::{Model, Tape, Values};
use crate::names::Format;
use crate::ops::WeightPart;
use crate::ops::backward::{AdamW, CastF16, Clip, Sgd, SquareSum};
use crate::weights::Part;

use super::Optimizer;

/// What is held of each parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Held {
    /// The parameter itself.
    Value,
    /// ∂loss/∂parameter, as far as it has been added up.
    Gradient,
    /// The moving mean of gradients.
    Mean,
    /// The moving mean of their squares.
    Square,
}

/// One tensor, in one or more buffers split by rows.
#[derive(Debug)]
pub(super) struct Parameter {
    /// The parts that lie in it.
    pub(super) parts: &'static [Part],
    pub(super) layer: usize,
    /// Whether their rows alternate.
    alternate: bool,
    columns: usize,
    /// Whether weight decay pulls at it: at matrices and positions, not at gains and biases.
    decays: bool,
    pieces: Vec<Piece>,
}

/// Some rows of a parameter.
#[derive(Debug)]
struct Piece {
    rows: usize,
    /// Rows that its buffers have room for.
    room: usize,
    /// By [`Held`].
    buffers: [BufferId; 4],
    /// Its values as half floats, where products take those.
    halves: Option<BufferId>,
}

impl Piece {
    /// What is held of these rows.
    fn tensor(&self, held: Held, columns: usize) -> Tensor {
        Tensor { buffer: self.buffers[held as usize], rows: self.rows, columns }
    }

    fn bytes(&self, columns: usize) -> u64 {
        (self.room * padded(columns) * 4) as u64
    }
}

/// Where the parameters and all that belongs to them lie.
#[derive(Debug)]
pub(super) struct Parameters {
    pub(super) all: Vec<Parameter>,
    /// The model that runs: of the parameters themselves, or of their halves.
    pub(super) model: Model,
    /// A model with gradients in place of weights.
    pub(super) gradients: Model,
}

impl Parameters {
    /// Names buffers for what belongs to each parameter of a model, whose matrices must be f32. The
    /// model that runs has them in the format `running`, f32 or f16.
    pub(super) fn of(model: &Model, running: Format) -> Result<Self> {
        let gradients = model.shadow();
        let models = [model.clone(), gradients.clone(), model.shadow(), model.shadow()];
        let mut all: Vec<Parameter> = Vec::new();
        let mut wrong = None;
        for (held, mut model) in models.into_iter().enumerate() {
            let mut index = 0;
            model.walk(&mut |leaf| {
                let (columns, pieces): (usize, Vec<(usize, usize, BufferId)>) = match leaf.values {
                    Values::Matrix(weight) => {
                        if weight.format != Format::F32 {
                            wrong = Some(format!("{} in {}", weight.name, weight.format));
                        }
                        let part = |part: &WeightPart| {
                            (part.rows, part.rows.next_multiple_of(4), part.planes[0])
                        };
                        (weight.columns, weight.parts.iter().map(part).collect())
                    }
                    Values::Table(table) => {
                        (table.columns, vec![(table.rows, table.rows, table.buffer)])
                    }
                };
                if held == 0 {
                    all.push(Parameter {
                        parts: leaf.parts,
                        layer: leaf.layer,
                        alternate: leaf.alternate,
                        columns,
                        decays: leaf.parts.iter().all(|part| part.is_matrix()),
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
                    piece.buffers[held] = id;
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
            model = model.recast(running);
            let mut parameters = all.iter_mut();
            model.walk(&mut |leaf| {
                let pieces = parameters.next().map(|parameter| &mut parameter.pieces);
                let Values::Matrix(weight) = leaf.values else { return };
                for (piece, part) in pieces.into_iter().flatten().zip(&weight.parts) {
                    piece.halves = Some(part.planes[0]);
                }
            });
        }
        Ok(Self { all, model, gradients })
    }

    /// Makes the memory behind gradients, moments and halves, zeros.
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

    /// Of values, gradients, moments and halves, the padding of rows included.
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

    /// Records the norm of all gradients, what it is cut to, and the move of every parameter.
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
        self.halve(tape)
    }

    /// Records the making of halves from what they are halves of, where there are any.
    pub(super) fn halve(&self, tape: &mut Tape<'_>) -> Result<()> {
        for (_, piece, count) in self.pieces() {
            if let Some(out) = piece.halves {
                tape.push(CastF16 { values: piece.buffers[0], count, out })?;
            }
        }
        Ok(())
    }

    /// What is held of one part of the function: its values, row after row as the model's files have
    /// them, [out, in].
    pub(super) async fn read(
        &self,
        engine: &mut Engine,
        held: Held,
        part: Part,
        layer: usize,
        config: &Config,
    ) -> Result<Vec<f32>> {
        let parameter = self.find(part, layer)?;
        Ok(parameter.cut(&parameter.read(engine, held).await?, part, config))
    }

    /// The same of all parts, each with its layer. Every buffer is read once.
    pub(super) async fn read_all(
        &self,
        engine: &mut Engine,
        held: Held,
        config: &Config,
    ) -> Result<HashMap<(Part, usize), Vec<f32>>> {
        let mut parts = HashMap::new();
        for parameter in &self.all {
            let all = parameter.read(engine, held).await?;
            let cut = |part: &Part| ((*part, parameter.layer), parameter.cut(&all, *part, config));
            parts.extend(parameter.parts.iter().map(cut));
        }
        Ok(parts)
    }

    /// The parameter that a part of the function lies in.
    fn find(&self, part: Part, layer: usize) -> Result<&Parameter> {
        let found = self.all.iter().find(|p| p.layer == layer && p.parts.contains(&part));
        found.ok_or_else(|| Error::Input(format!("this model has no {part:?} in layer {layer}")))
    }
}

impl Parameter {
    /// All values, without padding.
    pub(super) async fn read(&self, engine: &mut Engine, held: Held) -> Result<Vec<f32>> {
        let mut all = Vec::new();
        for piece in &self.pieces {
            all.extend(engine.read(&piece.tensor(held, self.columns)).await?);
        }
        Ok(all)
    }

    /// The other way round.
    pub(super) fn write(&self, engine: &Engine, held: Held, values: &[f32]) -> Result<()> {
        let mut rest = values;
        for piece in &self.pieces {
            let (own, after) = rest.split_at(rest.len().min(piece.rows * self.columns));
            engine.write_tensor(&piece.tensor(held, self.columns), own)?;
            rest = after;
        }
        Ok(())
    }

    /// How many values it has.
    pub(super) fn count(&self) -> usize {
        self.pieces.iter().map(|piece| piece.rows).sum::<usize>() * self.columns
    }

    /// The values of one of its parts, out of all.
    fn cut(&self, all: &[f32], part: Part, config: &Config) -> Vec<f32> {
        let which = self.parts.iter().position(|own| *own == part).unwrap_or(0);
        if self.alternate {
            // A vector beside another is one row with it; its unit is a value.
            let unit = if part.is_matrix() { self.columns } else { 1 };
            let units = all.chunks_exact(unit).skip(which).step_by(self.parts.len());
            return units.flatten().copied().collect();
        }
        let before: usize = self.parts[..which].iter().map(|part| part.values(config)).sum();
        all[before..][..part.values(config)].to_vec()
    }
}
