//! The tokens that begin and end a text, as named by checkpoints.

/// A token, as named by a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpecialToken {
    /// By its id.
    Id(u32),
    /// By its text.
    Text(String),
}

/// The tokens that begin and end a text, if the checkpoint names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// The token that begins a text.
    pub bos: Option<SpecialToken>,
    /// The token that ends a text.
    pub eos: Option<SpecialToken>,
}

/// The names by which published vocabularies call tokens that end a text or a turn. A file may name
/// one of them by its id, and leave out the others.
pub(crate) const ENDS: [&str; 22] = [
    "</s>",
    "<eos>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|endofturn|>",
    "<|end_of_turn|>",
    "<end_of_turn>",
    "<turn|>",
    "<end_of_utterance>",
    "<｜end▁of▁sentence｜>",
];

/// The one of them that is also text: Gemma's vocabulary has it as the end of what HTML strikes out.
pub(crate) const ALSO_TEXT: &str = "</s>";

/// The tokens of a vocabulary with these names that parts of a turn end with, where the turn itself
/// ends with one of the others.
pub(crate) const END_OF_PART: (&str, [&str; 2]) = ("<|end|>", ["<|return|>", "<|call|>"]);
