//! The text side of a generation.

use crate::gpu::Counters;
use crate::tokenizer;
use crate::tokenizer::Tokenizer;

use super::request::{Finish, Generation, Piece, Request, TokenTop};
use super::stop::StopText;

/// The text side of one sequence: what was drawn, what may be shown, and whether it has ended.
#[derive(Debug)]
pub(super) struct Tail {
    tokens: Vec<u32>,
    logprobs: Option<Vec<TokenTop>>,
    decoder: Option<tokenizer::Stream>,
    stop: StopText,
    text: String,
    eos: Vec<u32>,
    limit: usize,
    full: bool,
    pub(super) finish: Option<Finish>,
}

impl Tail {
    /// For a generation by a model with this tokenizer and these end tokens, whose context has room
    /// for `steps` steps.
    pub(super) fn new(
        tokenizer: Option<&Tokenizer>,
        eos: &[u32],
        request: &Request,
        most_steps: usize,
    ) -> Self {
        let limit = request.max_new_tokens.min(most_steps);
        let full = most_steps < request.max_new_tokens;
        Self {
            tokens: Vec::new(),
            logprobs: request.logprobs.map(|_| Vec::new()),
            decoder: tokenizer.map(Tokenizer::stream_continued),
            stop: StopText::new(&request.stop),
            text: String::new(),
            eos: if request.ignore_eos { Vec::new() } else { eos.to_vec() },
            limit,
            full,
            finish: (limit == 0).then_some(if full { Finish::Context } else { Finish::Length }),
        }
    }

    /// The tokens drawn so far.
    pub(super) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// How many steps are wanted in all.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Takes a drawn token; gives what may be shown.
    pub(super) fn push(&mut self, token: u32, top: Option<Vec<(u32, f32)>>) -> Piece {
        self.tokens.push(token);
        let top = top.map(|row| TokenTop {
            token,
            logprob: row.first().map_or(f32::NEG_INFINITY, |(_, logprob)| *logprob),
            top: row.get(1..).unwrap_or_default().to_vec(),
        });
        if let (Some(all), Some(top)) = (&mut self.logprobs, &top) {
            all.push(top.clone());
        }
        let mut shown = String::new();
        if self.eos.contains(&token) {
            self.finish = Some(Finish::Eos);
        } else if let Some(decoder) = &mut self.decoder {
            let (text, stopped) = self.stop.push(&decoder.push(token));
            shown = text;
            if stopped {
                self.finish = Some(Finish::Stop);
            }
        }
        if self.finish.is_none() && self.tokens.len() >= self.limit {
            self.finish = Some(if self.full { Finish::Context } else { Finish::Length });
        }
        if self.finish.is_some_and(|finish| finish != Finish::Stop) {
            shown.push_str(&self.rest());
        }
        self.text.push_str(&shown);
        Piece { token, text: shown, top }
    }

    /// What was held back until the end: an incomplete character or the start of a stop text.
    fn rest(&mut self) -> String {
        let Some(decoder) = &mut self.decoder else { return String::new() };
        let (mut text, stopped) = self.stop.push(&decoder.finish());
        if stopped {
            self.finish = Some(Finish::Stop);
        } else {
            text.push_str(&self.stop.finish());
        }
        text
    }

    pub(super) fn into_generation(
        self,
        counters: Option<(Counters, usize)>,
        reused: usize,
    ) -> Generation {
        Generation {
            reused,
            tokens: self.tokens,
            text: self.decoder.map(|_| self.text),
            finish: self.finish.unwrap_or(Finish::Interrupted),
            logprobs: self.logprobs,
            kept: Vec::new(),
            counters,
        }
    }
}
