//! Every tensor of a model, in order: for their sizes, for training and for saving.

use crate::checkpoint::Param;
use crate::format::Format;
use crate::gpu::{BufferId, Tensor};
use crate::ops::Weight;

use super::weights::{GateUp, Map, MlpWeights, Model, NormWeights, Qkv};

/// One tensor of a model on the device, and the parameters that its rows hold.
#[derive(Debug)]
pub struct ParamRef<'a> {
    /// The parameters: one, or several that were joined.
    pub params: &'static [Param],
    /// Their layer; 0 outside the layers.
    pub layer: usize,
    /// Whether the rows of the parameters alternate; otherwise they follow one another.
    pub alternate: bool,
    /// The tensor.
    pub values: Values<'a>,
}

/// A tensor as the model holds it.
#[derive(Debug)]
pub enum Values<'a> {
    /// A matrix.
    Matrix(&'a mut Weight),
    /// Vectors joined in one row or stacked as rows; learned positions too.
    Vector(&'a mut Tensor),
}

/// What the rows of a leaf are.
type Rows = (&'static [Param], bool);

const QKV: &[Param] = &[Param::Q, Param::K, Param::V];
const QKV_BIAS: &[Param] = &[Param::QBias, Param::KBias, Param::VBias];
const QV: &[Param] = &[Param::Q, Param::V];
const QV_BIAS: &[Param] = &[Param::QBias, Param::VBias];
const GATE_UP: Rows = (&[Param::Gate, Param::Up], true);
const GATE_UP_BIAS: Rows = (&[Param::GateBias, Param::UpBias], true);

/// Visits the leaves of one layer, or those outside the layers.
struct Walk<'f> {
    layer: usize,
    visit: &'f mut dyn FnMut(ParamRef<'_>),
}

impl Walk<'_> {
    fn leaf(&mut self, (params, alternate): Rows, values: Values<'_>) {
        (self.visit)(ParamRef { params, layer: self.layer, alternate, values });
    }

    fn matrix(&mut self, rows: Rows, weight: &mut Weight) {
        self.leaf(rows, Values::Matrix(weight));
    }

    fn table<'t>(&mut self, rows: Rows, tensor: impl IntoIterator<Item = &'t mut Tensor>) {
        for tensor in tensor {
            self.leaf(rows, Values::Vector(tensor));
        }
    }

    fn map(&mut self, weight: Rows, bias: Rows, map: &mut Map) {
        self.matrix(weight, &mut map.weight);
        self.table(bias, &mut map.bias);
    }

    fn norm(&mut self, gain: &'static [Param], bias: &'static [Param], norm: &mut NormWeights) {
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
                Values::Vector(tensor) => tensor.bytes(),
            }
        });
        bytes
    }

    /// Visits every tensor, in the order of the forward pass.
    pub fn walk(&mut self, visit: &mut dyn FnMut(ParamRef<'_>)) {
        let mut walk = Walk { layer: 0, visit };
        let one = |part: &'static [Param]| (part, false);
        walk.matrix(one(&[Param::Embed]), &mut self.embed);
        walk.table(one(&[Param::Positions]), &mut self.positions);
        for (layer, block) in self.blocks.iter_mut().enumerate() {
            walk.layer = layer;
            walk.norm(&[Param::Norm1], &[Param::Norm1Bias], &mut block.norm1);
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
            walk.table(one(&[Param::QNorm, Param::KNorm]), &mut block.qk_norm);
            walk.map(one(&[Param::Out]), one(&[Param::OutBias]), &mut block.out);
            if let Some(norm) = &mut block.post_norm1 {
                walk.norm(&[Param::PostNorm1], &[], norm);
            }
            if let Some(norm) = &mut block.norm2 {
                walk.norm(&[Param::Norm2], &[Param::Norm2Bias], norm);
            }
            if let Some(mlp) = &mut block.mlp {
                let (down, down_bias) = (one(&[Param::Down]), one(&[Param::DownBias]));
                match mlp {
                    MlpWeights::Plain { up, .. } => {
                        walk.map(one(&[Param::Up]), one(&[Param::UpBias]), up);
                    }
                    MlpWeights::Gated { gate_up: GateUp::Joined(both), .. } => {
                        walk.map(GATE_UP, GATE_UP_BIAS, both);
                    }
                    MlpWeights::Gated { gate_up: GateUp::Apart { gate, up }, .. } => {
                        walk.map(one(&[Param::Gate]), one(&[Param::GateBias]), gate);
                        walk.map(one(&[Param::Up]), one(&[Param::UpBias]), up);
                    }
                }
                match mlp {
                    MlpWeights::Plain { down: map, .. } | MlpWeights::Gated { down: map, .. } => {
                        walk.map(down, down_bias, map);
                    }
                }
            }
            if let Some(norm) = &mut block.post_norm2 {
                walk.norm(&[Param::PostNorm2], &[], norm);
            }
        }
        walk.layer = 0;
        walk.norm(&[Param::FinalNorm], &[Param::FinalNormBias], &mut self.final_norm);
        if let Some(head) = &mut self.head {
            walk.matrix(one(&[Param::Head]), head);
        }
        walk.table(one(&[Param::HeadBias]), &mut self.head_bias);
    }

    /// The same model with its matrices in another format, in the same parts, with new ids: their
    /// buffers must still be created. Everything else is shared with this model.
    #[must_use]
    pub fn with_format(&self, format: Format) -> Self {
        let mut with_format = self.clone();
        with_format.walk(&mut |leaf| {
            let Values::Matrix(weight) = leaf.values else { return };
            weight.format = format;
            let planes = Weight::plane_bytes(format, weight.columns).len();
            for part in &mut weight.shards {
                part.planes = (0..planes).map(|_| BufferId::fresh()).collect();
            }
        });
        with_format
    }

    /// A model of the same shapes with new ids: for gradients, say. Its buffers must still be
    /// created; the rotation tables are shared with this model.
    #[must_use]
    pub fn empty_like(&self) -> Self {
        let mut empty_like = self.clone();
        empty_like.walk(&mut |leaf| match leaf.values {
            Values::Matrix(weight) => {
                let planes = weight.shards.iter_mut().flat_map(|part| &mut part.planes);
                planes.for_each(|plane| *plane = BufferId::fresh());
            }
            Values::Vector(tensor) => tensor.buffer = BufferId::fresh(),
        });
        empty_like
    }
}
