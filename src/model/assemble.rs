//! Which tensors make up a model: one builder, whether they come from a checkpoint or exist by name.

use crate::checkpoint::{Checkpoint, Param};
use crate::config::{Config, Mlp, Norm, Position, Rope};
use crate::error::{Error, Result};
use crate::format::Format;
use crate::gpu::{BufferId, Caps, Engine};
use crate::ops::{MAX_HEAD_WIDTH, rope_table};

use super::upload::{Join, LoadOptions, Source, Tensors};
use super::weights::{Block, GateUp, Joined, Map, MlpWeights, Model, NormPlace, NormWeights, Qkv};

impl Model {
    /// Loads a checkpoint's weights onto the device; `progress` is called with the bytes done and
    /// the total.
    ///
    /// # Errors
    /// Those of reading the file, and [`Error::Memory`] if a limit of the adapter forbids it.
    pub fn load(
        engine: &mut Engine,
        checkpoint: &Checkpoint,
        options: LoadOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self> {
        let mut tensors = Tensors::uploaded(engine, checkpoint, options, progress)?;
        let mut model = Builder::new(checkpoint.config(), &mut tensors).model()?;
        tensors.flush()?;
        model.hash = tensors.hash();
        Ok(model)
    }

    /// The same model by name only: enough to record a run, and to know how much memory the model
    /// takes before anything is allocated.
    ///
    /// # Errors
    /// Those of an inconsistent checkpoint.
    pub fn named(checkpoint: &Checkpoint, options: LoadOptions, caps: &Caps) -> Result<Self> {
        let source = Source::Files { checkpoint, options };
        let mut tensors = Tensors::named(source, caps.max_buffer_bytes());
        Builder::new(checkpoint.config(), &mut tensors).model()
    }

    /// A model of these sizes by name only, joined and split as [`Model::load`] would: recording
    /// its forward pass shows what a run would do.
    ///
    /// Every matrix is stored in `format`, or in f32 where its width does not fill whole blocks,
    /// and in parts of at most `max_binding` bytes.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for heads that are too wide.
    pub fn dry(config: &Config, format: Format, max_binding: u64) -> Result<Self> {
        let mut tensors = Tensors::named(Source::Sizes { config, format }, max_binding);
        Builder::new(config, &mut tensors).model()
    }

    /// Fills the rotation tables for the context in use.
    pub(crate) fn build_rope_tables(&self, engine: &mut Engine, context: usize) -> Result<()> {
        for (id, rope) in &self.ropes {
            let table = rope_table(&rope.rotation(context), context);
            engine.create(*id, table.len() as u64 * 4)?;
            engine.write(*id, 0, bytemuck::cast_slice(&table))?;
        }
        Ok(())
    }
}

/// A projection of attention: what it computes, its matrix and its bias.
type Projection = (Qkv, Param, Param);

/// Assembles a model from its tensors.
struct Builder<'b, 't> {
    config: &'b Config,
    tensors: &'b mut Tensors<'t>,
    /// Every rotation of the model, with the buffer of its table.
    ropes: Vec<(BufferId, Rope)>,
}

impl<'b, 't> Builder<'b, 't> {
    fn new(config: &'b Config, tensors: &'b mut Tensors<'t>) -> Self {
        let mut ropes: Vec<(BufferId, Rope)> = Vec::new();
        for rope in (0..config.layers).filter_map(|layer| config.rope(layer)) {
            if ropes.iter().all(|(_, known)| known != rope) {
                ropes.push((BufferId::fresh(), rope.clone()));
            }
        }
        Self { config, tensors, ropes }
    }

    fn model(mut self) -> Result<Model> {
        let config = self.config;
        if config.head_width > MAX_HEAD_WIDTH {
            return Err(Error::unsupported(
                format!("a head width of {}", config.head_width),
                format!("up to {MAX_HEAD_WIDTH}"),
            ));
        }
        let embed = self.tensors.matrix(&[Param::Embed], Join::Stack, 0)?;
        let positions = match config.position {
            Position::Learned => Some(self.tensors.table(Param::Positions)?),
            Position::Rope(_) => None,
        };
        let blocks = (0..config.layers).map(|layer| self.block(layer)).collect::<Result<_>>()?;
        let final_norm =
            self.norm(Param::FinalNorm, Some(Param::FinalNormBias), NormPlace::Final, 0)?;
        let head = match config.tied_head {
            true => None,
            false => Some(self.tensors.matrix(&[Param::Head], Join::Stack, 0)?),
        };
        let head_bias = self.tensors.bias(&[Param::HeadBias], Join::Stack, 0)?;
        let (config, ropes, hash) = (config.clone(), self.ropes, None);
        Ok(Model { config, embed, positions, ropes, blocks, final_norm, head, head_bias, hash })
    }

    fn block(&mut self, layer: usize) -> Result<Block> {
        let config = self.config;
        let norm1 =
            self.norm(Param::Norm1, Some(Param::Norm1Bias), NormPlace::BeforeAttention, layer)?;
        let qkv = self.qkv(layer)?;
        let qk_norm = match config.qk_norm {
            true => Some(self.tensors.vectors(&[Param::QNorm, Param::KNorm], layer)?),
            false => None,
        };
        let out = self.map(&[Param::Out], &[Param::OutBias], Join::Stack, layer)?;
        let rope = config.rope(layer).and_then(|own| {
            let known = self.ropes.iter().find(|(_, rope)| rope == own);
            known.map(|(id, rope)| (*id, rope.rotated))
        });
        let post_norm1 = self.post_norm(Param::PostNorm1, NormPlace::AfterAttention, layer)?;
        let (mut norm2, mut post_norm2) = (None, None);
        let mlp = self.mlp(layer)?;
        if mlp.is_some() {
            norm2 = Some(self.norm(
                Param::Norm2,
                Some(Param::Norm2Bias),
                NormPlace::BeforeMlp,
                layer,
            )?);
            post_norm2 = self.post_norm(Param::PostNorm2, NormPlace::AfterMlp, layer)?;
        }
        Ok(Block { layer, norm1, qkv, qk_norm, rope, out, post_norm1, norm2, post_norm2, mlp })
    }

    /// The MLP, with gate and up joined if their formats are equal.
    fn mlp(&mut self, layer: usize) -> Result<Option<MlpWeights>> {
        let one =
            |builder: &mut Self, weight, bias| builder.map(&[weight], &[bias], Join::Stack, layer);
        Ok(match self.config.mlp {
            Mlp::None => None,
            Mlp::Plain { function, .. } => {
                let up = one(self, Param::Up, Param::UpBias)?;
                let down = one(self, Param::Down, Param::DownBias)?;
                Some(MlpWeights::Plain { up, down, function })
            }
            Mlp::Gated { function, .. } => {
                let [gate, up] = [Param::Gate, Param::Up];
                let gate_up = match self.tensors.format(gate, layer)?
                    == self.tensors.format(up, layer)?
                {
                    true => {
                        let biases = [Param::GateBias, Param::UpBias];
                        GateUp::Joined(self.map(&[gate, up], &biases, Join::Alternate, layer)?)
                    }
                    false => GateUp::Apart {
                        gate: one(self, gate, Param::GateBias)?,
                        up: one(self, up, Param::UpBias)?,
                    },
                };
                let down = one(self, Param::Down, Param::DownBias)?;
                Some(MlpWeights::Gated { gate_up, down, function })
            }
        })
    }

    /// Queries, keys and values, joined if their formats are equal.
    fn qkv(&mut self, layer: usize) -> Result<Vec<Joined>> {
        let all = [
            (Qkv::Query, Param::Q, Param::QBias),
            (Qkv::Key, Param::K, Param::KBias),
            (Qkv::Value, Param::V, Param::VBias),
        ];
        let mut groups: Vec<(Format, Vec<Projection>)> = Vec::new();
        for one in all {
            let format = self.tensors.format(one.1, layer)?;
            match groups.iter_mut().find(|(other, _)| *other == format) {
                Some((_, group)) => group.push(one),
                None => groups.push((format, vec![one])),
            }
        }
        let joined = |(_, group): (Format, Vec<Projection>)| {
            let weights: Vec<Param> = group.iter().map(|one| one.1).collect();
            let biases: Vec<Param> = group.iter().map(|one| one.2).collect();
            let map = self.map(&weights, &biases, Join::Stack, layer)?;
            Ok(Joined { map, holds: group.iter().map(|one| one.0).collect() })
        };
        groups.into_iter().map(joined).collect()
    }

    fn map(
        &mut self,
        weights: &[Param],
        biases: &[Param],
        join: Join,
        layer: usize,
    ) -> Result<Map> {
        let weight = self.tensors.matrix(weights, join, layer)?;
        Ok(Map { weight, bias: self.tensors.bias(biases, join, layer)? })
    }

    fn norm(
        &mut self,
        gain: Param,
        bias: Option<Param>,
        place: NormPlace,
        layer: usize,
    ) -> Result<NormWeights> {
        let gain = self.tensors.vectors(&[gain], layer)?;
        let bias = bias.filter(|_| self.config.norm == Norm::LayerNorm);
        let bias = bias.map(|bias| self.tensors.vectors(&[bias], layer)).transpose()?;
        Ok(NormWeights { gain, bias, place, layer })
    }

    /// The norm of a sub-layer's output, if the model has such norms.
    fn post_norm(
        &mut self,
        gain: Param,
        place: NormPlace,
        layer: usize,
    ) -> Result<Option<NormWeights>> {
        match self.config.post_norms {
            true => self.norm(gain, None, place, layer).map(Some),
            false => Ok(None),
        }
    }
}
