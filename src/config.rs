//! The hyper-parameters of a decoder-only transformer.

/// A model's hyper-parameters, independent of the file format.
///
/// One forward page serves every family: it reads these fields and nothing else. In the default
/// all sizes are 0 and all options are off; the readers of files fill it in.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// Factor of the token embeddings; `None` is 1.
    pub embed_scale: Option<f32>,
    /// The normalization before each sub-layer and before the head.
    pub norm: Norm,
    /// ε inside the normalization's root.
    pub norm_eps: f64,
    /// Whether the outputs of attention and MLP are normalized before they are added to the stream.
    pub post_norms: bool,
    /// Whether attention and MLP are parallel: the MLP then reads the stream before attention adds
    /// to it.
    pub parallel: bool,
    /// The kind of position embedding.
    pub position: Position,
    /// The MLP of each layer.
    pub mlp: Mlp,
    /// Which linear layers have a bias.
    pub biases: Biases,
    /// Whether queries and keys are RMS-normalized per head before the rotation.
    pub qk_norm: bool,
    /// Scores are q·k times this; `None` is 1/√D.
    pub attention_scale: Option<f64>,
    /// Cap of the scores s before the mask: cap · tanh(s / cap).
    pub attention_softcap: Option<f64>,
    /// What differs between layers; one entry per layer.
    pub kinds: Vec<LayerKind>,
    /// Whether the output head is the transposed embedding.
    pub tied_head: bool,
    /// Cap of the logits l: cap · tanh(l / cap).
    pub logit_softcap: Option<f64>,
    /// The token that begins a text, if the tokenizer's own rules ask for one.
    pub bos: Option<u32>,
    /// Tokens that end a text; ids outside the vocabulary are dropped.
    pub eos: Vec<u32>,
}

/// What may differ between the layers of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerKind {
    /// Sliding window: a query sees this many latest positions, its own included; `None` is all.
    pub window: Option<usize>,
    /// The layer's own rotary embedding, instead of the model's.
    pub rope: Option<Rope>,
}

/// The kinds of normalization.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Norm {
    /// (x − mean) / √(var + ε) ⊙ γ + β, with the biased variance.
    LayerNorm,
    /// x / √(mean(x²) + ε) ⊙ γ.
    #[default]
    RmsNorm,
}

/// The kinds of position embedding.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Position {
    /// A learned vector per position, added to the embedding.
    #[default]
    Learned,
    /// Rotary embedding of queries and keys; pairs are (i, i + rotated/2) within a head.
    Rope(Rope),
}

/// Rotary position embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// θ: pair i is rotated by position · θ^(−2i/rotated) radians.
    pub base: f64,
    /// How many leading values of each head are rotated; even, at most the head width.
    pub rotated: usize,
    /// How the frequencies are scaled.
    pub scaling: RopeScaling,
}

/// Ways of scaling rotary frequencies for longer contexts.
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
        /// The context before scaling.
        original_context: f64,
    },
    /// A divisor for each pair, as in GGUF's `rope_freqs.weight`; `rotated / 2` values.
    Factors(Vec<f32>),
    /// YaRN: low frequencies divided by the factor, high ones kept, a ramp over the pairs between.
    Yarn {
        /// The divisor of low frequencies.
        factor: f64,
        /// Pairs that make at least this many turns within `original_context` are kept.
        fast: f64,
        /// Pairs that make at most this many turns are divided.
        slow: f64,
        /// The context before scaling.
        original_context: f64,
        /// Whether the ends of the ramp are rounded to whole pairs.
        whole: bool,
        /// Rotated queries and keys are longer by this factor.
        amplitude: f64,
    },
    /// LongRoPE: two sets of divisors, one for each pair; `rotated / 2` values each.
    ///
    /// The context of the session decides, since one cache cannot hold keys rotated in two ways.
    Long {
        /// For contexts up to `original_context`.
        short: Vec<f32>,
        /// For longer ones.
        long: Vec<f32>,
        /// The context before scaling.
        original_context: usize,
        /// Rotated queries and keys are longer by this factor.
        amplitude: f64,
    },
}

/// The rotation that a rotary embedding applies.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotation {
    /// Radians per position, one value per pair.
    pub frequencies: Vec<f64>,
    /// Factor of the rotated pairs; 1 without scaling.
    pub amplitude: f64,
}

/// The activation functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonlinearity {
    /// GELU in its tanh form, ½x(1 + tanh(√(2/π)(x + 0.044715x³))).
    GeluTanh,
    /// GELU, ½x(1 + erf(x/√2)).
    Gelu,
    /// `SiLU`, x / (1 + e^(−x)).
    Silu,
}

/// The kinds of MLP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mlp {
    /// No MLP: an attention-only model.
    #[default]
    None,
    /// down · f(up · x).
    Plain {
        /// F: hidden width.
        hidden: usize,
        /// f.
        function: Nonlinearity,
    },
    /// down · (f(gate · x) ⊙ up · x).
    Gated {
        /// F: hidden width.
        hidden: usize,
        /// f.
        function: Nonlinearity,
    },
}

impl Mlp {
    /// F: the hidden width; 0 in an attention-only model.
    pub fn hidden(self) -> usize {
        match self {
            Self::None => 0,
            Self::Plain { hidden, .. } | Self::Gated { hidden, .. } => hidden,
        }
    }

    /// Whether it is gated.
    pub fn gated(self) -> bool {
        matches!(self, Self::Gated { .. })
    }
}

/// Which linear layers have a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Biases {
    /// Queries, keys and values.
    pub qkv: bool,
    /// The attention's output projection.
    pub out: bool,
    /// Both (or all three) projections of the MLP.
    pub mlp: bool,
    /// The output head.
    pub head: bool,
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

    /// What q·k is multiplied by before the softmax.
    pub fn attention_scale(&self) -> f64 {
        self.attention_scale.unwrap_or(1.0 / (self.head_width as f64).sqrt())
    }

    /// How many latest positions a layer's queries see, their own included; `None` is all.
    pub fn window(&self, layer: usize) -> Option<usize> {
        self.kinds.get(layer)?.window
    }

    /// The windows of all layers.
    pub fn windows(&self) -> Vec<Option<usize>> {
        (0..self.layers).map(|layer| self.window(layer)).collect()
    }

    /// Sets the windows of the layers, in order.
    pub fn set_windows(&mut self, windows: impl IntoIterator<Item = Option<usize>>) {
        for (kind, window) in self.kinds.iter_mut().zip(windows) {
            kind.window = window;
        }
    }

    /// The rotary embedding of a layer's queries and keys, if there is one.
    pub fn rope(&self, layer: usize) -> Option<&Rope> {
        let Position::Rope(rope) = &self.position else { return None };
        Some(self.kinds.get(layer).and_then(|kind| kind.rope.as_ref()).unwrap_or(rope))
    }
}

impl Rope {
    /// The rotation of each pair in a session of `context` positions.
    ///
    /// Sources: Su et al. 2021 (`RoFormer`); Llama 3.1; Peng et al. 2023 (YaRN); Ding et al. 2024
    /// (LongRoPE).
    pub fn rotation(&self, context: usize) -> Rotation {
        let scaled = |i: usize| {
            let plain = self.base.powf(-2.0 * i as f64 / self.rotated as f64);
            match &self.scaling {
                RopeScaling::None => plain,
                RopeScaling::Linear { factor } => plain / factor,
                RopeScaling::Llama3 { factor, low, high, original_context } => {
                    let turns = original_context * plain / std::f64::consts::TAU;
                    let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                    (1.0 - kept) * plain / factor + kept * plain
                }
                RopeScaling::Yarn { factor, .. } => {
                    let kept = 1.0 - self.ramp(i);
                    (1.0 - kept) * plain / factor + kept * plain
                }
                RopeScaling::Factors(divisors) => plain / f64::from(divisors[i]),
                RopeScaling::Long { short, original_context, .. }
                    if context <= *original_context =>
                {
                    plain / f64::from(short[i])
                }
                RopeScaling::Long { long, .. } => plain / f64::from(long[i]),
            }
        };
        let amplitude = match &self.scaling {
            RopeScaling::Yarn { amplitude, .. } | RopeScaling::Long { amplitude, .. } => *amplitude,
            _ => 1.0,
        };
        Rotation { frequencies: (0..self.rotated / 2).map(scaled).collect(), amplitude }
    }

    /// What is wrong with the rotation in sessions of up to `context` positions, if its numbers do
    /// not fit into the f32 that a device computes with.
    pub(crate) fn fault(&self, context: usize) -> Option<String> {
        // LongRoPE has two sets of frequencies, for short sessions and for long ones.
        for session in [0, usize::MAX] {
            let Rotation { frequencies, amplitude } = self.rotation(session);
            // Scores are products of two rotated values.
            if !((amplitude * amplitude) as f32).is_finite() || amplitude as f32 <= 0.0 {
                return Some(format!(
                    "scales rotated queries and keys by {amplitude}, which f32 cannot hold"
                ));
            }
            let angle = |frequency: f64| (frequency * context as f64) as f32;
            let wrong = |(_, frequency): &(usize, &f64)| !angle(**frequency).is_finite();
            if let Some((pair, turn)) = frequencies.iter().enumerate().find(wrong) {
                return Some(format!(
                    "rotates pair {pair} by {turn} radians per position, which f32 cannot hold"
                ));
            }
        }
        None
    }

    /// YaRN's ramp over the pairs: 0 where they are kept, 1 where they are divided.
    fn ramp(&self, i: usize) -> f64 {
        let RopeScaling::Yarn { fast, slow, original_context, whole, .. } = &self.scaling else {
            return 0.0;
        };
        // The (fractional) index of the pair that makes so many turns within the original context.
        let pair = |turns: f64| {
            let period = original_context / (turns * std::f64::consts::TAU);
            self.rotated as f64 * period.ln() / (2.0 * self.base.ln())
        };
        let (mut first, mut last) = (pair(*fast), pair(*slow));
        if *whole {
            (first, last) = (first.floor(), last.ceil());
        }
        (first, last) = (first.max(0.0), last.min(self.rotated as f64 - 1.0));
        if first == last {
            last += 0.001;
        }
        ((i as f64 - first) / (last - first)).clamp(0.0, 1.0)
    }
}
