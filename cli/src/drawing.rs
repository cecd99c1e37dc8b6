//! Drawing tokens: the options, the loop and the report that `generate` and `chat` share.

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

/// How tokens are drawn, and where that ends.
#[derive(Debug, Args)]
pub(crate) struct DrawOptions {
    #[command(flatten)]
    sampling: SamplingOptions,
    /// End at this text, which is not shown; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Go on after an end token
    #[arg(long)]
    ignore_eos: bool,
    /// Give the log-probability of each drawn token and of the K most probable ones (with --json)
    #[arg(long, value_name = "K")]
    logprobs: Option<usize>,
}

/// How each token is drawn.
#[derive(Debug, Args)]
struct SamplingOptions {
    /// Divides the logits; 0 takes the most probable token [default: 0, and 0.8 for the model that is
    /// built in]
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    temperature: Option<f32>,
    /// Draw from the K most probable tokens only; 0 is off
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: u32,
    /// Draw from the fewest tokens that reach this probability together; 1 is off
    #[arg(long, value_name = "P", default_value_t = 1.0, allow_negative_numbers = true)]
    top_p: f32,
    /// Drop tokens less probable than this share of the most probable one; 0 is off
    #[arg(long, value_name = "P", default_value_t = 0.0, allow_negative_numbers = true)]
    min_p: f32,
    /// Divides the logits of tokens that were seen; 1 is off
    #[arg(long, value_name = "R", default_value_t = 1.0, allow_negative_numbers = true)]
    repetition_penalty: f32,
    /// Taken from the logits of tokens that were seen; 0 is off
    #[arg(long, value_name = "P", default_value_t = 0.0, allow_negative_numbers = true)]
    presence_penalty: f32,
    /// Taken from the logits of tokens for each time they were seen; 0 is off
    #[arg(long, value_name = "P", default_value_t = 0.0, allow_negative_numbers = true)]
    frequency_penalty: f32,
    /// The same seed draws the same text [default: a new one each time]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

/// What was drawn, and how long it took.
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
    /// What the command line says of drawing from this model, in the library's words; draws a seed where
    /// none is given.
    ///
    /// # Errors
    /// Those of [`Sampling::check`].
    pub(crate) fn request(&self, model: &ModelOptions, max_new_tokens: usize) -> Result<Request> {
        let options = &self.sampling;
        // The most probable words of so small a model go round in circles.
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
            reuse_prefix: false,
        })
    }

    /// Fails where more most probable tokens are asked for than the model has tokens.
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

/// Draws to the end, or to Ctrl-C; `shown` gets each piece of text as it comes, and ends it by an error,
/// as where its reader has gone.
pub(crate) async fn draw(
    llm: &mut Llm,
    prompt: &[u32],
    request: &Request,
    load: Duration,
    mut shown: impl FnMut(&str) -> Result<()>,
) -> Result<Drawn> {
    let stretch = Stretch::begin();
    let bar = output::progress_bar("reading {bar:30} {pos} of {len} tokens");
    bar.set_length(prompt.len() as u64);
    let mut written = Ok(());
    let heard = |event| {
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
    let drawn = llm.generate(prompt, request, heard).await;
    bar.finish_and_clear();
    let (generation, timings) = drawn?;
    written?;
    let read = prompt.len() - generation.reused;
    let times = Times::new(load, timings, read, generation.tokens.len());
    Ok(Drawn { generation, times })
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
