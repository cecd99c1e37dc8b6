//! Generating text: the options, the loop and the report that `generate` and `chat` share.

use std::ops::ControlFlow;
use std::time::Duration;

use clap::Args;
use pellucid::Result;
use pellucid::generate::{Event, Finish, Generation, Llm, Request, Timings, TokenTop};
use pellucid::gpu::Adapter;
use pellucid::model::MemoryUse;
use pellucid::sampling::Sampling;
use serde::Serialize;

use crate::interrupt::Stretch;
use crate::options::{self, ModelOptions};
use crate::output::{self, PerToken, rate};

/// How tokens are drawn, and when to stop.
#[derive(Debug, Args)]
pub(crate) struct DrawOptions {
    /// Stop before this text; may be repeated
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Do not stop at end-of-text tokens
    #[arg(long)]
    ignore_eos: bool,
    #[command(flatten)]
    sampling: SamplingOptions,
    /// Include log-probabilities in --json: of each token and of the K most probable ones
    #[arg(long, value_name = "K", help_heading = "Output")]
    logprobs: Option<usize>,
}

/// How each token is drawn.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling")]
struct SamplingOptions {
    /// Sampling temperature; 0 always takes the most probable token [default: 0, or 0.8 for the
    /// built-in model]
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    temperature: Option<f32>,
    /// Sample from the K most probable tokens only; 0 disables it
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: u32,
    /// Sample from the fewest tokens with a total probability of at least P; 1 disables it
    #[arg(long, value_name = "P", default_value_t = 1.0, allow_negative_numbers = true)]
    top_p: f32,
    /// Drop tokens less probable than P times the most probable one; 0 disables it
    #[arg(long, value_name = "P", default_value_t = 0.0, allow_negative_numbers = true)]
    min_p: f32,
    /// Divide the logits of tokens that have occurred by R; 1 disables it
    ///
    /// Negative logits are multiplied by R instead.
    #[arg(long, value_name = "R", default_value_t = 1.0, allow_negative_numbers = true)]
    repetition_penalty: f32,
    /// Subtract P from the logits of tokens that have occurred; 0 disables it
    #[arg(long, value_name = "P", default_value_t = 0.0, allow_negative_numbers = true)]
    presence_penalty: f32,
    /// Subtract P from the logits of a token for each time it has occurred; 0 disables it
    #[arg(long, value_name = "P", default_value_t = 0.0, allow_negative_numbers = true)]
    frequency_penalty: f32,
    /// Seed of the random numbers; the same seed gives the same text [default: random]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// What was generated, and how long it took.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) generation: Generation,
    pub(crate) times: Times,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    prompt_tokens: &'a [u32],
    tokens: &'a [u32],
    text: Option<&'a str>,
    finish: Finish,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<&'a [TokenTop]>,
    timings: &'a Times,
    counters: Option<PerToken>,
    adapter: Option<&'a Adapter>,
    plan: Option<String>,
    memory: Option<MemoryUse>,
}

/// Seconds, and tokens a second.
#[derive(Debug, Serialize)]
pub(crate) struct Times {
    load_s: f64,
    first_token_s: Option<f64>,
    prefill_tok_s: Option<f64>,
    pub(crate) decode_tok_s: Option<f64>,
}

impl DrawOptions {
    /// The request that the command line describes, with a random seed if none is given.
    ///
    /// # Errors
    /// Those of [`Sampling::check`].
    pub(crate) fn request(&self, model: &ModelOptions, max_new_tokens: usize) -> Result<Request> {
        let options = &self.sampling;
        // Greedy text of so small a model repeats itself.
        let usual = if model.is_given() { 0.0 } else { 0.8 };
        let sampling = Sampling {
            repetition_penalty: options.repetition_penalty,
            presence_penalty: options.presence_penalty,
            frequency_penalty: options.frequency_penalty,
            temperature: options.temperature.unwrap_or(usual),
            top_k: options.top_k,
            top_p: options.top_p,
            min_p: options.min_p,
            seed: options.seed.unwrap_or_else(options::seed),
        };
        sampling.check()?;
        Ok(Request {
            max_new_tokens,
            sampling,
            stop: self.stop.clone(),
            ignore_eos: self.ignore_eos,
            logprobs: self.logprobs,
            ..Request::default()
        })
    }

    /// Fails if `--logprobs` is more than the vocabulary.
    pub(crate) fn check(&self, llm: &Llm) -> Result<()> {
        options::check_top("--logprobs", self.logprobs, llm.config().vocab)
    }
}

impl Times {
    fn new(load: Duration, timings: Timings, read: usize, drawn: usize) -> Self {
        let first = (drawn > 0).then_some(timings.first_token);
        Self {
            load_s: load.as_secs_f64(),
            first_token_s: first.map(|time| time.as_secs_f64()),
            prefill_tok_s: first.and_then(|time| rate(read, time)),
            decode_tok_s: rate(drawn.saturating_sub(1), timings.decode),
        }
    }
}

/// Generates to the end, or to Ctrl-C. `shown` gets each piece of text as it comes; its error, such
/// as that of a closed pipe, stops the generation and is given beside what was drawn.
pub(crate) async fn draw(
    llm: &mut Llm,
    prompt: &[u32],
    request: &Request,
    load: Duration,
    mut shown: impl FnMut(&str) -> Result<()>,
) -> Result<(Drawn, Result<()>)> {
    let stretch = Stretch::begin();
    let bar = output::progress_bar("reading {bar:30} {pos} of {len} tokens");
    bar.set_length(prompt.len() as u64);
    let mut written = Ok(());
    let on_event = |event| {
        match event {
            Event::Prefill { done, .. } => bar.set_position(done as u64),
            Event::Token(piece) => {
                bar.finish_and_clear();
                written = shown(&piece.text);
            }
        }
        if written.is_err() || stretch.is_over() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    };
    let drawn = llm.generate(prompt, request, on_event).await;
    bar.finish_and_clear();
    let (generation, timings) = drawn?;
    let read = prompt.len() - generation.reused;
    let times = Times::new(load, timings, read, generation.tokens.len());
    Ok((Drawn { generation, times }, written))
}

impl Drawn {
    /// Prints the JSON object.
    pub(crate) fn json(&self, llm: &Llm, prompt: &[u32], request: &Request) -> Result<()> {
        let generation = &self.generation;
        output::json(&Report {
            prompt_tokens: prompt,
            tokens: &generation.tokens,
            text: generation.text.as_deref(),
            finish: generation.finish,
            seed: request.sampling.seed,
            logprobs: generation.logprobs.as_deref(),
            timings: &self.times,
            counters: generation.counters.map(PerToken::from),
            adapter: llm.adapter(),
            plan: llm.session().map(|session| session.selection().key()),
            memory: llm.fit(),
        })
    }
}
