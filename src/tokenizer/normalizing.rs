//! What is done to a text before it is split, with a bound on what that may make of it.

use std::cell::{Cell, RefCell};

use serde_json::Value;
use tokenizers::pattern::Pattern;
use tokenizers::{NormalizedString, Normalizer, NormalizerWrapper};

use super::expression::Expression;
use super::growth::{Growth, STEPS};
use super::json::kind;

/// The normalizer's steps, in order.
#[derive(Debug, Default)]
pub(super) struct Normalizing(Vec<Step>);

/// One step, with its name for errors.
#[derive(Debug)]
struct Step {
    name: String,
    change: Change,
}

#[derive(Debug)]
enum Change {
    Replace {
        from: Expression,
        to: String,
    },
    Prepend(String),
    /// Any other of the crate's: none makes more than eleven bytes of three.
    Other(Box<NormalizerWrapper>),
}

impl Normalizing {
    /// The steps of a normalizer.
    ///
    /// # Errors
    /// The reason why it cannot be used.
    pub(super) fn new(normalizer: Option<NormalizerWrapper>) -> tokenizers::Result<Self> {
        let mut steps = Vec::new();
        if let Some(normalizer) = normalizer {
            add(&mut steps, normalizer)?;
        }
        if steps.len() > STEPS {
            return Err(format!("the normalizer has {} steps of {STEPS}", steps.len()).into());
        }
        Ok(Self(steps))
    }

    /// These steps for one text, within what it may become.
    pub(super) fn within<'a>(&'a self, growth: &'a Growth) -> Bounded<'a> {
        Bounded { steps: &self.0, growth, failure: RefCell::default(), failed: Cell::new(false) }
    }
}

/// Adds the steps of a normalizer, those of sequences one by one.
fn add(steps: &mut Vec<Step>, normalizer: NormalizerWrapper) -> tokenizers::Result<()> {
    let described = serde_json::to_value(&normalizer).unwrap_or_default();
    let change = match normalizer {
        NormalizerWrapper::Sequence(parts) => {
            return parts.into_iter().try_for_each(|part| add(steps, part));
        }
        NormalizerWrapper::Replace(replace) => {
            let from = match &described["pattern"] {
                pattern if pattern["Regex"].is_string() => {
                    Expression::new(pattern["Regex"].as_str().unwrap_or_default())?
                }
                pattern => Expression::literal(pattern["String"].as_str().unwrap_or_default())?,
            };
            Change::Replace { from, to: replace.content }
        }
        NormalizerWrapper::Prepend(prepend) => Change::Prepend(prepend.prepend),
        other => Change::Other(Box::new(other)),
    };
    let name = shown(&described);
    steps.push(Step { name, change });
    Ok(())
}

/// A step's name and what it works with, as far as a line has room.
fn shown(described: &Value) -> String {
    let pattern = described["pattern"].as_object().and_then(|pattern| pattern.values().next());
    let with = pattern.or(described.get("prepend")).and_then(Value::as_str);
    match with {
        Some(with) => {
            format!("{} {:?}", kind(described), with.chars().take(40).collect::<String>())
        }
        None => kind(described).to_owned(),
    }
}

/// The steps for one text. The crate's added tokens ignore what a normalizer returns, so a failure
/// is kept here.
#[derive(Debug)]
pub(super) struct Bounded<'a> {
    steps: &'a [Step],
    growth: &'a Growth,
    failure: RefCell<Option<tokenizers::Error>>,
    failed: Cell<bool>,
}

impl Bounded<'_> {
    /// The first failure of all pieces of the text.
    ///
    /// # Errors
    /// That failure.
    pub(super) fn finish(self) -> tokenizers::Result<()> {
        self.failure.into_inner().map_or(Ok(()), Err)
    }

    fn apply(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        for Step { name, change } in self.steps {
            let before = text.len();
            let what = || format!("the normalizer {name}");
            match change {
                Change::Replace { from, to } => {
                    let found = from.within(self.growth).find_matches(text.get())?;
                    let matches = found.iter().filter(|(_, is_match)| *is_match);
                    let (count, bytes) = matches.fold((0_usize, 0), |sum, ((start, end), _)| {
                        (sum.0 + 1, sum.1 + (end - start))
                    });
                    self.growth.allow(
                        before,
                        before - bytes + count.saturating_mul(to.len()),
                        what,
                    )?;
                    text.replace(Found(found), to)?;
                }
                Change::Prepend(prefix) if before > 0 => {
                    self.growth.allow(before, before + prefix.len(), what)?;
                    text.prepend(prefix);
                }
                Change::Prepend(_) => {}
                Change::Other(other) => {
                    other.normalize(text)?;
                    self.growth.allow(before, text.len(), what)?;
                }
            }
        }
        Ok(())
    }
}

impl Normalizer for Bounded<'_> {
    /// Always succeeds; see [`Bounded::finish`].
    fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        if !self.failed.get()
            && let Err(error) = self.apply(text)
        {
            self.failed.set(true);
            self.failure.replace(Some(error));
        }
        Ok(())
    }
}

/// Matches that are already known.
struct Found(Vec<((usize, usize), bool)>);

impl Pattern for Found {
    fn find_matches(&self, _: &str) -> tokenizers::Result<Vec<((usize, usize), bool)>> {
        Ok(self.0.clone())
    }
}
