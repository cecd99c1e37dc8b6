//! What a generation is asked for, and what it gives.

use std::time::Duration;

use crate::gpu::Counters;
use crate::hook::Hook;
use crate::model::{Activation, Edit};
use crate::sampling::Sampling;

/// What to generate.
#[derive(Clone, Debug)]
pub struct Request {
    /// The most tokens to draw.
    pub max_new_tokens: usize,
    /// How each is drawn.
    pub sampling: Sampling,
    /// Texts that end the generation; they are not part of the result.
    pub stop: Vec<String>,
    /// Continue after an end token.
    pub ignore_eos: bool,
    /// Give ln p of each drawn token and of this many of the most probable ones.
    pub logprobs: Option<usize>,
    /// Reuse the beginning that the prompt shares with the text generated before, whose keys and
    /// values are still in the caches. If two runs read it in pieces of different sizes, the last
    /// bits may differ; without this, equal requests give equal bits.
    pub reuse_prefix: bool,
    /// Changes of named values, in the prompt and with every token that is drawn. Keys and values
    /// made with other edits are never reused, nor are those made with functions or ops of the
    /// caller's own.
    pub edits: Vec<(Hook, Edit)>,
    /// Keep these named values of every token that is read: [`Generation::kept`]. The prompt is then
    /// read in full.
    pub keep: Vec<Hook>,
}

impl Default for Request {
    /// 128 tokens, greedily.
    fn default() -> Self {
        Self {
            max_new_tokens: 128,
            sampling: Sampling::default(),
            stop: Vec::new(),
            ignore_eos: false,
            logprobs: None,
            reuse_prefix: false,
            edits: Vec::new(),
            keep: Vec::new(),
        }
    }
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    /// As many tokens as requested were drawn.
    Length,
    /// An end token was drawn.
    Eos,
    /// A stop text was reached.
    Stop,
    /// The context is full.
    Context,
    /// The caller ended it early.
    Interrupted,
}

/// A drawn token's ln p, and those of the most probable tokens at that place.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct TokenTop {
    /// The drawn token.
    pub token: u32,
    /// Its ln p.
    pub logprob: f32,
    /// (id, ln p) of the most probable tokens, best first.
    pub top: Vec<(u32, f32)>,
}

/// One drawn token.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The token.
    pub token: u32,
    /// The text that may be shown now: whole characters, no part of a stop text.
    pub text: String,
    /// Its probabilities, if they were asked for.
    pub top: Option<TokenTop>,
}

/// What happens in a generation.
#[derive(Clone, Debug)]
pub enum Event {
    /// More of the prompt was read.
    Prefill {
        /// How many tokens' worth of reading is done.
        done: usize,
        /// How many tokens the prompt has.
        total: usize,
    },
    /// A token was drawn.
    Token(Piece),
}

/// A whole generation.
#[derive(Clone, Debug)]
pub struct Generation {
    /// The drawn tokens, including an end token.
    pub tokens: Vec<u32>,
    /// Their text, without end token or stop text; `None` without a tokenizer.
    pub text: Option<String>,
    /// Why it ended.
    pub finish: Finish,
    /// How many of the prompt's tokens were not read again ([`Request::reuse_prefix`]).
    pub reused: usize,
    /// One entry per token, if they were asked for.
    pub logprobs: Option<Vec<TokenTop>>,
    /// The values of [`Request::keep`], of the prompt's tokens and of all drawn ones but the last,
    /// which was not read.
    pub kept: Vec<Activation>,
    /// What the engine did in this many steps, after the first; `None` on the reference.
    pub counters: Option<(Counters, usize)>,
}

/// How long things took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// From the call to the first drawn token.
    pub first_token: Duration,
    /// From the first drawn token to the last.
    pub decode: Duration,
}
