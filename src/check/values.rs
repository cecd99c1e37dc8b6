//! The kinds of numbers that cases try.

/// The kind of numbers that an op is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Uniform in −1..1.
    Plain,
    /// Up to 10,000.
    Large,
    /// Around 10⁻³⁰: their squares are zero.
    Tiny,
    /// All the same.
    Equal,
}

impl Values {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Large, Self::Tiny, Self::Equal];
}
