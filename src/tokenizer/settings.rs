//! What the files beside a vocabulary say of its tokenizer: `tokenizer_config.json`,
//! `added_tokens.json`, `special_tokens_map.json` and `config.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::pipeline::Pipeline;
use crate::checkpoint::{ALSO_TEXT, ENDS, parse_json};
use crate::error::{Error, Result};
use crate::files::Files;

/// The longest such file, in bytes.
const LONGEST: u64 = 64 << 20;

const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const SPECIAL_TOKENS: &str = "special_tokens_map.json";
const ADDED_TOKENS: &str = "added_tokens.json";

/// The fields that name a token with a meaning, in the order in which new ones get ids.
const NAMED: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// The fields with lists of further special tokens, the newer first.
const FURTHER: [&str; 2] = ["extra_special_tokens", "additional_special_tokens"];

/// The tokenizers whose vocabulary may come in two files or in SentencePiece's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Gpt2,
    Qwen2,
    Llama,
}

/// The class of a tokenizer.json that stands for itself.
pub(super) const GENERIC: &str = "PreTrainedTokenizerFast";

impl Class {
    /// The class of this name, with or without `Fast`.
    fn named(name: &str) -> Option<Self> {
        match name.strip_suffix("Fast").unwrap_or(name) {
            "GPT2Tokenizer" | "CodeGenTokenizer" => Some(Self::Gpt2),
            "Qwen2Tokenizer" => Some(Self::Qwen2),
            "LlamaTokenizer" => Some(Self::Llama),
            _ => None,
        }
    }

    /// The class that models of a `model_type` have.
    fn of_model(kind: &str) -> Option<Self> {
        match kind {
            "gpt2" | "gpt_neo" | "gptj" => Some(Self::Gpt2),
            "qwen2" | "qwen3" => Some(Self::Qwen2),
            _ => None,
        }
    }

    /// The special tokens that it has if no file says otherwise.
    fn default_token(self, field: &str) -> Option<&'static str> {
        match (self, field) {
            (Self::Gpt2, "bos_token" | "eos_token" | "unk_token")
            | (Self::Qwen2, "eos_token" | "unk_token" | "pad_token") => Some("<|endoftext|>"),
            (Self::Llama, "bos_token") => Some("<s>"),
            (Self::Llama, "eos_token") => Some("</s>"),
            (Self::Llama, "unk_token") => Some("<unk>"),
            _ => None,
        }
    }
}

/// The settings of the files together.
#[derive(Debug)]
pub(super) struct Settings {
    /// `tokenizer_config.json`, for errors.
    path: PathBuf,
    /// The tokenizer's class, if it is known.
    pub(super) class: Option<Class>,
    /// The name of a class that is not.
    pub(super) unknown: Option<String>,
    /// `add_bos_token`.
    pub(super) add_bos: Option<bool>,
    /// `add_prefix_space`.
    pub(super) prefix_space: Option<bool>,
    /// `legacy`: whether SentencePiece's space is put after every added token too.
    pub(super) legacy: Option<bool>,
    /// The token that begins a text.
    bos: Option<String>,
    /// The added tokens by the ids that the files give them.
    added: BTreeMap<u32, AddedToken>,
    /// The special tokens that are named for what they do.
    special: Vec<AddedToken>,
}

impl Settings {
    /// Reads the files that there are.
    ///
    /// # Errors
    /// [`Error::File`] for one that is damaged, with the field.
    pub(super) fn read(files: &Files) -> Result<Self> {
        Self::read_as(files, None)
    }

    /// The same for a tokenizer of another class than the files name.
    ///
    /// # Errors
    /// As [`Settings::read`].
    pub(super) fn read_as(files: &Files, class: Option<&str>) -> Result<Self> {
        let path = files.path().join(TOKENIZER_CONFIG);
        let mut config = map(files, TOKENIZER_CONFIG)?;
        // Opening the model says what is wrong with its configuration.
        let model = map(files, "config.json").unwrap_or_default();
        let text = |map: &Map<String, Value>, name: &str| {
            map.get(name).and_then(Value::as_str).map(str::to_owned)
        };
        let kind = text(&model, "model_type");
        // These name Llama's class, and have none but SentencePiece itself.
        let own = matches!(kind.as_deref(), Some("mistral" | "phi3"));
        let trusted = kind.as_deref() == Some("qwen2");
        let kind = kind.and_then(|kind| Class::of_model(&kind));
        let name = text(&config, "tokenizer_class").or_else(|| text(&model, "tokenizer_class"));
        let name = class.map(str::to_owned).or(name);
        let named = name.as_deref().and_then(Class::named);
        let named = named.filter(|named| !own || *named != Class::Llama);
        // These stand for what tokenizer.json holds, without the special tokens of any class.
        let generic = [GENERIC, "TokenizersBackend", "PreTrainedTokenizer"];
        let generic = |name: &String| generic.contains(&name.as_str());
        let without = named.is_none() && !name.as_ref().is_some_and(generic);
        // Models of this kind often name another class, and have their own all the same.
        let class = kind.filter(|_| without || trusted).or(named);
        let unknown = name.filter(|name| named.is_none() && !generic(name));

        // The older form has names in one file and ids in another.
        let listed = config.get("added_tokens_decoder").filter(|list| !list.is_null());
        let mut added = listed.map(|list| listed_tokens(&path, list)).transpose()?;
        if added.is_none() {
            config.extend(map(files, SPECIAL_TOKENS)?);
        }
        let mut special = named_tokens(&path, &config, class)?;
        let older = added.is_none();
        if older && class == Some(Class::Qwen2) {
            // This class knows the names alone.
            special.iter_mut().for_each(|token| (token.lstrip, token.rstrip) = (false, false));
        }
        let added = added.get_or_insert_default();
        if older {
            let names: BTreeSet<&str> = special.iter().map(|token| &*token.content).collect();
            for (name, id) in map(files, ADDED_TOKENS)? {
                let bad = || {
                    let path = files.path().join(ADDED_TOKENS);
                    Error::file(path, format!("{name:?} has the id {id}"))
                };
                let number = id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(bad)?;
                let special = names.contains(name.as_str());
                added.insert(number, AddedToken::from(name, special));
            }
        }
        let flag = |name: &str| match config.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(Error::file(&path, format!("{name} is {other}, not true or false"))),
        };
        let (add_bos, prefix_space) = (flag("add_bos_token")?, flag("add_prefix_space")?);
        let legacy = flag("legacy")?;
        let bos = field_token(&config, class, "bos_token").and_then(|(_, value)| content(&value));
        let added = std::mem::take(added);
        Ok(Self { path, class, unknown, add_bos, prefix_space, legacy, bos, added, special })
    }

    /// Adds the tokens that the files list, and marks those that have a meaning as special.
    ///
    /// # Errors
    /// As [`Pipeline::add`].
    pub(super) fn apply(&self, pipeline: &mut Pipeline) -> Result<()> {
        let mut tokens: Vec<AddedToken> = Vec::new();
        let mut names: BTreeSet<&str> = self.special.iter().map(|token| &*token.content).collect();
        let ends: BTreeSet<String> = self.ends_as_text(pipeline).collect();
        names.extend(ends.iter().map(String::as_str));
        for token in self.added.values() {
            let special = token.special || names.contains(&*token.content);
            tokens.push(token.clone().special(special));
        }
        let own = pipeline.added.get_added_tokens_decoder().values();
        let listed: BTreeSet<&str> = self.added.values().map(|token| &*token.content).collect();
        // Those that are known become special, so that no text can spell the end of one.
        let plain = own.clone().filter(|token| {
            let name = &*token.content;
            !token.special && names.contains(name) && !listed.contains(name)
        });
        let mut plain: Vec<AddedToken> = plain.cloned().collect();
        plain.sort_unstable_by(|a, b| a.content.cmp(&b.content));
        let known: BTreeSet<String> =
            own.chain(&tokens).map(|token| token.content.clone()).collect();
        tokens.extend(plain.into_iter().map(|token| token.special(true)));
        tokens.extend(self.special.iter().filter(|new| !known.contains(&new.content)).cloned());
        if tokens.is_empty() {
            return Ok(());
        }
        pipeline.add(&tokens)?;
        let listed = self.added.iter().map(|(id, token)| (u64::from(*id), &*token.content));
        pipeline.compare(&self.path, listed);
        Ok(())
    }

    /// The added tokens that end a turn by their names, though the files have them as text: as such
    /// they would be drawn for ever, and whoever types one would end a turn.
    fn ends_as_text(&self, pipeline: &Pipeline) -> impl Iterator<Item = String> {
        let own = pipeline.added.get_added_tokens_decoder().values();
        let listed: BTreeSet<&str> = self.added.values().map(|token| &*token.content).collect();
        let left = own.filter(|token| !listed.contains(&*token.content));
        let text = left.chain(self.added.values()).filter(|token| {
            let name = &*token.content;
            !token.special && name != ALSO_TEXT && ENDS.contains(&name)
        });
        let text = text.filter(|token| !self.special.iter().any(|t| t.content == token.content));
        let mut names: Vec<String> = text.map(|token| token.content.clone()).collect();
        names.sort_unstable();
        if !names.is_empty() {
            log::warn!(
                "{}: {} added as text, but tokens of that name end a turn: taken as special",
                self.path.parent().unwrap_or(&self.path).display(),
                names.join(", ")
            );
        }
        names.into_iter()
    }

    /// The tokens before a text, if the files ask for one; `own` is the vocabulary's, if it names one.
    ///
    /// # Errors
    /// [`Error::File`] if they do not say which.
    pub(super) fn opening(&self, pipeline: &Pipeline, own: Option<u32>) -> Result<Vec<u32>> {
        if self.add_bos != Some(true) {
            return Ok(Vec::new());
        }
        let id = self.bos.as_deref().map_or(own, |bos| pipeline.id(bos));
        let missing = || Error::file(&self.path, "add_bos_token is true, but bos_token names none");
        Ok(vec![id.ok_or_else(missing)?])
    }

    /// Warns if tokenizer.json begins texts otherwise than the settings beside it say.
    pub(super) fn compare(&self, opening: &[u32]) {
        if let Some(asked) = self.add_bos.filter(|asked| *asked == opening.is_empty()) {
            let does = if asked { "puts no token before a text" } else { "puts one before a text" };
            let path = self.path.display();
            log::warn!(
                "{path}: add_bos_token is {asked}, but tokenizer.json {does}; it is followed"
            );
        }
    }
}

/// The tokens that `added_tokens_decoder` lists by their ids.
fn listed_tokens(path: &Path, listed: &Value) -> Result<BTreeMap<u32, AddedToken>> {
    let bad = |what: &str| Error::file(path, format!("added_tokens_decoder: {what}"));
    let listed = listed.as_object().ok_or_else(|| bad("is not an object"))?;
    let entry = |(id, described): (&String, &Value)| {
        let id = id.parse().ok()?;
        Some((id, token(described, false)?))
    };
    let one = |found: (&String, &Value)| {
        entry(found).ok_or_else(|| bad(&format!("{:?} is not a token with its id", found.0)))
    };
    listed.iter().map(one).collect()
}

/// A JSON object in a file; empty if there is no such file.
fn map(files: &Files, name: &str) -> Result<Map<String, Value>> {
    if !files.has(name) {
        return Ok(Map::new());
    }
    let bad = |error| Error::file(files.path().join(name), format!("is not valid JSON: {error}"));
    parse_json(&files.text(name, LONGEST)?).map_err(bad)
}

/// What a field says of its token; without it, the class's own. `null` is none.
fn field_token(
    config: &Map<String, Value>,
    class: Option<Class>,
    field: &'static str,
) -> Option<(&'static str, Value)> {
    let own = || class.and_then(|class| class.default_token(field)).map(Value::from);
    let value = config.get(field).cloned().or_else(own)?;
    (!value.is_null()).then_some((field, value))
}

/// The special tokens that the configuration names.
fn named_tokens(
    path: &Path,
    config: &Map<String, Value>,
    class: Option<Class>,
) -> Result<Vec<AddedToken>> {
    let mut all: Vec<(&str, Value)> =
        NAMED.into_iter().filter_map(|field| field_token(config, class, field)).collect();
    // A family's own, such as `image_token`.
    let own = config.iter().filter(|(field, value)| {
        field.ends_with("_token") && !NAMED.contains(&field.as_str()) && content(value).is_some()
    });
    all.extend(own.map(|(field, value)| (field.as_str(), value.clone())));
    let further = FURTHER.into_iter().find_map(|field| match config.get(field)? {
        Value::Array(list) if !list.is_empty() => Some((field, list.clone())),
        Value::Object(list) if !list.is_empty() => Some((field, list.values().cloned().collect())),
        _ => None,
    });
    if let Some((field, list)) = further {
        all.extend(list.into_iter().map(|value| (field, value)));
    }
    let mut tokens: Vec<AddedToken> = Vec::new();
    for (field, value) in all {
        let bad = || Error::file(path, format!("{field}: {value} is not a token"));
        let token = token(&value, true).ok_or_else(bad)?;
        if !tokens.iter().any(|known| known.content == token.content) {
            tokens.push(token);
        }
    }
    Ok(tokens)
}

/// The text of a token: itself, or what its description holds.
fn content(value: &Value) -> Option<String> {
    value.get("content").unwrap_or(value).as_str().map(str::to_owned)
}

/// A token from its text or its description.
fn token(value: &Value, is_special: bool) -> Option<AddedToken> {
    let flag = |name: &str| value.get(name).and_then(Value::as_bool);
    let special = is_special || flag("special").unwrap_or(false);
    let token = AddedToken::from(content(value)?, special)
        .lstrip(flag("lstrip").unwrap_or(false))
        .rstrip(flag("rstrip").unwrap_or(false))
        .single_word(flag("single_word").unwrap_or(false));
    Some(match flag("normalized") {
        Some(normalized) => token.normalized(normalized),
        None => token,
    })
}
