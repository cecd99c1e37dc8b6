//! How a text is split before the model, with a bound on what that may make of it.

use tokenizers::pattern::Invert;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{
    OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, PreTokenizerWrapper,
    SplitDelimiterBehavior,
};

use super::expression::Expression;
use super::growth::{Growth, STEPS};
use super::json::kind;

/// GPT-2's expression: words and numbers include the space before them.
pub(super) const GPT2: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// The pre-tokenizer's steps, in order.
#[derive(Debug, Default)]
pub(super) struct Splitting(Vec<Step>);

/// One step, with its name for errors.
#[derive(Debug)]
struct Step {
    name: String,
    cut: Cut,
}

#[derive(Debug)]
enum Cut {
    /// At the matches of an expression.
    Expression { at: Expression, behavior: SplitDelimiterBehavior, invert: bool },
    /// A space before each piece that has none.
    Space,
    /// Any other of the crate's: at most five bytes for one.
    Other(Box<PreTokenizerWrapper>),
}

impl Splitting {
    /// The steps of a pre-tokenizer.
    ///
    /// # Errors
    /// The reason why it cannot be used.
    pub(super) fn new(pre_tokenizer: Option<PreTokenizerWrapper>) -> tokenizers::Result<Self> {
        let mut steps = Vec::new();
        if let Some(pre_tokenizer) = pre_tokenizer {
            add(&mut steps, pre_tokenizer)?;
        }
        if steps.len() > STEPS {
            return Err(format!("the pre-tokenizer has {} steps of {STEPS}", steps.len()).into());
        }
        Ok(Self(steps))
    }

    /// Splits a text, within what it may become.
    ///
    /// # Errors
    /// The step that fails, and why.
    pub(super) fn split(
        &self,
        text: &mut PreTokenizedString,
        growth: &Growth,
    ) -> tokenizers::Result<()> {
        for Step { name, cut } in &self.0 {
            let what = || format!("the pre-tokenizer {name}");
            let before = length(text);
            match cut {
                Cut::Expression { at, behavior, invert } => text.split(|_, piece| {
                    let at = at.within(growth);
                    let pieces = match invert {
                        false => piece.split(at, *behavior),
                        true => piece.split(Invert(at), *behavior),
                    };
                    pieces.map_err(|error| format!("{}: {error}", what()).into())
                })?,
                Cut::Space => text.split(|_, mut piece| {
                    if !piece.get().starts_with(' ') {
                        piece.prepend(" ");
                    }
                    Ok([piece])
                })?,
                Cut::Other(other) => other.pre_tokenize(text)?,
            }
            growth.allow(before, length(text), what)?;
        }
        Ok(())
    }
}

/// The bytes of a text in its present form.
fn length(text: &PreTokenizedString) -> usize {
    let pieces = text.get_splits(OffsetReferential::Normalized, OffsetType::None);
    pieces.last().map_or(0, |(_, (_, end), _)| *end)
}

/// Adds the steps of a pre-tokenizer, those of sequences one by one.
fn add(steps: &mut Vec<Step>, pre_tokenizer: PreTokenizerWrapper) -> tokenizers::Result<()> {
    let described = serde_json::to_value(&pre_tokenizer).unwrap_or_default();
    let mut push = |cut| steps.push(Step { name: kind(&described).to_owned(), cut });
    match pre_tokenizer {
        PreTokenizerWrapper::Sequence(parts) => {
            return parts.into_iter().try_for_each(|part| add(steps, part));
        }
        PreTokenizerWrapper::FixedLength(fixed) if fixed.length == 0 => {
            return Err("the pre-tokenizer FixedLength has a length of 0".into());
        }
        PreTokenizerWrapper::Split(split) => {
            let pattern = &described["pattern"];
            let at = match (pattern["Regex"].as_str(), pattern["String"].as_str()) {
                (Some(source), _) => Expression::new(source)?,
                (None, text) => Expression::literal(text.unwrap_or_default())?,
            };
            push(Cut::Expression { at, behavior: split.behavior, invert: split.invert });
        }
        // The crate's own expression would end the text at its limit.
        PreTokenizerWrapper::ByteLevel(bytes) if bytes.use_regex => {
            if bytes.add_prefix_space {
                push(Cut::Space);
            }
            let behavior = SplitDelimiterBehavior::Isolated;
            push(Cut::Expression { at: Expression::new(GPT2)?, behavior, invert: false });
            push(Cut::Other(Box::new(ByteLevel::new(false, true, false).into())));
        }
        other => push(Cut::Other(Box::new(other))),
    }
    Ok(())
}
