//! A loaded model with its tokenizer, on a device or on the reference.

use std::ops::ControlFlow;
use std::path::Path;

use web_time::Instant;

use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::gpu::Adapter;
use crate::hook::Hook;
use crate::model::{Edit, MemoryUse, Progress, Session};
use crate::ops::MAX_TOP_K;
use crate::tokenizer::{ChatTemplate, Encode, Message, Tokenizer};

use super::options::Options;
use super::prompt::{CachedPrompt, EditsMark, Prompt};
use super::request::{Event, Generation, Request, Timings};
use super::runner::Runner;
use super::saved;
use super::stream::{Stream, finish_together};
use super::tail::Tail;

/// A language model, ready to continue and score texts.
#[derive(Debug)]
pub struct Llm {
    /// The open files and the options, in case the device is lost.
    pub(super) checkpoint: Checkpoint,
    pub(super) options: Options,
    pub(super) runner: Runner,
    config: Config,
    tokenizer: Option<Tokenizer>,
    chat: Option<ChatTemplate>,
    pub(super) known: CachedPrompt,
    /// What changes named values in the runner's runs.
    edits: Vec<(Hook, Edit)>,
    fingerprint: String,
}

impl Llm {
    /// Opens a GGUF file or a folder in Hugging Face's layout, and loads it as [`Llm::open`] does.
    ///
    /// # Errors
    /// Those of the file, which name it and the tensor at fault; [`Error::Adapter`] and
    /// [`Error::Memory`] where the device does not fit.
    pub async fn load(
        path: impl AsRef<Path>,
        options: &Options,
        progress: impl FnMut(Progress<'_>),
    ) -> Result<Self> {
        Self::open(Checkpoint::open(path.as_ref())?, options, progress).await
    }

    /// Loads a checkpoint, such as [`Checkpoint::built_in`], and its tokenizer; `progress` is called
    /// while it loads.
    ///
    /// # Errors
    /// As [`Llm::load`].
    pub async fn open(
        checkpoint: Checkpoint,
        options: &Options,
        mut progress: impl FnMut(Progress<'_>),
    ) -> Result<Self> {
        let tokenizer = match Tokenizer::from_checkpoint(&checkpoint) {
            Err(error) if options.ids_only => {
                log::warn!("{error}; the model runs on token ids only");
                None
            }
            read => read?,
        };
        let mut config = checkpoint.config().clone();
        if let Some(tokenizer) = &tokenizer {
            config.eos = tokenizer.ends(&checkpoint)?;
        }
        let fingerprint = match options.quantize {
            Some(format) => format!("{} as {format}", checkpoint.fingerprint()?),
            None => checkpoint.fingerprint()?,
        };
        let chat = match &tokenizer {
            Some(tokenizer) => ChatTemplate::from_checkpoint(&checkpoint, tokenizer)?,
            None => None,
        };
        let runner = Runner::open(&checkpoint, options, &mut progress).await?;
        let options = options.clone();
        let (known, edits) = (CachedPrompt::default(), Vec::new());
        Ok(Self { checkpoint, options, runner, config, tokenizer, chat, known, edits, fingerprint })
    }

    /// Opens a device again and loads the model onto it, in place of one that was lost. A
    /// [`Stream`] does this by itself.
    ///
    /// # Errors
    /// As [`Llm::load`].
    pub async fn revive(&mut self) -> Result<()> {
        self.known = CachedPrompt::default();
        self.edits.clear();
        self.runner = Runner::open(&self.checkpoint, &self.options, &mut |_| {}).await?;
        Ok(())
    }

    /// Changes named values in the runs that follow, and in no others. What the caches hold of runs
    /// with other edits counts for nothing.
    pub(super) fn edit(&mut self, edits: &[(Hook, Edit)]) -> Result<()> {
        if self.edits != edits {
            self.runner.set_edits(edits)?;
            self.edits = edits.to_vec();
        }
        if !self.known.edits().same(&EditsMark::of(edits)) {
            if self.known.loaded {
                log::warn!(
                    "the loaded cache was made with different edits; processing the whole prompt again"
                );
            }
            self.known = CachedPrompt::default();
        }
        Ok(())
    }

    /// The same for runs that overwrite what the caches hold.
    pub(super) fn start_over(&mut self, edits: &[(Hook, Edit)]) -> Result<()> {
        self.edit(edits)?;
        self.known = CachedPrompt::default();
        Ok(())
    }

    /// The model's sizes and kinds.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The model's tokenizer, where it has one.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_ref()
    }

    /// The model's own chat template.
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        self.chat.as_ref()
    }

    /// The same, to tell it something besides the conversation: [`ChatTemplate::arguments`].
    pub fn chat_template_mut(&mut self) -> Option<&mut ChatTemplate> {
        self.chat.as_mut()
    }

    /// The adapter that the model runs on; `None` on the reference.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.session().map(|session| session.engine().gpu().adapter())
    }

    /// The session on the device, for what this type does not offer; `None` on the reference.
    pub fn session(&self) -> Option<&Session> {
        self.runner.session()
    }

    /// The session on the device, to run it; `None` on the reference. A run may overwrite the caches,
    /// so the next prompt is read in full.
    pub fn session_mut(&mut self) -> Option<&mut Session> {
        self.known = CachedPrompt::default();
        // No edits are no error.
        let _ = self.edit(&[]);
        self.runner.session_mut()
    }

    /// Positions that each sequence has.
    pub fn context(&self) -> usize {
        self.runner.context()
    }

    /// The bytes that model and state take on the device; `None` on the reference.
    pub fn fit(&self) -> Option<MemoryUse> {
        self.session().map(Session::fit)
    }

    /// The tokens of a text.
    ///
    /// # Errors
    /// [`Error::Input`] if the model has no tokenizer.
    pub fn encode(&self, text: &str, options: Encode) -> Result<Vec<u32>> {
        let missing =
            || Error::Input("the model has no tokenizer, so it takes token ids only".to_owned());
        self.tokenizer.as_ref().ok_or_else(missing)?.encode(text, options)
    }

    /// The tokens of a conversation, up to the model's answer, by its own template.
    ///
    /// # Errors
    /// [`Error::Input`] if the model has no tokenizer or no chat template, else as
    /// [`Tokenizer::encode_chat`].
    pub fn encode_chat(&self, messages: &[Message]) -> Result<Vec<u32>> {
        let (Some(tokenizer), Some(template)) = (&self.tokenizer, &self.chat) else {
            return Err(Error::Input(
                "the model has no chat template; it can only continue a text".to_owned(),
            ));
        };
        tokenizer.encode_chat(template, messages)
    }

    /// Fails for a prompt that is empty or longer than the context.
    pub(super) fn check_prompt(&self, prompt: &[u32]) -> Result<()> {
        if prompt.is_empty() {
            return Err(Error::Input("the prompt is empty".to_owned()));
        }
        if prompt.len() > self.context() {
            return Err(Error::Context { asked: prompt.len(), limit: self.context() });
        }
        Ok(())
    }

    /// Starts the prefill of a prompt: all of it except the last token and the beginning that the caches
    /// already hold. A long prompt can be abandoned before all of it is read.
    ///
    /// # Errors
    /// As [`Llm::stream`].
    pub fn read(&mut self, prompt: &[u32]) -> Result<Prompt<'_>> {
        self.check_prompt(prompt)?;
        self.edit(&[])?;
        self.runner.keep(&[])?;
        Prompt::new(self.runner.session_mut(), &mut self.known, prompt)
    }

    /// Starts to continue a prompt; the tokens come from [`Stream::next`].
    ///
    /// # Errors
    /// [`Error::Input`] for an empty prompt, ids outside the vocabulary or settings out of range,
    /// [`Error::Context`] for a prompt longer than the context, [`Error::Lost`] for a device that was
    /// lost before; [`Llm::revive`] opens it again.
    pub fn stream(&mut self, prompt: &[u32], request: &Request) -> Result<Stream<'_>> {
        self.check_prompt(prompt)?;
        let logprobs = self.logprobs(request)?;
        self.edit(&request.edits)?;
        self.runner.keep(&request.keep)?;
        // If this generation is not finished, nothing is known about the caches.
        let known = std::mem::take(&mut self.known);
        let reused = request.reuse_prefix && request.keep.is_empty();
        let kept = if reused { known.shared(prompt) } else { 0 };
        let Self { checkpoint, options, runner, tokenizer, config, known, .. } = self;
        let decoding = runner.decode(&[prompt], kept, 0, &request.sampling, logprobs)?;
        let most_steps = decoding.most_steps();
        Ok(Stream {
            tail: Tail::new(tokenizer.as_ref(), &config.eos, request, most_steps),
            decoding,
            known,
            prompt: prompt.to_vec(),
            request: request.clone(),
            logprobs,
            reused: kept,
            source: (checkpoint, options),
            revived: false,
        })
    }

    /// Continues a prompt to its end. `on_event` is called with each [`Event`] and may break off: the
    /// generation then holds what was drawn so far and finishes as
    /// [`Finish::Interrupted`](super::Finish::Interrupted).
    ///
    /// # Errors
    /// As [`Llm::stream`] and [`Stream::next`].
    pub async fn generate(
        &mut self,
        prompt: &[u32],
        request: &Request,
        mut on_event: impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(Generation, Timings)> {
        self.generate_with(prompt, request, async |_, event| on_event(event)).await
    }

    /// The same with an async callback, which is also given the stream.
    ///
    /// # Errors
    /// As [`Llm::generate`].
    pub async fn generate_with(
        &mut self,
        prompt: &[u32],
        request: &Request,
        mut on_event: impl AsyncFnMut(&Stream<'_>, Event) -> ControlFlow<()>,
    ) -> Result<(Generation, Timings)> {
        let start = Instant::now();
        let (mut first, mut last) = (None, start);
        let mut stream = self.stream(prompt, request)?;
        while let Some(event) = stream.event().await? {
            if matches!(event, Event::Token(_)) {
                last = Instant::now();
                first.get_or_insert(last);
            }
            if on_event(&stream, event).await.is_break() {
                break;
            }
        }
        let generation = stream.finish().await?;
        let first = first.unwrap_or(start);
        let timings = Timings { first_token: first - start, decode: last - first };
        Ok((generation, timings))
    }

    /// Continues several prompts in one batch; each draws with its own noise.
    ///
    /// # Errors
    /// As [`Llm::stream`]; [`Error::Input`] for more prompts than [`Options::sequences`].
    pub async fn generate_batch(
        &mut self,
        prompts: &[&[u32]],
        request: &Request,
    ) -> Result<Vec<Generation>> {
        if prompts.is_empty() {
            return Ok(Vec::new());
        }
        prompts.iter().try_for_each(|prompt| self.check_prompt(prompt))?;
        let logprobs = self.logprobs(request)?;
        if !request.keep.is_empty() {
            return Err(Error::Input("values can be read of only one text at a time".to_owned()));
        }
        self.start_over(&request.edits)?;
        self.runner.keep(&[])?;
        let side_by_side = match self.session().map(Session::sequences) {
            Some(sequences) if prompts.len() > sequences => {
                return Err(Error::Input(format!(
                    "{} prompts at once, but the model was loaded for {sequences}; Options::sequences \
                     sets how many",
                    prompts.len()
                )));
            }
            Some(_) => prompts.len(),
            None => 1,
        };
        let mut generations = Vec::with_capacity(prompts.len());
        for (sequence, prompts) in (0..).zip(prompts.chunks(side_by_side)) {
            let decoding = self.runner.decode(prompts, 0, sequence, &request.sampling, logprobs)?;
            // Shorter prompts leave room for more tokens, but the step runs for all: the longest decides.
            let most_steps = decoding.most_steps();
            let (tokenizer, eos) = (self.tokenizer.as_ref(), &self.config.eos);
            let tail = |_: &&[u32]| Tail::new(tokenizer, eos, request, most_steps);
            let tails = prompts.iter().map(tail).collect();
            generations.extend(finish_together(decoding, prompts, tails).await?);
        }
        Ok(generations)
    }

    fn logprobs(&self, request: &Request) -> Result<Option<usize>> {
        request.logprobs.map(|k| self.most_probable(k)).transpose()
    }

    /// How many of the most probable tokens can be given when `k` are asked for.
    pub(super) fn most_probable(&self, k: usize) -> Result<usize> {
        if k > MAX_TOP_K {
            return Err(Error::Input(format!(
                "at most {MAX_TOP_K} most probable tokens can be given, not {k}"
            )));
        }
        Ok(k.min(self.config.vocab))
    }

    /// Writes what the caches hold of the last generation that was finished, its prompt and all
    /// drawn tokens but the last, so that [`Llm::load_cache`] can put it back. Gives the number of
    /// tokens.
    ///
    /// The file appears whole or not at all: it is written under another name and renamed.
    ///
    /// # Errors
    /// [`Error::Io`] for the file, [`Error::Device`] if the device fails.
    pub async fn save_cache(&mut self, path: impl AsRef<Path>) -> Result<usize> {
        saved::save(path.as_ref(), &mut self.runner, &self.fingerprint, &self.known).await?;
        Ok(self.known.tokens().len())
    }

    /// Puts back what [`Llm::save_cache`] wrote; requests with [`Request::reuse_prefix`] then do not
    /// read again what their prompt shares with it. Gives the number of tokens.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::File`], which name the file, where it cannot be read, is none of
    /// these files, is damaged, or was written by another model or with another format of keys and
    /// values; [`Error::Context`] where it holds more tokens than the context.
    pub fn load_cache(&mut self, path: impl AsRef<Path>) -> Result<usize> {
        let Self { runner, fingerprint, known, .. } = self;
        saved::load(path.as_ref(), runner, fingerprint, known)?;
        Ok(known.tokens().len())
    }
}
