//! From a checkpoint to a model: which of its tensors make which weights.

use crate::config::{Config, Mlp, Norm, Position, Rope};
use crate::error::{Error, Result};
use crate::gpu::{BufferId, Caps, Engine, Tensor};
use crate::names::Format;
use crate::ops::{MAX_HEAD_WIDTH, rope_table};
use crate::weights::{Checkpoint, Part};

use super::loader::{Join, Loader};
use super::{Block, Joined, Map, MlpWeights, Model, NormWeights};

/// How to load.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions {
    /// Store every matrix whose width is a multiple of 32 in this format instead of the file's:
    /// a format that [`quantize`](crate::weights::quantize) makes, else loading fails.
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

impl Fit {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.cache + self.activations
    }
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
        let loader = Loader::new(engine, checkpoint, options, progress)?;
        loader.model()
    }

    /// The same model by name only: enough to record what a run would do, to weigh it, and to know
    /// what it will take before anything is allocated.
    ///
    /// # Errors
    /// Those of a checkpoint that does not hold together.
    pub fn named(checkpoint: &Checkpoint, options: LoadOptions, caps: &Caps) -> Result<Self> {
        let progress = &mut |_, _| {};
        let loader = Loader::by_name(caps.max_buffer_bytes(), checkpoint, options, progress);
        loader.model()
    }

    /// Makes the tables of rotations for a context in use.
    pub(crate) fn turn(&self, engine: &mut Engine, context: usize) -> Result<()> {
        for (id, rope) in &self.ropes {
            let table = rope_table(&rope.rotation(context), context);
            engine.create(*id, table.len() as u64 * 4)?;
            engine.write(*id, 0, bytemuck::cast_slice(&table))?;
        }
        Ok(())
    }
}

/// Every rotation of a model, with a name for its table.
pub(super) fn ropes(config: &Config) -> Vec<(BufferId, Rope)> {
    let mut ropes: Vec<(BufferId, Rope)> = Vec::new();
    for rope in (0..config.layers).filter_map(|layer| config.rope(layer)) {
        if ropes.iter().all(|(_, known)| known != rope) {
            ropes.push((BufferId::fresh(), rope.clone()));
        }
    }
    ropes
}

/// The table by which a layer's queries and keys turn, and how many values of each head do.
pub(super) fn turn(
    config: &Config,
    layer: usize,
    ropes: &[(BufferId, Rope)],
) -> Option<(BufferId, usize)> {
    let own = config.rope(layer)?;
    ropes.iter().find(|(_, rope)| rope == own).map(|(id, rope)| (*id, rope.rotated))
}

impl Loader<'_> {
    fn model(mut self) -> Result<Model> {
        let config = self.checkpoint.config().clone();
        if config.head_width > MAX_HEAD_WIDTH {
            return Err(Error::unsupported(
                format!("a head width of {}", config.head_width),
                format!("up to {MAX_HEAD_WIDTH}"),
            ));
        }
        let embed = self.matrix(&[Part::Embed], Join::Stack, 0)?;
        let positions = match config.position {
            Position::Learned => Some(self.table(Part::Positions)?),
            Position::Rope(_) => None,
        };
        let ropes = ropes(&config);
        let blocks =
            (0..config.layers).map(|layer| self.block(layer, &ropes)).collect::<Result<_>>()?;
        let final_norm = self.norm(Part::FinalNorm, Part::FinalNormBias, 0)?;
        let head = if config.tied_head {
            None
        } else {
            Some(self.matrix(&[Part::Head], Join::Stack, 0)?)
        };
        let head_bias = self.bias(&[Part::HeadBias], Join::Stack, 0)?;
        if let Some(engine) = self.engine {
            engine.flush()?;
        }
        Ok(Model { config, embed, positions, ropes, blocks, final_norm, head, head_bias })
    }

    fn block(&mut self, layer: usize, ropes: &[(BufferId, Rope)]) -> Result<Block> {
        let config = self.checkpoint.config().clone();
        let norm1 = self.norm(Part::Norm1, Part::Norm1Bias, layer)?;
        let qkv = self.qkv(layer)?;
        let qk_norm = if config.qk_norm { Some(self.qk_norm(layer)?) } else { None };
        let out = self.map(Part::Out, Part::OutBias, layer)?;
        let rope = turn(&config, layer, ropes);
        let post_norm1 = self.post_norm(Part::PostNorm1, layer)?;
        let (mut norm2, mut post_norm2) = (None, None);
        let mlp = self.mlp(layer, config.mlp)?;
        if mlp.is_some() {
            norm2 = Some(self.norm(Part::Norm2, Part::Norm2Bias, layer)?);
            post_norm2 = self.post_norm(Part::PostNorm2, layer)?;
        }
        Ok(Block { norm1, qkv, qk_norm, rope, out, post_norm1, norm2, post_norm2, mlp })
    }

    fn mlp(&mut self, layer: usize, kind: Mlp) -> Result<Option<MlpWeights>> {
        let function = match kind {
            Mlp::None => return Ok(None),
            Mlp::Plain { function, .. } => {
                let up = self.map(Part::Up, Part::UpBias, layer)?;
                let down = self.map(Part::Down, Part::DownBias, layer)?;
                return Ok(Some(MlpWeights::Plain { up, down, function }));
            }
            Mlp::Gated { function, .. } => function,
        };
        if self.format(Part::Gate, layer)? != self.format(Part::Up, layer)? {
            return Ok(Some(MlpWeights::GatedApart {
                gate: self.map(Part::Gate, Part::GateBias, layer)?,
                up: self.map(Part::Up, Part::UpBias, layer)?,
                down: self.map(Part::Down, Part::DownBias, layer)?,
                function,
            }));
        }
        let weight = self.matrix(&[Part::Gate, Part::Up], Join::Alternate, layer)?;
        let bias = self.bias(&[Part::GateBias, Part::UpBias], Join::Alternate, layer)?;
        let down = self.map(Part::Down, Part::DownBias, layer)?;
        Ok(Some(MlpWeights::Gated { gate_up: Map { weight, bias }, down, function }))
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

    /// The norm of what a sub-layer gives, where the model has such norms.
    fn post_norm(&mut self, gain: Part, layer: usize) -> Result<Option<NormWeights>> {
        if !self.checkpoint.has(gain, layer) {
            return Ok(None);
        }
        let gain = self.vector(gain, layer)?;
        Ok(Some(NormWeights { gain: self.upload(1, &gain)?, bias: None }))
    }

    fn qk_norm(&mut self, layer: usize) -> Result<Tensor> {
        let mut gains = self.vector(Part::QNorm, layer)?;
        gains.extend(self.vector(Part::KNorm, layer)?);
        self.upload(2, &gains)
    }
}
