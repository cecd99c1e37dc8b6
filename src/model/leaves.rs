//! Every tensor of a model, one after another: what there is to weigh, to learn and to save.

use crate::gpu::{BufferId, Tensor};
use crate::names::Format;
use crate::ops::Weight;
use crate::weights::Part;

use super::weights::{GateUp, Map, MlpWeights, Model, NormWeights, Qkv};

/// One tensor of a model on the device, and which parts of the function lie in its rows.
#[derive(Debug)]
pub struct Leaf<'a> {
    /// The parts: one, or several that were joined.
    pub parts: &'static [Part],
    /// Their layer; 0 outside the layers.
    pub layer: usize,
    /// Whether the rows of the parts alternate; else they follow one another.
    pub alternate: bool,
    /// The tensor.
    pub values: Values<'a>,
}

/// A tensor as the model holds it.
#[derive(Debug)]
pub enum Values<'a> {
    /// A matrix.
    Matrix(&'a mut Weight),
    /// Vectors side by side, or one below the other; learned positions too.
    Table(&'a mut Tensor),
}

/// What the rows of a leaf are.
type Rows = (&'static [Part], bool);

const QKV: &[Part] = &[Part::Q, Part::K, Part::V];
const QKV_BIAS: &[Part] = &[Part::QBias, Part::KBias, Part::VBias];
const QV: &[Part] = &[Part::Q, Part::V];
const QV_BIAS: &[Part] = &[Part::QBias, Part::VBias];
const GATE_UP: Rows = (&[Part::Gate, Part::Up], true);
const GATE_UP_BIAS: Rows = (&[Part::GateBias, Part::UpBias], true);

/// Hands out the leaves of one layer, or of what lies outside the layers.
struct Walk<'f> {
    layer: usize,
    visit: &'f mut dyn FnMut(Leaf<'_>),
}

impl Walk<'_> {
    fn leaf(&mut self, (parts, alternate): Rows, values: Values<'_>) {
        (self.visit)(Leaf { parts, layer: self.layer, alternate, values });
    }

    fn matrix(&mut self, rows: Rows, weight: &mut Weight) {
        self.leaf(rows, Values::Matrix(weight));
    }

    fn table<'t>(&mut self, rows: Rows, tensor: impl IntoIterator<Item = &'t mut Tensor>) {
        for tensor in tensor {
            self.leaf(rows, Values::Table(tensor));
        }
    }

    fn map(&mut self, weight: Rows, bias: Rows, map: &mut Map) {
        self.matrix(weight, &mut map.weight);
        self.table(bias, &mut map.bias);
    }

    fn norm(&mut self, gain: &'static [Part], bias: &'static [Part], norm: &mut NormWeights) {
        self.table((gain, false), [&mut norm.gain]);
        self.table((bias, false), &mut norm.bias);
    }
}

impl Model {
    /// The bytes of the weights on the device.
    pub fn bytes(&self) -> u64 {
        let mut bytes = 0;
        self.clone().walk(&mut |leaf| {
            bytes += match leaf.values {
                Values::Matrix(weight) => weight.bytes(),
                Values::Table(tensor) => tensor.bytes(),
            }
        });
        bytes
    }

    /// Visits every tensor, in the order of the forward pass.
    pub fn walk(&mut self, visit: &mut dyn FnMut(Leaf<'_>)) {
        let mut walk = Walk { layer: 0, visit };
        let one = |part: &'static [Part]| (part, false);
        walk.matrix(one(&[Part::Embed]), &mut self.embed);
        walk.table(one(&[Part::Positions]), &mut self.positions);
        for (layer, block) in self.blocks.iter_mut().enumerate() {
            walk.layer = layer;
            walk.norm(&[Part::Norm1], &[Part::Norm1Bias], &mut block.norm1);
            for joined in &mut block.qkv {
                let (weights, biases) = match joined.holds.as_slice() {
                    [Qkv::Query] => (&QKV[..1], &QKV_BIAS[..1]),
                    [Qkv::Key] => (&QKV[1..2], &QKV_BIAS[1..2]),
                    [Qkv::Value] => (&QKV[2..], &QKV_BIAS[2..]),
                    [Qkv::Query, Qkv::Key] => (&QKV[..2], &QKV_BIAS[..2]),
                    [Qkv::Query, Qkv::Value] => (QV, QV_BIAS),
                    [Qkv::Key, Qkv::Value] => (&QKV[1..], &QKV_BIAS[1..]),
                    _ => (QKV, QKV_BIAS),
                };
                let (weight, bias) = (one(weights), one(biases));
                walk.map(weight, bias, &mut joined.map);
            }
            walk.table(one(&[Part::QNorm, Part::KNorm]), &mut block.qk_norm);
            walk.map(one(&[Part::Out]), one(&[Part::OutBias]), &mut block.out);
            if let Some(norm) = &mut block.post_norm1 {
                walk.norm(&[Part::PostNorm1], &[], norm);
            }
            if let Some(norm) = &mut block.norm2 {
                walk.norm(&[Part::Norm2], &[Part::Norm2Bias], norm);
            }
            if let Some(mlp) = &mut block.mlp {
                let (down, down_bias) = (one(&[Part::Down]), one(&[Part::DownBias]));
                match mlp {
                    MlpWeights::Plain { up, .. } => {
                        walk.map(one(&[Part::Up]), one(&[Part::UpBias]), up);
                    }
                    MlpWeights::Gated { gate_up: GateUp::Joined(both), .. } => {
                        walk.map(GATE_UP, GATE_UP_BIAS, both);
                    }
                    MlpWeights::Gated { gate_up: GateUp::Apart { gate, up }, .. } => {
                        walk.map(one(&[Part::Gate]), one(&[Part::GateBias]), gate);
                        walk.map(one(&[Part::Up]), one(&[Part::UpBias]), up);
                    }
                }
                match mlp {
                    MlpWeights::Plain { down: map, .. } | MlpWeights::Gated { down: map, .. } => {
                        walk.map(down, down_bias, map);
                    }
                }
            }
            if let Some(norm) = &mut block.post_norm2 {
                walk.norm(&[Part::PostNorm2], &[], norm);
            }
        }
        walk.layer = 0;
        walk.norm(&[Part::FinalNorm], &[Part::FinalNormBias], &mut self.final_norm);
        if let Some(head) = &mut self.head {
            walk.matrix(one(&[Part::Head]), head);
        }
        walk.table(one(&[Part::HeadBias]), &mut self.head_bias);
    }

    /// The same model with its matrices in another format, in as many parts, under names of their own:
    /// their buffers are yet to be made. All else is this model's.
    #[must_use]
    pub fn recast(&self, format: Format) -> Self {
        let mut recast = self.clone();
        recast.walk(&mut |leaf| {
            let Values::Matrix(weight) = leaf.values else { return };
            weight.format = format;
            let planes = Weight::plane_bytes(format, weight.columns).len();
            for part in &mut weight.parts {
                part.planes = (0..planes).map(|_| BufferId::fresh()).collect();
            }
        });
        recast
    }

    /// A model of the same shapes under names of its own: gradients, say. Its buffers are yet to be
    /// made; the tables of rotations are this model's.
    #[must_use]
    pub fn shadow(&self) -> Self {
        let mut shadow = self.clone();
        shadow.walk(&mut |leaf| match leaf.values {
            Values::Matrix(weight) => {
                let planes = weight.parts.iter_mut().flat_map(|part| &mut part.planes);
                planes.for_each(|plane| *plane = BufferId::fresh());
            }
            Values::Table(tensor) => tensor.buffer = BufferId::fresh(),
        });
        shadow
    }
}
