//! The mask of attention, and how scores are scaled and softcapped.

/// Which keys a row sees, and how they are scored.
#[derive(Clone, Copy, Debug)]
pub struct Mask {
    /// How many of the latest positions a row sees, its own included; all if `None`.
    pub window: Option<usize>,
    /// What q kᵀ is multiplied by: 1/√D unless the model says otherwise.
    pub scale: f64,
    /// Softcap of scores before they are masked: s = cap · tanh(s / cap).
    pub softcap: Option<f64>,
}
