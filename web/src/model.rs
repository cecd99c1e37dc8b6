//! A model that continues and scores texts.

use std::ops::ControlFlow;
use std::sync::Arc;

use js_sys::{Function, Promise};
use pellucid::checkpoint::Checkpoint;
use pellucid::generate::{
    Chance, Event, Finish, Generation, Llm, Options, Progress, Stream, TokenTop,
};
use pellucid::gpu::Adapter;
use pellucid::model::MemoryUse;
use pellucid::tokenizer::{Encode, Message, Role};
use pellucid::tune::KeyValueStorage;
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::doctor::{Visits, storage};
use crate::files::{Given, files};
use crate::request::{Asked, Drawing, Loading};
use crate::tokenizer::{self, Tokenizer};
use crate::value::{Result, fault, plain, read, to_js_error};

/// A loaded model.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Model {
    pub(crate) llm: Llm,
    name: String,
}

/// What a script is told about a model.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info<'a> {
    name: &'a str,
    architecture: &'a str,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    width: usize,
    vocab: usize,
    context: usize,
    own_context: usize,
    adapter: Option<&'a Adapter>,
    memory: Option<Memory>,
    plan: Option<String>,
    tokenizer: bool,
    chat: bool,
    eos: &'a [u32],
}

/// Bytes on the device.
#[derive(Serialize)]
struct Memory {
    weights: u64,
    cache: u64,
    activations: u64,
}

impl From<MemoryUse> for Memory {
    fn from(MemoryUse { weights, cache, activations }: MemoryUse) -> Self {
        Self { weights, cache, activations }
    }
}

/// A token with its probability and its text.
#[derive(Serialize)]
struct Likely {
    id: u32,
    text: String,
    logprob: f32,
}

/// A drawn token.
#[derive(Serialize)]
struct Drawn {
    id: u32,
    /// What may be shown now: whole characters.
    text: String,
    logprob: Option<f32>,
    top: Option<Vec<Likely>>,
}

/// How many tokens of a prompt have been read.
#[derive(Serialize)]
struct Prefill {
    read: usize,
    of: usize,
}

/// Calls a script's function, and waits for its promise if it returns one.
async fn call(on_event: &Function, value: &impl Serialize) -> Result<JsValue> {
    let on = on_event.call1(&JsValue::NULL, &plain(value)?)?;
    match on.dyn_ref::<Promise>() {
        Some(promise) => JsFuture::from(promise.clone()).await,
        None => Ok(on),
    }
}

fn ended(generation: Generation) -> Result<JsValue> {
    let Generation { tokens, text, finish, reused, .. } = generation;
    plain(&Ended { tokens, text, finish, reused })
}

/// How a generation ended.
#[derive(Serialize)]
struct Ended {
    tokens: Vec<u32>,
    text: Option<String>,
    finish: Finish,
    reused: usize,
}

/// A turn of a conversation.
#[derive(Deserialize)]
struct Turn {
    role: String,
    content: String,
}

#[wasm_bindgen]
impl Model {
    /// Loads a model from its files; `visits` stores what is measured about the adapter, and `progress`
    /// is called with the bytes read so far and in all.
    pub async fn load(
        name: String,
        given: Vec<Given>,
        options: JsValue,
        visits: Visits,
        progress: Function,
    ) -> Result<Self> {
        let options: Loading = read("the options of a model", &options)?;
        let options = options.options(storage(visits))?;
        let checkpoint = Checkpoint::open_files(files(&name, given)?).map_err(to_js_error)?;
        let on_progress = |event: Progress<'_>| {
            if let Progress::Loaded { done, total } = event {
                let (done, total) = ((done as f64).into(), (total as f64).into());
                let _ = progress.call2(&JsValue::NULL, &done, &total);
            }
        };
        let llm = Llm::open(checkpoint, &options, on_progress).await.map_err(to_js_error)?;
        Ok(Self { llm, name })
    }

    /// Wraps a model that is already open.
    pub(crate) async fn of(
        name: String,
        checkpoint: Checkpoint,
        storage: Arc<dyn KeyValueStorage>,
    ) -> Result<Self> {
        let options = Options { storage: Some(storage), ..Options::default() };
        let llm = Llm::open(checkpoint, &options, |_| {}).await.map_err(to_js_error)?;
        Ok(Self { llm, name })
    }

    /// Its sizes, where it runs, and the memory it takes there.
    pub fn info(&self) -> Result<JsValue> {
        let (llm, config) = (&self.llm, self.llm.config());
        plain(&Info {
            name: &self.name,
            architecture: &config.architecture,
            layers: config.layers,
            heads: config.heads,
            kv_heads: config.kv_heads,
            width: config.width,
            vocab: config.vocab,
            context: llm.context(),
            own_context: config.context,
            adapter: llm.adapter(),
            memory: llm.fit().map(Memory::from),
            plan: llm.session().map(|session| session.selection().key()),
            tokenizer: llm.tokenizer().is_some(),
            chat: llm.chat_template().is_some(),
            eos: &config.eos,
        })
    }

    /// Its tokenizer; undefined where it has none.
    pub fn tokenizer(&self) -> Option<Tokenizer> {
        self.llm.tokenizer().cloned().map(Tokenizer)
    }

    /// The tokens of a text at the start of a prompt.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.llm.encode(text, Encode::default()).map_err(to_js_error)
    }

    /// The tokens of a conversation, by the model's own template. `arguments` are pairs of a name and a
    /// value as JSON, for this template besides the conversation.
    #[wasm_bindgen(js_name = encodeChat)]
    pub fn encode_chat(&self, turns: JsValue, arguments: JsValue) -> Result<Vec<u32>> {
        let turns: Vec<Turn> = read("the messages", &turns)?;
        let arguments: Vec<(String, String)> = read("the template's arguments", &arguments)?;
        let message = |turn: Turn| {
            let role = match turn.role.as_str() {
                "system" => Role::System,
                "user" => Role::User,
                "assistant" => Role::Assistant,
                other => return Err(fault("input", &format!("there is no role {other}"))),
            };
            Ok(Message { role, content: turn.content })
        };
        let messages = turns.into_iter().map(message).collect::<Result<Vec<_>>>()?;
        let (Some(tokenizer), Some(own)) = (self.llm.tokenizer(), self.llm.chat_template()) else {
            return self.llm.encode_chat(&messages).map_err(to_js_error);
        };
        let mut template = own.clone();
        for (name, value) in arguments {
            template.arguments.set(&name, &value).map_err(to_js_error)?;
            if !template.mentions(&name) {
                log::warn!("{}: the chat template does not use {name}", template.path.display());
            }
        }
        tokenizer.encode_chat(&template, &messages).map_err(to_js_error)
    }

    /// Continues a prompt. `on_event` is called for each token, and before that for each piece of a
    /// long prompt. It returns, or promises, what happens next: false ends the generation, and `lose`
    /// loses the device, for tests of what happens then.
    pub async fn generate(
        &mut self,
        prompt: Vec<u32>,
        request: JsValue,
        on_event: Function,
    ) -> Result<JsValue> {
        let request: Asked = read("the options of generate", &request)?;
        let request = request.request(self.llm.config(), prompt.len())?;
        let tokenizer = self.llm.tokenizer().cloned();
        let spelled = |id| tokenizer.as_ref().map(|tokenizer| tokenizer::text(tokenizer, id));
        let likely = |(id, logprob)| Likely { id, text: spelled(id).unwrap_or_default(), logprob };
        let mut failed = None;
        let generation =
            self.llm.generate_with(&prompt, &request, async |stream: &Stream<'_>, event: Event| {
                let (answer, drawn) = match event {
                    Event::Prefill { done, total } => {
                        (call(&on_event, &Prefill { read: done, of: total }).await, false)
                    }
                    Event::Token(piece) => {
                        let logprob = piece.top.as_ref().map(|top| top.logprob);
                        let top = piece
                            .top
                            .map(|TokenTop { top, .. }| top.into_iter().map(&likely).collect());
                        let drawn = Drawn { id: piece.token, text: piece.text, logprob, top };
                        (call(&on_event, &drawn).await, true)
                    }
                };
                match answer {
                    Err(error) => failed = Some(error),
                    Ok(on) if on == JsValue::FALSE => {}
                    Ok(on) => {
                        if drawn && on == "lose" {
                            stream.lose_device();
                        }
                        return ControlFlow::Continue(());
                    }
                }
                ControlFlow::Break(())
            });
        let generation = generation.await;
        match failed {
            Some(error) => Err(error),
            None => ended(generation.map_err(to_js_error)?.0),
        }
    }

    /// ln p of each token after the first, and of the `top` most probable ones after each.
    pub async fn score(&mut self, tokens: Vec<u32>, top: Option<usize>) -> Result<JsValue> {
        plain(&self.llm.score(&tokens, top).await.map_err(to_js_error)?)
    }

    /// The `most` most probable next tokens, from the model alone and after the sampling settings; and
    /// the total probability of the rest. `on_event` is called for each piece of a long text
    /// that was read, and ends the call by returning false; the result is then undefined.
    pub async fn distribution(
        &mut self,
        tokens: Vec<u32>,
        sampling: JsValue,
        most: usize,
        on_event: Function,
    ) -> Result<JsValue> {
        let Drawing(sampling) = read("the settings of sampling", &sampling)?;
        let mut prompt = self.llm.read(&tokens).map_err(to_js_error)?;
        while let Some(read) = prompt.next().await.map_err(to_js_error)? {
            if call(&on_event, &Prefill { read, of: tokens.len() }).await? == JsValue::FALSE {
                prompt.finish().await.map_err(to_js_error)?;
                return Ok(JsValue::UNDEFINED);
            }
        }
        prompt.finish().await.map_err(to_js_error)?;
        let all = self.llm.distribution(&tokens, &sampling).await.map_err(to_js_error)?;
        let (shown, rest) = all.split_at(most.min(all.len()));
        let chance = |chance: &Chance| Shown {
            id: chance.token,
            text: self.spelled(chance.token),
            probability: chance.probability,
            drawn: chance.drawn,
        };
        plain(&Distribution {
            tokens: shown.iter().map(chance).collect(),
            rest: rest.iter().map(|chance| chance.probability).sum(),
            rest_drawn: rest.iter().map(|chance| chance.drawn).sum(),
            survivors: all.iter().filter(|chance| chance.drawn > 0.0).count(),
        })
    }

    fn spelled(&self, id: u32) -> String {
        self.llm.tokenizer().map(|own| tokenizer::text(own, id)).unwrap_or_default()
    }

    /// Loses the device on purpose, as a driver reset would, for tests of what happens then.
    #[wasm_bindgen(js_name = loseDevice)]
    pub fn lose_device(&self) {
        if let Some(session) = self.llm.session() {
            session.engine().gpu().destroy();
        }
    }

    /// Opens a device again after a loss.
    pub async fn revive(&mut self) -> Result<()> {
        self.llm.revive().await.map_err(to_js_error)
    }
}

/// A token and its probability.
#[derive(Serialize)]
struct Shown {
    id: u32,
    text: String,
    probability: f64,
    drawn: f64,
}

/// The most probable tokens of a distribution.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Distribution {
    tokens: Vec<Shown>,
    rest: f64,
    rest_drawn: f64,
    survivors: usize,
}
