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
pub(crate) const ENDS: [&str; 24] = [
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
    "<|tool_response>",
    "<end_of_utterance>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
];

/// The names by which models of code call what comes after a file, and padding. A text ends where
/// one is drawn, but it may be part of what a text says.
pub(crate) const END_OF_FILE: [&str; 11] = [
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
];

/// The one of them that is also text: Gemma's vocabulary has it as the end of what HTML strikes out.
pub(crate) const ALSO_TEXT: &str = "</s>";

/// The name of a token that ends parts of a turn, where the vocabulary has one of each of these pairs:
/// then the turn itself ends with those.
pub(crate) const END_OF_PART: (&str, [[&str; 2]; 2]) =
    ("<|end|>", [["<|return|>", "<|flush|>"], ["<|call|>", "<|calls|>"]]);
