//! A model that continues and scores texts.

use std::ops::ControlFlow;
use std::sync::Arc;

use js_sys::{Function, Promise};
use pellucid::checkpoint::Checkpoint;
use pellucid::generate::{
    Chance, Event, Finish, Generation, Llm, Options, Progress, Request, Stream, TokenTop,
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
use crate::value::{Result, fault, plain, read, told};

/// A loaded model.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Model {
    pub(crate) llm: Llm,
    name: String,
}

/// What there is to tell of a model.
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

/// How much of a prompt has been read.
#[derive(Serialize)]
struct Prefill {
    read: usize,
    of: usize,
}

/// Calls a script's function, and waits for what it promises.
async fn hear(heard: &Function, value: &impl Serialize) -> Result<JsValue> {
    let on = heard.call1(&JsValue::NULL, &plain(value)?)?;
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
    /// Loads a model from its files; `visits` keeps what is found out about the adapter, and `progress`
    /// hears bytes done and bytes in all.
    pub async fn load(
        name: String,
        given: Vec<Given>,
        options: JsValue,
        visits: Visits,
        progress: Function,
    ) -> Result<Self> {
        let options: Loading = read("the options of a model", &options)?;
        let options = options.options(storage(visits))?;
        let checkpoint = Checkpoint::open_files(files(&name, given)?).map_err(told)?;
        let heard = |event: Progress<'_>| {
            if let Progress::Loaded { done, total } = event {
                let (done, total) = ((done as f64).into(), (total as f64).into());
                let _ = progress.call2(&JsValue::NULL, &done, &total);
            }
        };
        let llm = Llm::open(checkpoint, &options, heard).await.map_err(told)?;
        Ok(Self { llm, name })
    }

    /// Of a model that is open already.
    pub(crate) async fn of(
        name: String,
        checkpoint: Checkpoint,
        storage: Arc<dyn KeyValueStorage>,
    ) -> Result<Self> {
        let options = Options { storage: Some(storage), ..Options::default() };
        let llm = Llm::open(checkpoint, &options, |_| {}).await.map_err(told)?;
        Ok(Self { llm, name })
    }

    /// Its sizes, where it runs, and what it takes there.
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

    /// The tokens of a text, as a prompt begins.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.llm.encode(text, Encode::default()).map_err(told)
    }

    /// The tokens of a conversation, by the model's own template.
    #[wasm_bindgen(js_name = encodeChat)]
    pub fn encode_chat(&self, turns: JsValue) -> Result<Vec<u32>> {
        let turns: Vec<Turn> = read("the messages", &turns)?;
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
        self.llm.encode_chat(&messages).map_err(told)
    }

    /// Continues a prompt. `heard` is called for each token, and before that for each part of a long
    /// prompt. It gives, or promises, what is to happen then: false ends the generation, and `lose`
    /// gives the device up, for those who test what then happens.
    pub async fn generate(
        &mut self,
        prompt: Vec<u32>,
        request: JsValue,
        heard: Function,
    ) -> Result<JsValue> {
        let request: Request = read::<Asked>("the options of generate", &request)?.into();
        let tokenizer = self.llm.tokenizer().cloned();
        let spelt = |id| tokenizer.as_ref().map(|tokenizer| tokenizer::text(tokenizer, id));
        let likely = |(id, logprob)| Likely { id, text: spelt(id).unwrap_or_default(), logprob };
        let mut failed = None;
        let generation =
            self.llm.generate_with(&prompt, &request, async |stream: &Stream<'_>, event: Event| {
                let (answer, drawn) = match event {
                    Event::Prefill { done, total } => {
                        (hear(&heard, &Prefill { read: done, of: total }).await, false)
                    }
                    Event::Token(piece) => {
                        let logprob = piece.top.as_ref().map(|top| top.logprob);
                        let top = piece
                            .top
                            .map(|TokenTop { top, .. }| top.into_iter().map(&likely).collect());
                        let drawn = Drawn { id: piece.token, text: piece.text, logprob, top };
                        (hear(&heard, &drawn).await, true)
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
            None => ended(generation.map_err(told)?.0),
        }
    }

    /// ln p of each token after the first, and of the `top` most probable ones after each.
    pub async fn score(&mut self, tokens: Vec<u32>, top: Option<usize>) -> Result<JsValue> {
        plain(&self.llm.score(&tokens, top).await.map_err(told)?)
    }

    /// The `most` most probable next tokens, by the model alone and as they are drawn; and how much
    /// the rest have together. `heard` is called for each part of a long text that was read, and ends
    /// it by giving false; the result is undefined then.
    pub async fn distribution(
        &mut self,
        tokens: Vec<u32>,
        sampling: JsValue,
        most: usize,
        heard: Function,
    ) -> Result<JsValue> {
        let Drawing(sampling) = read("the settings of sampling", &sampling)?;
        let mut prompt = self.llm.read(&tokens).map_err(told)?;
        while let Some(read) = prompt.next().await.map_err(told)? {
            if hear(&heard, &Prefill { read, of: tokens.len() }).await? == JsValue::FALSE {
                prompt.finish().await.map_err(told)?;
                return Ok(JsValue::UNDEFINED);
            }
        }
        prompt.finish().await.map_err(told)?;
        let all = self.llm.distribution(&tokens, &sampling).await.map_err(told)?;
        let (shown, rest) = all.split_at(most.min(all.len()));
        let chance = |chance: &Chance| Shown {
            id: chance.token,
            text: self.spelt(chance.token),
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

    fn spelt(&self, id: u32) -> String {
        self.llm.tokenizer().map(|own| tokenizer::text(own, id)).unwrap_or_default()
    }

    /// Gives the device up, as a driver's reset would, for those who test what then happens.
    #[wasm_bindgen(js_name = loseDevice)]
    pub fn lose_device(&self) {
        if let Some(session) = self.llm.session() {
            session.engine().gpu().destroy();
        }
    }

    /// Opens a device anew after a loss.
    pub async fn revive(&mut self) -> Result<()> {
        self.llm.revive().await.map_err(told)
    }
}

/// A token and how probable it is.
#[derive(Serialize)]
struct Shown {
    id: u32,
    text: String,
    probability: f64,
    drawn: f64,
}

/// The head of a distribution.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Distribution {
    tokens: Vec<Shown>,
    rest: f64,
    rest_drawn: f64,
    survivors: usize,
}
