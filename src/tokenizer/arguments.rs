//! What a chat template is told besides the conversation.

use std::cell::RefCell;

use minijinja::Value;
use minijinja::value::ValueKind;

use crate::error::{Error, Result};

/// Named values for a chat template, such as `enable_thinking`.
///
/// Texts in them are text for the tokenizer, as in a user's message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateArguments {
    /// Names, and values as JSON.
    named: Vec<(String, String)>,
}

/// What the template is always given, and only that.
const GIVEN: [&str; 3] = ["messages", "bos_token", "eos_token"];

impl TemplateArguments {
    /// Sets a value: JSON where `value` is valid JSON, text otherwise. A later value replaces an
    /// earlier one of that name.
    ///
    /// # Errors
    /// [`Error::Input`] for a name that no template can use, or that is set by the conversation.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let first = |char: char| char.is_ascii_alphabetic() || char == '_';
        let later = |char: char| char.is_ascii_alphanumeric() || char == '_';
        if !name.starts_with(first) || !name.chars().all(later) || name.starts_with("__") {
            return Err(Error::Input(format!(
                "{name:?} cannot be the name of a template's argument: letters, digits and _"
            )));
        }
        if GIVEN.contains(&name) {
            return Err(Error::Input(format!(
                "{name} cannot be an argument of the template: the conversation sets it"
            )));
        }
        let json = match serde_json::from_str::<Value>(value) {
            Ok(_) => value.to_owned(),
            Err(_) => serde_json::Value::from(value).to_string(),
        };
        self.named.retain(|(other, _)| other != name);
        self.named.push((name.to_owned(), json));
        Ok(())
    }

    /// All texts in the values.
    pub(super) fn texts(&self) -> Vec<String> {
        let texts = RefCell::new(Vec::new());
        self.values(|text| {
            texts.borrow_mut().push(text.to_owned());
            String::new()
        });
        texts.into_inner()
    }

    /// The names and values, with each text in them changed.
    pub(super) fn values(&self, text: impl Fn(&str) -> String) -> Vec<(String, Value)> {
        let value = |json: &str| {
            let value = serde_json::from_str::<Value>(json).unwrap_or_default();
            mapped(&value, &text)
        };
        self.named.iter().map(|(name, json)| (name.clone(), value(json))).collect()
    }
}

/// A value with each text in it changed; JSON has no deeper values than its reader allows.
fn mapped(value: &Value, text: &impl Fn(&str) -> String) -> Value {
    let items = || value.try_iter().into_iter().flatten();
    match value.kind() {
        ValueKind::String => Value::from(text(value.as_str().unwrap_or_default())),
        ValueKind::Seq => items().map(|item| mapped(&item, text)).collect(),
        ValueKind::Map => Value::from_pairs(items().map(|key| {
            let item = value.get_item(&key).unwrap_or_default();
            (mapped(&key, text), mapped(&item, text))
        })),
        _ => value.clone(),
    }
}
