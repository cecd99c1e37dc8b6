//! `pellucid generate`: continues a text.

use std::time::{Duration, Instant};

use clap::Args;
use pellucid::Result;
use pellucid::generate::{Finish, Generation, Llm, Request, Timings, TokenTop};
use pellucid::gpu::Adapter;
use pellucid::model::Fit;
use pellucid::names::Sampling;
use serde::Serialize;

use crate::options::{self, ModelOptions, TextOptions, TokenList};
use crate::output::{self, PerToken, rate};

/// Continues a text.
#[derive(Debug, Args)]
pub(crate) struct Generate {
    #[command(flatten)]
    prompt: Prompt,
    /// The most tokens to draw
    #[arg(long, value_name = "N", default_value_t = 128)]
    max_new_tokens: usize,
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
    /// Print one JSON object instead of the text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    text: TextOptions,
    #[command(flatten)]
    model: ModelOptions,
}

/// What is to be continued.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Prompt {
    /// The text to continue; `-` reads standard input, line end included
    #[arg(value_name = "PROMPT")]
    prompt: Option<String>,
    /// Token ids instead of a text
    #[arg(long, value_name = "ID,ID,...")]
    tokens: Option<TokenList>,
}

/// How each token is drawn.
#[derive(Debug, Args)]
struct SamplingOptions {
    /// Divides the logits; 0 takes the most probable token
    #[arg(long, value_name = "T", default_value_t = 0.0, allow_negative_numbers = true)]
    temperature: f32,
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

impl SamplingOptions {
    fn sampling(&self) -> Sampling {
        Sampling {
            repetition_penalty: self.repetition_penalty,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            seed: self.seed.unwrap_or_else(options::seed),
        }
    }
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
    timings: Times,
    counters: Option<PerToken>,
    adapter: Option<&'a Adapter>,
    plan: Option<String>,
    memory: Option<Fit>,
}

#[derive(Serialize)]
struct Times {
    load_s: f64,
    first_token_s: Option<f64>,
    prefill_tok_s: Option<f64>,
    decode_tok_s: Option<f64>,
}

impl Times {
    fn new(load: Duration, timings: Timings, prompt: usize, drawn: usize) -> Self {
        let first = (drawn > 0).then_some(timings.first_token);
        Self {
            load_s: load.as_secs_f64(),
            first_token_s: first.map(|time| time.as_secs_f64()),
            prefill_tok_s: first.and_then(|time| rate(prompt, time)),
            decode_tok_s: rate(drawn.saturating_sub(1), timings.decode),
        }
    }
}

impl Generate {
    pub(crate) async fn run(&self) -> Result<()> {
        let request = Request {
            max_new_tokens: self.max_new_tokens,
            sampling: self.sampling.sampling(),
            stop: self.stop.clone(),
            ignore_eos: self.ignore_eos,
            logprobs: self.logprobs,
        };
        // What can be found wrong without the model is, before it is loaded.
        request.sampling.check()?;
        let text = self.prompt.prompt.as_deref().map(options::text).transpose()?;
        let ids = self.prompt.tokens.as_ref().map(TokenList::ids).transpose()?;
        let (mut llm, load) = self.model.load().await?;
        options::check_top("--logprobs", request.logprobs, llm.config().vocab)?;
        let prompt = match ids {
            Some(ids) => ids,
            None => llm.encode(&text.unwrap_or_default(), self.text.encode())?,
        };
        let (generation, timings) = self.draw(&mut llm, &prompt, &request).await?;
        let times = Times::new(load, timings, prompt.len(), generation.tokens.len());
        if self.json {
            return output::json(&Report {
                prompt_tokens: &prompt,
                tokens: &generation.tokens,
                text: generation.text.as_deref(),
                finish: generation.finish,
                seed: request.sampling.seed,
                logprobs: generation.logprobs.as_deref(),
                timings: times,
                counters: generation.counters.map(PerToken::from),
                adapter: llm.adapter(),
                plan: llm.session().map(|session| session.choices().key()),
                memory: llm.fit(),
            });
        }
        show_end(&generation)?;
        output::note(&format!(
            "{} tokens ({}), {} tok/s, {}, seed {}",
            generation.tokens.len(),
            format!("{:?}", generation.finish).to_lowercase(),
            output::shown(times.decode_tok_s),
            output::place(llm.adapter()),
            request.sampling.seed
        ));
        Ok(())
    }

    /// Draws to the end, and shows the text as it comes unless JSON is asked for.
    ///
    /// The loop stands here rather than in [`Llm::generate`], since a reader who has gone ends it.
    async fn draw(
        &self,
        llm: &mut Llm,
        prompt: &[u32],
        request: &Request,
    ) -> Result<(Generation, Timings)> {
        let start = Instant::now();
        let (mut first, mut last) = (None, start);
        let mut stream = llm.stream(prompt, request)?;
        while let Some(piece) = stream.next().await? {
            last = Instant::now();
            first.get_or_insert(last);
            if !self.json {
                output::piece(&piece.text)?;
            }
        }
        let first = first.unwrap_or(start);
        let timings = Timings { first_token: first - start, decode: last - first };
        Ok((stream.finish().await?, timings))
    }
}

/// Ends the line of the text; without a tokenizer there is none, and the ids stand in for it.
fn show_end(generation: &Generation) -> Result<()> {
    if generation.text.is_some() {
        return output::line("");
    }
    let ids: Vec<String> = generation.tokens.iter().map(u32::to_string).collect();
    output::line(&ids.join(","))
}
