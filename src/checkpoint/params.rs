//! The parameters of a model, their shapes, and their layouts in files.

use crate::config::{Config, Mlp, Norm, Position};

/// One parameter of a model. All but the six outside the layers exist once per layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Param {
    /// Token embedding, [V, C]; outside the layers.
    Embed,
    /// Learned positions, [context, C]; outside the layers.
    Positions,
    /// Gain of the first norm, C.
    Norm1,
    /// Bias of the first norm, C.
    Norm1Bias,
    /// Queries, [H·D, C].
    Q,
    /// Keys, [K·D, C].
    K,
    /// Values, [K·D, C].
    V,
    /// Bias of the queries, H·D.
    QBias,
    /// Bias of the keys, K·D.
    KBias,
    /// Bias of the values, K·D.
    VBias,
    /// Gain of each query head's norm, D.
    QNorm,
    /// Gain of each key head's norm, D.
    KNorm,
    /// Attention's output projection, [C, H·D].
    Out,
    /// Bias of the output projection, C.
    OutBias,
    /// Gain of the norm of attention's output, C.
    PostNorm1,
    /// Gain of the second norm, C.
    Norm2,
    /// Bias of the second norm, C.
    Norm2Bias,
    /// The MLP's gate projection, [F, C].
    Gate,
    /// The MLP's up projection, [F, C].
    Up,
    /// The MLP's down projection, [C, F].
    Down,
    /// Bias of the gate projection, F.
    GateBias,
    /// Bias of the up projection, F.
    UpBias,
    /// Bias of the down projection, C.
    DownBias,
    /// Gain of the norm of the MLP's output, C.
    PostNorm2,
    /// Gain of the final norm, C; outside the layers.
    FinalNorm,
    /// Bias of the final norm, C; outside the layers.
    FinalNormBias,
    /// Output head, [V, C]; outside the layers. Absent if tied: the embedding is used.
    Head,
    /// Bias of the output head, V; outside the layers.
    HeadBias,
}

impl Param {
    /// All of them, those outside the layers included.
    pub const ALL: [Self; 28] = [
        Self::Embed,
        Self::Positions,
        Self::Norm1,
        Self::Norm1Bias,
        Self::Q,
        Self::K,
        Self::V,
        Self::QBias,
        Self::KBias,
        Self::VBias,
        Self::QNorm,
        Self::KNorm,
        Self::Out,
        Self::OutBias,
        Self::PostNorm1,
        Self::Norm2,
        Self::Norm2Bias,
        Self::Gate,
        Self::Up,
        Self::Down,
        Self::GateBias,
        Self::UpBias,
        Self::DownBias,
        Self::PostNorm2,
        Self::FinalNorm,
        Self::FinalNormBias,
        Self::Head,
        Self::HeadBias,
    ];

    /// Whether the parameter exists once per layer.
    pub fn in_layer(self) -> bool {
        use Param::{Embed, FinalNorm, FinalNormBias, Head, HeadBias, Positions};
        !matches!(self, Embed | Positions | FinalNorm | FinalNormBias | Head | HeadBias)
    }

    /// Whether a model with this configuration has the parameter.
    pub fn belongs_to(self, config: &Config) -> bool {
        let layer_norm = config.norm == Norm::LayerNorm;
        let has_mlp = config.mlp != Mlp::None;
        let gated = config.mlp.gated();
        match self {
            Self::Embed | Self::Norm1 | Self::FinalNorm => true,
            Self::Q | Self::K | Self::V | Self::Out => true,
            Self::Positions => config.position == Position::Learned,
            Self::Norm1Bias | Self::FinalNormBias => layer_norm,
            Self::QBias | Self::KBias | Self::VBias => config.biases.qkv,
            Self::QNorm | Self::KNorm => config.qk_norm,
            Self::OutBias => config.biases.out,
            Self::Norm2 | Self::Up | Self::Down => has_mlp,
            Self::Norm2Bias => has_mlp && layer_norm,
            Self::Gate => gated,
            Self::GateBias => gated && config.biases.mlp,
            Self::UpBias | Self::DownBias => has_mlp && config.biases.mlp,
            Self::PostNorm1 => config.post_norms,
            Self::PostNorm2 => has_mlp && config.post_norms,
            Self::Head => !config.tied_head,
            Self::HeadBias => config.biases.head,
        }
    }

    /// Whether the parameter is a matrix: a linear layer or a table of vectors.
    pub fn is_matrix(self) -> bool {
        use Param::{Down, Embed, Gate, Head, K, Out, Positions, Q, Up, V};
        matches!(self, Embed | Positions | Q | K | V | Out | Gate | Up | Down | Head)
    }

    /// The rows and columns of the parameter in a model with this configuration; a vector is one
    /// row.
    pub fn size(self, config: &Config) -> [usize; 2] {
        match self.shape(config) {
            Shape::Matrix(rows, columns) => [rows, columns],
            Shape::Vector(count) => [1, count],
        }
    }

    /// The number of values of the parameter in a model with this configuration.
    pub fn values(self, config: &Config) -> usize {
        self.size(config).iter().product()
    }

    pub(super) fn shape(self, config: &Config) -> Shape {
        let (queries, keys) = (config.q_width(), config.kv_width());
        let (width, hidden) = (config.width, config.mlp.hidden());
        match self {
            Self::Embed | Self::Head => Shape::Matrix(config.vocab, width),
            Self::Positions => Shape::Matrix(config.context, width),
            Self::Q => Shape::Matrix(queries, width),
            Self::K | Self::V => Shape::Matrix(keys, width),
            Self::Out => Shape::Matrix(width, queries),
            Self::Gate | Self::Up => Shape::Matrix(hidden, width),
            Self::Down => Shape::Matrix(width, hidden),
            Self::QBias => Shape::Vector(queries),
            Self::KBias | Self::VBias => Shape::Vector(keys),
            Self::QNorm | Self::KNorm => Shape::Vector(config.head_width),
            Self::GateBias | Self::UpBias => Shape::Vector(hidden),
            Self::Norm1 | Self::Norm1Bias | Self::Norm2 | Self::Norm2Bias => Shape::Vector(width),
            Self::OutBias | Self::DownBias => Shape::Vector(width),
            Self::PostNorm1 | Self::PostNorm2 => Shape::Vector(width),
            Self::HeadBias => Shape::Vector(config.vocab),
            Self::FinalNorm | Self::FinalNormBias => Shape::Vector(width),
        }
    }
}

/// The shape of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// [out, in].
    Matrix(usize, usize),
    /// A gain or a bias.
    Vector(usize),
}

/// How a parameter is stored in the file's tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The tensor is the parameter, [out, in].
    Whole,
    /// As `Whole`, but the two values of each rotated pair of a head are adjacent.
    Paired,
    /// The tensor is the parameter's transpose, [in, out].
    Transposed,
    /// The tensor is q|k|v, or gate|up, along its outputs.
    Joined,
    /// The tensor is the transpose of q|k|v.
    JoinedTransposed,
    /// The tensor is q|k|v of the first head, then of the next.
    ByHead,
    /// The tensor is the parameter minus one.
    MinusOne,
}
