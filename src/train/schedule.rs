//! The learning rate of each step.

use serde::{Deserialize, Serialize};

/// What the learning rate does after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// It stays constant.
    Constant,
    /// It falls linearly.
    Linear,
    /// It falls along half a cosine.
    #[default]
    Cosine,
    /// It stays constant, then falls linearly over the last steps: warm-up, stable, decay.
    Wsd,
}

/// The learning rate of every step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Steps in all; after them the rate stays at its lowest.
    pub steps: u64,
    /// Steps in which the rate rises linearly, starting at one such part of the peak.
    pub warmup: u64,
    /// The highest rate.
    pub peak_lr: f64,
    /// The lowest after it.
    pub min_lr: f64,
    /// How it falls.
    pub decay: Decay,
    /// The last steps, over which [`Decay::Wsd`] falls.
    pub decay_steps: u64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            steps: 1000,
            warmup: 100,
            peak_lr: 1e-3,
            min_lr: 0.0,
            decay: Decay::Cosine,
            decay_steps: 0,
        }
    }
}

impl Schedule {
    /// The usual peak learning rate of a new model.
    pub const NEW_LR: f64 = 1e-3;
    /// That of a trained model which learns more.
    pub const FINE_TUNING_LR: f64 = 5e-5;

    /// The usual schedule for so many steps and this highest rate: the rate rises in the first
    /// twentieth of the steps and then falls as a cosine does, to a tenth of its peak. With
    /// [`Decay::Wsd`] it falls in the last fifth.
    pub fn new(steps: u64, peak_lr: f64) -> Self {
        let (warmup, decay_steps) = (steps / 20, steps / 5);
        Self { steps, warmup, peak_lr, min_lr: peak_lr / 10.0, decay: Decay::Cosine, decay_steps }
    }

    /// The rate of a step, counted from 0.
    pub fn lr(&self, step: u64) -> f64 {
        let &Self { steps, warmup, peak_lr, min_lr, decay, decay_steps } = self;
        if step < warmup {
            return peak_lr * (step + 1) as f64 / warmup as f64;
        }
        let start = if decay == Decay::Wsd {
            steps.saturating_sub(decay_steps).max(warmup)
        } else {
            warmup
        };
        // How much of the fall is over.
        let over = match step {
            step if step >= steps => 1.0,
            step => step.saturating_sub(start) as f64 / steps.saturating_sub(start).max(1) as f64,
        };
        let left = match decay {
            Decay::Constant => 1.0,
            Decay::Linear | Decay::Wsd => 1.0 - over,
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * over).cos()),
        };
        min_lr + (peak_lr - min_lr) * left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSINE: Schedule = Schedule {
        steps: 110,
        warmup: 10,
        peak_lr: 1.0,
        min_lr: 0.1,
        decay: Decay::Cosine,
        decay_steps: 0,
    };

    #[test]
    fn rates_rise_and_fall() {
        let rates = |schedule: Schedule, steps: [u64; 5]| steps.map(|step| schedule.lr(step));
        let close = |found: [f64; 5], expected: [f64; 5]| {
            let same = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12);
            assert!(same, "{found:?}");
        };
        close(rates(COSINE, [0, 9, 10, 60, 110]), [0.1, 1.0, 1.0, 0.55, 0.1]);
        let linear = Schedule { decay: Decay::Linear, ..COSINE };
        close(rates(linear, [4, 10, 35, 60, 200]), [0.5, 1.0, 0.775, 0.55, 0.1]);
        let constant = Schedule { decay: Decay::Constant, ..COSINE };
        close(rates(constant, [0, 10, 60, 110, 500]), [0.1, 1.0, 1.0, 1.0, 1.0]);
        let wsd = Schedule { decay: Decay::Wsd, decay_steps: 20, ..COSINE };
        close(rates(wsd, [0, 10, 90, 100, 110]), [0.1, 1.0, 1.0, 0.55, 0.1]);
        let none = Schedule { warmup: 0, steps: 0, ..COSINE };
        close(rates(none, [0, 1, 2, 3, 4]), [0.1; 5]);
    }
}
