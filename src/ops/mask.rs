//! The mask of attention, and how scores are scaled and bounded.

/// Which keys a row sees, and how they are scored.
#[derive(Clone, Copy, Debug)]
pub struct Mask {
    /// How many latest positions a row sees, its own included; all without.
    pub window: Option<usize>,
    /// What q kᵀ is multiplied by: 1/√D unless the model says otherwise.
    pub scale: f64,
    /// Bounds scores softly before they are masked: s = cap · tanh(s / cap).
    pub softcap: Option<f64>,
}
