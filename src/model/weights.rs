//! The weights of a model on the device, and the role of each.

use crate::config::{Config, Nonlinearity, Rope};
use crate::gpu::{BufferId, Tensor};
use crate::hook::Point;
use crate::ops::Weight;

/// A model whose weights are on the device, or exist only by name in a dry recording.
#[derive(Clone, Debug)]
pub struct Model {
    /// Sizes and kinds.
    pub config: Config,
    /// Token embedding, (V, C); also the head if it is tied.
    pub embed: Weight,
    /// Learned position vectors, (P, C).
    pub positions: Option<Tensor>,
    /// The rotations of queries and keys, one or two, each with its table. The session, on whose
    /// context a table depends, fills it with [`rope_table`](crate::ops::rope_table).
    pub ropes: Vec<(BufferId, Rope)>,
    /// The layers.
    pub blocks: Vec<Block>,
    /// The norm before the head.
    pub final_norm: NormWeights,
    /// The output head, (V, C); `None` if it is tied.
    pub head: Option<Weight>,
    /// Its bias, (1, V).
    pub head_bias: Option<Tensor>,
    /// The hash of all weights as the files have them; `None` without values.
    pub hash: Option<String>,
}

/// One layer's weights.
#[derive(Clone, Debug)]
pub struct Block {
    /// Which layer it is, from 0.
    pub layer: usize,
    /// The norm before attention.
    pub norm1: NormWeights,
    /// Queries, keys and values, joined where their formats are equal.
    pub qkv: Vec<Joined>,
    /// Gains of queries and keys, (2, D).
    pub qk_norm: Option<Tensor>,
    /// The table that rotates queries and keys, and how many values of each head it rotates.
    pub rope: Option<(BufferId, usize)>,
    /// The output projection.
    pub out: Map,
    /// The norm of attention's output.
    pub post_norm1: Option<NormWeights>,
    /// The norm before the MLP; `None` in attention-only models.
    pub norm2: Option<NormWeights>,
    /// The norm of the MLP's output.
    pub post_norm2: Option<NormWeights>,
    /// The MLP.
    pub mlp: Option<MlpWeights>,
}

/// A projection, y = x Wᵀ + b.
#[derive(Clone, Debug)]
pub struct Map {
    /// (outputs, inputs).
    pub weight: Weight,
    /// (1, outputs).
    pub bias: Option<Tensor>,
}

/// Several projections of one input, joined.
#[derive(Clone, Debug)]
pub struct Joined {
    /// Their rows, one after another.
    pub map: Map,
    /// What they compute, in order.
    pub holds: Vec<Qkv>,
}

/// What attention computes of each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qkv {
    /// What a row looks for, (H, D).
    Query,
    /// What a row is found by, (K, D).
    Key,
    /// What a row gives, (K, D).
    Value,
}

/// A norm's gain, and its bias where it has one.
#[derive(Clone, Copy, Debug)]
pub struct NormWeights {
    /// (1, C).
    pub gain: Tensor,
    /// (1, C).
    pub bias: Option<Tensor>,
    /// Its place in the layer, which decides the names of its values.
    pub place: NormPlace,
    /// Its layer; 0 for the final norm.
    pub layer: usize,
}

/// Where a model may have a norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormPlace {
    /// Before attention.
    BeforeAttention,
    /// Between attention and the stream.
    AfterAttention,
    /// Before the MLP.
    BeforeMlp,
    /// Between the MLP and the stream.
    AfterMlp,
    /// Before the head.
    Final,
}

impl NormPlace {
    /// The names of the norm's divisor, and of its value before the gain.
    pub const fn points(self) -> &'static [Point; 2] {
        match self {
            Self::BeforeAttention => &[Point::Ln1Scale, Point::Ln1Normalized],
            Self::AfterAttention => &[Point::Ln1PostScale, Point::Ln1PostNormalized],
            Self::BeforeMlp => &[Point::Ln2Scale, Point::Ln2Normalized],
            Self::AfterMlp => &[Point::Ln2PostScale, Point::Ln2PostNormalized],
            Self::Final => &[Point::LnFinalScale, Point::LnFinalNormalized],
        }
    }
}

/// The weights of an MLP.
#[derive(Clone, Debug)]
pub enum MlpWeights {
    /// down · f(up · x).
    Plain {
        /// (F, C).
        up: Map,
        /// (C, F).
        down: Map,
        /// f.
        function: Nonlinearity,
    },
    /// down · (f(gate · x) ⊙ up · x).
    Gated {
        /// Gate and up.
        gate_up: GateUp,
        /// (C, F).
        down: Map,
        /// f.
        function: Nonlinearity,
    },
}

/// The two first projections of a gated MLP.
#[derive(Clone, Debug)]
pub enum GateUp {
    /// Joined, if their formats are equal: their rows alternate, (2F, C).
    Joined(Map),
    /// Separate.
    Apart {
        /// (F, C).
        gate: Map,
        /// (F, C).
        up: Map,
    },
}

impl MlpWeights {
    /// The last projection, back to the residual stream.
    pub fn down(&self) -> &Map {
        match self {
            Self::Plain { down, .. } | Self::Gated { down, .. } => down,
        }
    }

    /// The projections before the activation.
    pub fn before(&self) -> Vec<&Map> {
        match self {
            Self::Plain { up, .. } => vec![up],
            Self::Gated { gate_up: GateUp::Joined(both), .. } => vec![both],
            Self::Gated { gate_up: GateUp::Apart { gate, up }, .. } => vec![gate, up],
        }
    }
}

impl Model {
    /// The projections of all layers, in the order of the forward pass.
    pub fn maps(&self) -> impl Iterator<Item = &Map> {
        self.blocks.iter().flat_map(|block| {
            let mlp = block.mlp.iter().flat_map(|mlp| mlp.before().into_iter().chain([mlp.down()]));
            block.qkv.iter().map(|joined| &joined.map).chain([&block.out]).chain(mlp)
        })
    }

    /// The matrix that computes logits: the head, or the tied embedding.
    pub fn head(&self) -> &Weight {
        self.head.as_ref().unwrap_or(&self.embed)
    }
}
