//! A model of names without numbers: enough to record and print its schedule, not to run it.

use crate::config::{Config, Mlp, Norm, Position, Rope};
use crate::gpu::{BufferId, Tensor};
use crate::names::Format;
use crate::ops::Weight;

use super::load::{ropes, turn};
use super::{Block, Joined, Map, MlpWeights, Model, NormWeights};

/// What every weight of a dry model has in common.
struct Dry<'a> {
    config: &'a Config,
    format: Format,
    max_binding: u64,
}

impl Model {
    /// A model of these sizes whose weights exist only by name, joined and split as
    /// [`Model::load`] would. Recording its forward page shows what a run would do.
    ///
    /// Every matrix is stored in `format`, or in f32 where its width does not fill whole blocks,
    /// and in parts of at most `max_binding` bytes.
    pub fn dry(config: Config, format: Format, max_binding: u64) -> Self {
        let dry = Dry { config: &config, format, max_binding };
        let (vocab, width) = (config.vocab, config.width);
        let learned = config.position == Position::Learned;
        let ropes = ropes(&config);
        Self {
            embed: dry.weight("embed", vocab, width),
            positions: learned.then(|| Tensor::lasting(config.context, width)),
            blocks: (0..config.layers).map(|layer| dry.block(layer, &ropes)).collect(),
            ropes,
            final_norm: dry.norm(),
            head: (!config.tied_head).then(|| dry.weight("head", vocab, width)),
            head_bias: config.biases.head.then(|| Tensor::lasting(1, vocab)),
            config,
        }
    }
}

impl Dry<'_> {
    fn block(&self, layer: usize, ropes: &[(BufferId, Rope)]) -> Block {
        let Config { width, biases, .. } = *self.config;
        let (queries, keys) = (self.config.q_width(), self.config.kv_width());
        let name = |part: &str| format!("{layer}.{part}");
        let qkv = self.map(&name("q|k|v"), queries + 2 * keys, width, biases.qkv);
        let map = |part, rows, columns| self.map(&name(part), rows, columns, biases.mlp);
        let mlp = match self.config.mlp {
            Mlp::None => None,
            Mlp::Plain { hidden, function } => Some(MlpWeights::Plain {
                up: map("up", hidden, width),
                down: map("down", width, hidden),
                function,
            }),
            Mlp::Gated { hidden, function } => Some(MlpWeights::Gated {
                gate_up: map("gate|up", 2 * hidden, width),
                down: map("down", width, hidden),
                function,
            }),
        };
        let post_norm = || self.config.post_norms.then(|| self.norm());
        Block {
            norm1: self.norm(),
            qkv: vec![Joined { map: qkv, holds: vec![0, 1, 2] }],
            qk_norm: self.config.qk_norm.then(|| Tensor::lasting(2, self.config.head_width)),
            rope: turn(self.config, layer, ropes),
            out: self.map(&name("out"), width, queries, biases.out),
            post_norm1: post_norm(),
            norm2: mlp.is_some().then(|| self.norm()),
            post_norm2: mlp.as_ref().and_then(|_| post_norm()),
            mlp,
        }
    }

    fn map(&self, name: &str, rows: usize, columns: usize, biased: bool) -> Map {
        let bias = biased.then(|| Tensor::lasting(1, rows));
        Map { weight: self.weight(name, rows, columns), bias }
    }

    fn weight(&self, name: &str, rows: usize, columns: usize) -> Weight {
        let whole = columns.is_multiple_of(self.format.block());
        let format = if whole { self.format } else { Format::F32 };
        Weight::named(name, format, rows, columns, self.max_binding)
    }

    fn norm(&self) -> NormWeights {
        let vector = || Tensor::lasting(1, self.config.width);
        let biased = self.config.norm == Norm::LayerNorm;
        NormWeights { gain: vector(), bias: biased.then(vector) }
    }
}
