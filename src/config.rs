//! The sizes and kinds that tell one decoder-only transformer from another.

/// A model's hyper-parameters, whatever file they came from.
///
/// One forward page serves every family: it reads these fields and nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The architecture as the file names it, such as `gpt2` or `llama`.
    pub architecture: String,
    /// V: tokens in the vocabulary.
    pub vocab: usize,
    /// L: layers.
    pub layers: usize,
    /// C: width of the residual stream.
    pub width: usize,
    /// H: query heads.
    pub heads: usize,
    /// K: key/value heads; divides `heads`.
    pub kv_heads: usize,
    /// D: width of one head.
    pub head_width: usize,
    /// Longest sequence, in tokens, that the model was made for.
    pub context: usize,
    /// The normalisation before each sub-layer and before the head.
    pub norm: Norm,
    /// ε inside the normalisation's root.
    pub norm_eps: f64,
    /// How the model knows the order of its tokens.
    pub position: Position,
    /// The multilayer perceptron of each layer.
    pub mlp: Mlp,
    /// Which linear maps add a bias.
    pub biases: Biases,
    /// Whether queries and keys are RMS-normalised per head before the rotation.
    pub qk_norm: bool,
    /// Sliding window: a query sees this many latest positions, itself included.
    /// One entry a layer; `None` sees everything before it.
    pub windows: Vec<Option<usize>>,
    /// Whether the output head is the transposed embedding.
    pub tied_head: bool,
    /// The token put before a text, where the tokenizer's own rules ask for one.
    pub bos: Option<u32>,
    /// Tokens that end a text; ids outside the vocabulary are dropped.
    pub eos: Vec<u32>,
}

/// The kinds of normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// (x − mean) / √(var + ε) ⊙ γ + β, with the biased variance.
    LayerNorm,
    /// x / √(mean(x²) + ε) ⊙ γ.
    RmsNorm,
}

/// The kinds of position information.
#[derive(Clone, Debug, PartialEq)]
pub enum Position {
    /// A learned vector per position, added to the embedding.
    Learned,
    /// Rotary embedding of queries and keys; pairs are (i, i + rotated/2) within a head.
    Rope(Rope),
}

/// Rotary position embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// θ: pair i turns by position · θ^(−2i/rotated).
    pub base: f64,
    /// How many leading values of each head turn; even, at most the head width.
    pub rotated: usize,
    /// A further scaling of the frequencies.
    pub scaling: RopeScaling,
}

/// Ways of stretching rotary frequencies to longer contexts.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// None.
    None,
    /// Every frequency divided by the factor.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3's: low frequencies divided by the factor, high ones kept, a blend between.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f64,
        /// Wavelengths longer than `original_context` / low are divided.
        low: f64,
        /// Wavelengths shorter than `original_context` / high are kept.
        high: f64,
        /// The context before stretching.
        original_context: f64,
    },
    /// A divisor for each pair, as GGUF's `rope_freqs.weight` gives; `rotated / 2` values.
    Factors(Vec<f32>),
}

/// The kinds of multilayer perceptron.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mlp {
    /// Attention-only model.
    None,
    /// down · gelu(up · x), GELU in its tanh form.
    Gelu {
        /// F: hidden width.
        hidden: usize,
    },
    /// down · (silu(gate · x) ⊙ up · x).
    SwiGlu {
        /// F: hidden width.
        hidden: usize,
    },
}

impl Mlp {
    /// F: the hidden width; 0 in an attention-only model.
    pub fn hidden(self) -> usize {
        match self {
            Self::None => 0,
            Self::Gelu { hidden } | Self::SwiGlu { hidden } => hidden,
        }
    }
}

/// Which linear maps add a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Biases {
    /// Queries, keys and values.
    pub qkv: bool,
    /// The attention's output projection.
    pub out: bool,
    /// Both (or all three) maps of the perceptron.
    pub mlp: bool,
}

impl Config {
    /// H·D: width of all queries of one position.
    pub fn q_width(&self) -> usize {
        self.heads * self.head_width
    }

    /// K·D: width of all keys (or values) of one position.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_width
    }

    /// What q·k is multiplied by before the softmax: 1/√D.
    pub fn attention_scale(&self) -> f64 {
        1.0 / (self.head_width as f64).sqrt()
    }

    /// The angular frequency of each rotated pair, in radians a position; empty without RoPE.
    ///
    /// Source: Su et al. 2021 (`RoFormer`); the scaled form is Llama 3.1's.
    pub fn rope_frequencies(&self) -> Vec<f64> {
        let Position::Rope(rope) = &self.position else { return Vec::new() };
        (0..rope.rotated / 2)
            .map(|i| {
                let plain = rope.base.powf(-2.0 * i as f64 / rope.rotated as f64);
                match &rope.scaling {
                    RopeScaling::None => plain,
                    RopeScaling::Linear { factor } => plain / factor,
                    RopeScaling::Llama3 { factor, low, high, original_context } => {
                        let wavelength = std::f64::consts::TAU / plain;
                        let turns = original_context / wavelength;
                        let blend = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                        (1.0 - blend) * plain / factor + blend * plain
                    }
                    RopeScaling::Factors(divisors) => plain / f64::from(divisors[i]),
                }
            })
            .collect()
    }
}
