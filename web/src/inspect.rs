//! Looking inside a model: the analyses of `pellucid inspect`, with the fields of its `--json`.

use pellucid::config::Config;
use pellucid::hook::{Hook, Point};
use pellucid::inspect::{
    AttentionOptions, AttributeOptions, EditText, HeadOptions, Instead, LensOptions, Metric, Parts,
    PatchOptions, Pieces, Steering, Tensors, Unit, ablate, attention, attribute, heads, hooks_json,
    lens, nested, patch, values_json,
};
use pellucid::model::{Edit, actions, named};
use pellucid::tokenizer::{Bos, Encode, Special};
use serde::Deserialize;
use serde_json::{Value, json};
use wasm_bindgen::prelude::*;

use crate::model::Model;
use crate::value::{Result, fault, plain, read, to_js_error};

/// Changes of named values, as scripts write them.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Changes {
    /// `NAME[INDEX, ...] OPERATION`, with numbers.
    pub(crate) edits: Vec<String>,
    /// Parts to take out, such as `L5H1`.
    pub(crate) ablate: Vec<String>,
    /// Vectors to add.
    pub(crate) steer: Vec<Steer>,
}

/// A steering vector.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Steer {
    /// As Neuronpedia writes it.
    vector: Value,
    scale: Option<f32>,
    /// The first and the last layer.
    layers: Option<(usize, usize)>,
}

impl Changes {
    /// The edits of a model, for a prompt of so many tokens.
    pub(crate) fn resolve(&self, config: &Config, prompt: usize) -> Result<Vec<(Hook, Edit)>> {
        let (mut edits, mut tensors) = (Vec::new(), Tensors::default());
        for Steer { vector, scale, layers } in &self.steer {
            let scale = scale.unwrap_or(1.0);
            let steering = Steering { file: "steer".into(), scale, layers: *layers };
            edits.extend(steering.edits_of(&vector.to_string(), config).map_err(to_js_error)?);
        }
        for text in &self.edits {
            let edit: EditText = text.parse().map_err(to_js_error)?;
            edits.extend(edit.resolve(config, prompt, &mut tensors).map_err(to_js_error)?);
        }
        for text in &self.ablate {
            let unit: Unit = text.parse().map_err(to_js_error)?;
            edits.extend(unit.ablation(config).map_err(to_js_error)?);
        }
        Ok(edits)
    }
}

/// A token: its id, or a text that is one token.
#[derive(Deserialize)]
#[serde(untagged)]
enum Token {
    Id(u32),
    Text(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HooksAsked {
    #[serde(default = "one")]
    length: usize,
}

fn one() -> usize {
    1
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ValuesAsked {
    hooks: Vec<String>,
    logits: bool,
    top: Option<usize>,
    positions: Option<(usize, usize)>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LensAsked {
    top: Option<usize>,
    target: Option<Token>,
    positions: Option<(usize, usize)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AttributeAsked {
    answer: Token,
    versus: Option<Token>,
    position: Option<usize>,
    #[serde(default)]
    neurons: usize,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AttentionAsked {
    layer: Option<usize>,
    head: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HeadsAsked {
    period: Option<usize>,
    seed: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AblateAsked {
    what: String,
    #[serde(default)]
    how: Option<String>,
    #[serde(default)]
    metric: Option<String>,
    answer: Option<Token>,
    versus: Option<Token>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PatchAsked {
    what: String,
    by: Option<String>,
    answer: Token,
    versus: Token,
}

fn unknown<T>(name: &str, value: &str, known: &str) -> Result<T> {
    Err(fault("input", &format!("{name} must be {known}, not {value}")))
}

#[wasm_bindgen]
impl Model {
    /// Runs the analysis of this name over a text (for `patch` the clean one, with the corrupted one as
    /// `other`), with changes of named values; gives what `pellucid inspect` prints with `--json`.
    pub async fn inspect(
        &mut self,
        what: String,
        tokens: Vec<u32>,
        other: Vec<u32>,
        changes: JsValue,
        options: JsValue,
    ) -> Result<JsValue> {
        let changes: Changes = read("the edits", &changes)?;
        let name = format!("the options of {what}");
        let found = match what.as_str() {
            "hooks" => {
                let HooksAsked { length } = read(&name, &options)?;
                hooks_json(self.llm.config(), length)
            }
            "values" => self.values(&tokens, &changes, read(&name, &options)?).await?,
            "lens" => self.lens(&tokens, &changes, read(&name, &options)?).await?,
            "attribute" => self.attribute(&tokens, &changes, read(&name, &options)?).await?,
            "attention" => self.attention(&tokens, &changes, read(&name, &options)?).await?,
            "heads" => self.heads(&changes, read(&name, &options)?).await?,
            "ablate" => self.ablate(&tokens, &changes, read(&name, &options)?).await?,
            "patch" => self.patch([&tokens, &other], &changes, read(&name, &options)?).await?,
            other => return Err(fault("input", &format!("there is no analysis called {other}"))),
        };
        plain(&found)
    }
}

impl Model {
    fn id(&self, name: &str, token: &Token) -> Result<u32> {
        let text = match token {
            Token::Id(id) => return Ok(*id),
            Token::Text(text) => text,
        };
        let bare = Encode { bos: Bos::Never, special: Special::Recognize };
        match self.llm.encode(text, bare).map_err(to_js_error)?[..] {
            [id] => Ok(id),
            ref ids => {
                let reason =
                    format!("{name} {text:?} is {} tokens; give one, or its id", ids.len());
                Err(fault("input", &reason))
            }
        }
    }

    async fn values(
        &mut self,
        tokens: &[u32],
        changes: &Changes,
        asked: ValuesAsked,
    ) -> Result<Value> {
        let config = self.llm.config().clone();
        let mut hooks = Vec::new();
        for name in &asked.hooks {
            hooks.extend(named(&config, name).map_err(to_js_error)?);
        }
        hooks.sort_by_key(|hook| hook.place());
        hooks.dedup();
        let actions = actions(&changes.resolve(&config, tokens.len())?, hooks);
        let (first, end) = asked.positions.unwrap_or((0, tokens.len()));
        if !asked.logits && (asked.top.is_some() || asked.positions.is_some()) {
            return Err(fault("input", "top and positions belong to logits: true"));
        }
        let of: Vec<usize> = if asked.logits { (first..end).collect() } else { Vec::new() };
        if let Some(k) = asked.top {
            let seen = self.llm.observe_top(tokens, &actions, &of, k).await.map_err(to_js_error)?;
            let mut object = values_json(tokens, &seen.activations);
            object["top"] = json!(seen.top);
            return Ok(object);
        }
        let seen = self.llm.observe(tokens, &actions, &of).await.map_err(to_js_error)?;
        let mut object = values_json(tokens, &seen.activations);
        if asked.logits {
            object["logits"] = nested(&[of.len(), config.vocab], &seen.logits);
        }
        Ok(object)
    }

    async fn lens(&mut self, tokens: &[u32], changes: &Changes, asked: LensAsked) -> Result<Value> {
        let edits = changes.resolve(self.llm.config(), tokens.len())?;
        let target = asked.target.map(|token| self.id("target", &token)).transpose()?;
        let positions = asked.positions.map(|(first, end)| first..end);
        let top = asked.top.unwrap_or(5).min(self.llm.config().vocab);
        let options = LensOptions { top, target, positions };
        let found = lens(&mut self.llm, tokens, &edits, &options).await.map_err(to_js_error)?;
        Ok(found.json(tokens))
    }

    async fn attribute(
        &mut self,
        tokens: &[u32],
        changes: &Changes,
        asked: AttributeAsked,
    ) -> Result<Value> {
        let edits = changes.resolve(self.llm.config(), tokens.len())?;
        let answer = self.id("answer", &asked.answer)?;
        let versus = asked.versus.map(|token| self.id("versus", &token)).transpose()?;
        let (position, neurons) = (asked.position, asked.neurons);
        let options = AttributeOptions { answer, versus, position, neurons };
        let found =
            attribute(&mut self.llm, tokens, &edits, &options).await.map_err(to_js_error)?;
        Ok(found.json(tokens))
    }

    async fn attention(
        &mut self,
        tokens: &[u32],
        changes: &Changes,
        asked: AttentionAsked,
    ) -> Result<Value> {
        let edits = changes.resolve(self.llm.config(), tokens.len())?;
        let options = AttentionOptions { layer: asked.layer, head: asked.head };
        let found = attention(&mut self.llm, tokens, &edits, options).await.map_err(to_js_error)?;
        Ok(found.json(tokens))
    }

    async fn heads(&mut self, changes: &Changes, asked: HeadsAsked) -> Result<Value> {
        let period = asked.period.unwrap_or(50);
        let edits = changes.resolve(self.llm.config(), 2 * period)?;
        let options = HeadOptions { period, seed: asked.seed };
        Ok(heads(&mut self.llm, &edits, options).await.map_err(to_js_error)?.json())
    }

    async fn ablate(
        &mut self,
        tokens: &[u32],
        changes: &Changes,
        asked: AblateAsked,
    ) -> Result<Value> {
        let edits = changes.resolve(self.llm.config(), tokens.len())?;
        let parts = match asked.what.as_str() {
            "head" => Parts::Heads,
            "attn" => Parts::Attention,
            "mlp" => Parts::Mlps,
            "layer" => Parts::Layers,
            other => return unknown("what", other, "head, attn, mlp or layer"),
        };
        let instead = match asked.how.as_deref() {
            None | Some("zero") => Instead::Zero,
            Some("mean") => Instead::Mean(&[]),
            Some(other) => return unknown("how", other, "zero or mean"),
        };
        let metric = match (asked.metric.as_deref(), &asked.answer, &asked.versus) {
            (None | Some("loss"), None, None) => Metric::Loss,
            (None | Some("logit_diff"), Some(answer), Some(versus)) => Metric::LogitDifference {
                answer: self.id("answer", answer)?,
                versus: self.id("versus", versus)?,
            },
            (None | Some("loss" | "logit_diff"), ..) => {
                return Err(fault(
                    "input",
                    "logit_diff takes both answer and versus, loss neither",
                ));
            }
            (Some(other), ..) => return unknown("metric", other, "loss or logit_diff"),
        };
        let what = (parts, instead);
        let found = ablate(&mut self.llm, tokens, &edits, what, metric, |_, _| {})
            .await
            .map_err(to_js_error)?;
        Ok(found.json(tokens, parts))
    }

    async fn patch(
        &mut self,
        [clean, corrupted]: [&[u32]; 2],
        changes: &Changes,
        asked: PatchAsked,
    ) -> Result<Value> {
        let edits = changes.resolve(self.llm.config(), clean.len())?;
        let point = match asked.what.as_str() {
            "resid_pre" => Point::ResidPre,
            "resid_mid" => Point::ResidMid,
            "attn_out" => Point::AttnOut,
            "mlp_out" => Point::MlpOut,
            "z" => Point::Z,
            "q" => Point::Q,
            "k" => Point::K,
            "v" => Point::V,
            "pattern" => Point::Pattern,
            other => {
                let known = "resid_pre, resid_mid, attn_out, mlp_out, z, q, k, v or pattern";
                return unknown("what", other, known);
            }
        };
        let by = match asked.by.as_deref() {
            None | Some("position") => Pieces::Positions,
            Some("head") => Pieces::Heads,
            Some("head-position") => Pieces::HeadsAndPositions,
            Some(other) => return unknown("by", other, "position, head or head-position"),
        };
        let (answer, versus) =
            (self.id("answer", &asked.answer)?, self.id("versus", &asked.versus)?);
        let metric = Metric::LogitDifference { answer, versus };
        let (texts, options) = ([clean, corrupted], PatchOptions { point, by });
        let found = patch(&mut self.llm, texts, &edits, options, metric, |_, _| {})
            .await
            .map_err(to_js_error)?;
        Ok(found.json(clean, corrupted))
    }
}
