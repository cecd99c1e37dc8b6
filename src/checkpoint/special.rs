//! The tokens that begin and end a text, as checkpoints name them.

/// A token as a checkpoint names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpecialToken {
    /// By its id.
    Id(u32),
    /// By its text.
    Text(String),
}

/// The tokens that begin and end a text, where a checkpoint names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Begins a text.
    pub bos: Option<SpecialToken>,
    /// Ends one.
    pub eos: Option<SpecialToken>,
}
