//! The model on the device: its weights, its state, and the forward page.

mod dry;
mod forward;
mod hooks;
mod leaves;
mod load;
mod loader;
mod plan;
mod programs;
mod session;
mod tape;
mod unfused;

#[cfg(feature = "train")]
pub(crate) use forward::norm;
pub use forward::{forward, layers, logits};
pub use hooks::{Action, Change, Edit, copied, hooks, offered};
pub use leaves::{Leaf, Values};
pub use load::{Fit, LoadOptions};
pub use plan::{SessionOptions, context, layer_cache, plan};
#[cfg(feature = "train")]
pub(crate) use plan::{create_cache, free_memory, pieces};
pub use programs::{programs, workload};
pub(crate) use session::Reading;
pub use session::{Activation, Observed, Row, Scored, Session};
pub use tape::{Drop, Marks, Tape};

use crate::config::{Config, Nonlinearity, Rope};
use crate::gpu::{BufferId, Tensor};
use crate::ops::Weight;

/// A model whose weights lie on the device, or exist only by name in a dry recording.
#[derive(Clone, Debug)]
pub struct Model {
    /// Sizes and kinds.
    pub config: Config,
    /// Token embedding, (V, C); the head too where it is tied.
    pub embed: Weight,
    /// Learned position vectors, (P, C).
    pub positions: Option<Tensor>,
    /// How queries and keys turn, in one way or in two, and the table of each that
    /// [`rope_table`](crate::ops::rope_table) makes: by the session, whose context it depends on.
    pub ropes: Vec<(BufferId, Rope)>,
    /// The layers.
    pub blocks: Vec<Block>,
    /// The norm before the head.
    pub final_norm: NormWeights,
    /// The output head, (V, C); absent where it is tied.
    pub head: Option<Weight>,
    /// Its bias, (1, V).
    pub head_bias: Option<Tensor>,
}

/// One layer's weights.
#[derive(Clone, Debug)]
pub struct Block {
    /// The norm before attention.
    pub norm1: NormWeights,
    /// Queries, keys and values, joined where their formats are equal.
    pub qkv: Vec<Joined>,
    /// Gains of queries and keys, (2, D).
    pub qk_norm: Option<Tensor>,
    /// The table by which queries and keys turn, and how many values of each head do.
    pub rope: Option<(BufferId, usize)>,
    /// The output projection.
    pub out: Map,
    /// The norm of what attention gives.
    pub post_norm1: Option<NormWeights>,
    /// The norm before the perceptron; absent in attention-only models.
    pub norm2: Option<NormWeights>,
    /// The norm of what the perceptron gives.
    pub post_norm2: Option<NormWeights>,
    /// The perceptron.
    pub mlp: Option<MlpWeights>,
}

/// A linear map.
#[derive(Clone, Debug)]
pub struct Map {
    /// (outputs, inputs).
    pub weight: Weight,
    /// (1, outputs).
    pub bias: Option<Tensor>,
}

/// Several linear maps of one input as one.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The maps' rows, one after another.
    pub map: Map,
    /// Which of queries (0), keys (1) and values (2) it holds, in order.
    pub holds: Vec<usize>,
}

/// A norm's gain, and its bias where it has one.
#[derive(Clone, Copy, Debug)]
pub struct NormWeights {
    /// (1, C).
    pub gain: Tensor,
    /// (1, C).
    pub bias: Option<Tensor>,
}

/// A perceptron's weights.
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
    /// down · (f(gate · x) ⊙ up · x), the rows of gate and up alternating.
    Gated {
        /// (2F, C).
        gate_up: Map,
        /// (C, F).
        down: Map,
        /// f.
        function: Nonlinearity,
    },
    /// The same, where the formats of gate and up differ.
    GatedApart {
        /// (F, C).
        gate: Map,
        /// (F, C).
        up: Map,
        /// (C, F).
        down: Map,
        /// f.
        function: Nonlinearity,
    },
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

    /// The linear maps of all layers, in the order of the forward pass.
    pub fn maps(&self) -> impl Iterator<Item = &Map> {
        self.blocks.iter().flat_map(|block| {
            let mlp = match &block.mlp {
                None => Vec::new(),
                Some(MlpWeights::Plain { up, down, .. }) => vec![up, down],
                Some(MlpWeights::Gated { gate_up, down, .. }) => vec![gate_up, down],
                Some(MlpWeights::GatedApart { gate, up, down, .. }) => vec![gate, up, down],
            };
            block.qkv.iter().map(|joined| &joined.map).chain([&block.out]).chain(mlp)
        })
    }

    /// The matrix that makes logits.
    pub fn head(&self) -> &Weight {
        self.head.as_ref().unwrap_or(&self.embed)
    }
}
