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
