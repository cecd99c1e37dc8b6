//! One text being continued, token by token.

use crate::error::{Error, Result};
use crate::gpu::Counters;
use crate::names::Sampling;
use crate::text;

use super::cpu::CpuDecoder;
use super::decode::{Decoder, Step};
use super::llm::Llm;
use super::runner::Runner;
use super::stop::StopText;

/// What to generate.
#[derive(Clone, Debug)]
pub struct Request {
    /// The most tokens to draw.
    pub max_new_tokens: usize,
    /// How each is drawn.
    pub sampling: Sampling,
    /// Texts that end the generation; they are not part of the result.
    pub stop: Vec<String>,
    /// Go on after an end token.
    pub ignore_eos: bool,
    /// Give ln p of each drawn token and of this many most probable ones.
    pub logprobs: Option<usize>,
    /// Do not read again what the prompt's beginning shares with the text that was generated
    /// before: its keys and values are still there. Where more of it is read at once in one run than
    /// in another, the last bits may differ; without this, equal requests give equal bits.
    pub reuse_prefix: bool,
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
        }
    }
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    /// As many tokens as were asked for.
    Length,
    /// An end token was drawn.
    Eos,
    /// A stop text was reached.
    Stop,
    /// The context is full.
    Context,
    /// Whoever had asked for it ended it before.
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
    /// The text that may be shown now: whole characters, nothing of a stop text.
    pub text: String,
    /// Its probabilities, if they were asked for.
    pub top: Option<TokenTop>,
}

/// A whole generation.
#[derive(Clone, Debug)]
pub struct Generation {
    /// The drawn tokens, an end token included.
    pub tokens: Vec<u32>,
    /// Their text, without end token or stop text; `None` without a tokenizer.
    pub text: Option<String>,
    /// Why it ended.
    pub finish: Finish,
    /// How many of the prompt's tokens were not read again ([`Request::reuse_prefix`]).
    pub reused: usize,
    /// Per token, if they were asked for.
    pub logprobs: Option<Vec<TokenTop>>,
    /// What the engine did in this many steps, after the first; `None` by the reference.
    pub counters: Option<(Counters, usize)>,
}

#[derive(Debug)]
pub(super) enum AnyDecoder {
    Gpu(Decoder),
    Cpu(CpuDecoder),
}

impl AnyDecoder {
    pub(super) fn most_steps(&self) -> usize {
        match self {
            Self::Gpu(decoder) => decoder.most_steps(),
            Self::Cpu(decoder) => decoder.most_steps(),
        }
    }

    pub(super) async fn next(
        &mut self,
        runner: &mut Runner,
        wanted: usize,
    ) -> Result<Option<Step>> {
        match (self, runner) {
            (Self::Gpu(decoder), Runner::Gpu(session)) => decoder.next(session, wanted).await,
            (Self::Cpu(decoder), Runner::Cpu { model, .. }) => decoder.next(model).map(Some),
            _ => Ok(None),
        }
    }

    /// Reads on in a long prompt; `None` where there is nothing to wait for before the first token.
    pub(super) async fn read(&mut self, runner: &mut Runner) -> Result<Option<usize>> {
        match (self, runner) {
            (Self::Gpu(decoder), Runner::Gpu(session)) => decoder.read(session).await,
            _ => Ok(None),
        }
    }

    /// Tokens of the prompt, before its last one, that were not read.
    fn unread(&self) -> usize {
        match self {
            Self::Gpu(decoder) => decoder.unread(),
            // The reference reads all of it with the first token.
            Self::Cpu(decoder) => decoder.unread(),
        }
    }

    pub(super) async fn close(self, runner: &mut Runner) -> Result<()> {
        match (self, runner) {
            (Self::Gpu(decoder), Runner::Gpu(session)) => decoder.close(session).await,
            (Self::Cpu(decoder), Runner::Cpu { cache, .. }) => {
                *cache = decoder.into_cache();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn counters(&self, runner: &Runner) -> Option<(Counters, usize)> {
        match (self, runner) {
            (Self::Gpu(decoder), Runner::Gpu(session)) => decoder.counters(session),
            _ => None,
        }
    }
}

/// The text side of one sequence: what was drawn, what may be shown, and whether it has ended.
#[derive(Debug)]
pub(super) struct Tail {
    tokens: Vec<u32>,
    logprobs: Option<Vec<TokenTop>>,
    decoder: Option<text::Stream>,
    stop: StopText,
    text: String,
    eos: Vec<u32>,
    limit: usize,
    full: bool,
    pub(super) finish: Option<Finish>,
}

impl Tail {
    pub(super) fn new(llm: &Llm, request: &Request, most_steps: usize) -> Self {
        let limit = request.max_new_tokens.min(most_steps);
        let full = most_steps < request.max_new_tokens;
        Self {
            tokens: Vec::new(),
            logprobs: request.logprobs.map(|_| Vec::new()),
            decoder: llm.tokenizer().map(text::Tokenizer::stream_continued),
            stop: StopText::new(&request.stop),
            text: String::new(),
            eos: if request.ignore_eos { Vec::new() } else { llm.config().eos.clone() },
            limit,
            full,
            finish: (limit == 0).then_some(if full { Finish::Context } else { Finish::Length }),
        }
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

    /// What was held back until the end: an incomplete character, the start of a stop text.
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
            counters,
        }
    }
}

/// A generation under way; made by [`Llm::stream`].
#[derive(Debug)]
pub struct Stream<'a> {
    llm: &'a mut Llm,
    decoder: AnyDecoder,
    tail: Tail,
    prompt: Vec<u32>,
    request: Request,
    reused: usize,
    /// A device that is lost twice in one generation is not worth a third try.
    revived: bool,
}

impl<'a> Stream<'a> {
    pub(super) fn new(
        llm: &'a mut Llm,
        decoder: AnyDecoder,
        request: &Request,
        prompt: &[u32],
        reused: usize,
    ) -> Self {
        let tail = Tail::new(llm, request, decoder.most_steps());
        let (prompt, request) = (prompt.to_vec(), request.clone());
        Self { llm, decoder, tail, prompt, request, reused, revived: false }
    }

    /// Reads on in a long prompt, a piece of the work at a time; gives how many tokens' worth of it is
    /// done, or `None` where no more is to be waited for before the first token. [`Stream::next`] does
    /// so by itself; this is for those who show how far it is, or may want to stop.
    ///
    /// # Errors
    /// As [`Stream::next`].
    pub async fn read_prompt(&mut self) -> Result<Option<usize>> {
        let read = match self.decoder.read(self.llm.runner_mut()).await {
            Err(Error::Lost(reason)) if !self.revived => {
                self.revive(&reason).await?;
                return Ok(Some(0));
            }
            read => read?,
        };
        let kept = if self.revived { 0 } else { self.reused };
        Ok(read.map(|read| kept + read))
    }

    /// The next token, or `None` when the generation has ended.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails. One that is lost is opened again, once; only then
    /// [`Error::Lost`].
    pub async fn next(&mut self) -> Result<Option<Piece>> {
        if self.tail.finish.is_some() {
            return Ok(None);
        }
        let wanted = self.tail.limit();
        let step = match self.decoder.next(self.llm.runner_mut(), wanted).await {
            Err(Error::Lost(reason)) if !self.revived => {
                self.revive(&reason).await?;
                self.decoder.next(self.llm.runner_mut(), wanted).await?
            }
            step => step?,
        };
        let Some(step) = step else { return Ok(None) };
        let top = step.top.and_then(|rows| rows.into_iter().next());
        Ok(Some(self.tail.push(step.ids[0], top)))
    }

    /// Gives the device up, as a driver's reset would: for those who test what then happens.
    pub fn lose_device(&self) {
        if let Runner::Gpu(session) = self.llm.runner() {
            session.engine().gpu().destroy();
        }
    }

    /// Goes on after the loss of the device: on a new one, prompt and text so far are read again.
    /// The noise of a draw depends on its step, so that the text is the one it would have been.
    async fn revive(&mut self, reason: &str) -> Result<()> {
        log::warn!("the device was lost: {reason}; opening it again");
        self.revived = true;
        self.llm.revive().await?;
        let drawn = self.tail.tokens.len();
        let so_far = [self.prompt.as_slice(), &self.tail.tokens].concat();
        let (sampling, logprobs) = (&self.request.sampling, self.llm.logprobs(&self.request)?);
        if let Runner::Gpu(session) = self.llm.runner_mut() {
            let decoder = Decoder::new(session, &[&so_far], 0, drawn, sampling, logprobs)?;
            self.decoder = AnyDecoder::Gpu(decoder);
            return Ok(());
        }
        Err(Error::Lost("no other is left".to_owned()))
    }

    /// Ends the generation, whether or not it has come to its end, and gives what there is.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails.
    pub async fn finish(self) -> Result<Generation> {
        let counters = self.decoder.counters(self.llm.runner());
        let unread = self.decoder.unread();
        match self.decoder.close(self.llm.runner_mut()).await {
            // What there is was drawn before.
            Err(Error::Lost(_)) => {}
            closed => closed?,
        }
        let generation = self.tail.into_generation(counters, self.reused);
        // The last drawn token was read by nobody, nor was a prompt's last one if none was drawn.
        let mut known = self.prompt;
        known.extend(&generation.tokens);
        known.truncate(known.len().saturating_sub(1 + unread));
        self.llm.remember(known);
        Ok(generation)
    }
}
