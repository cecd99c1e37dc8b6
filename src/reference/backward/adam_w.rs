//! Twin of `adam_w`.

/// The settings of [`adam_w`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// The learning rate of this step.
    pub rate: f64,
    /// β₁ and β₂: the decay rates of the moving means of gradients and of their squares.
    pub betas: [f64; 2],
    /// ε.
    pub eps: f64,
    /// Weight decay; applied to matrices, not to vectors.
    pub decay: f64,
}

/// The moving means of a tensor's gradient and of its square.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// m.
    pub mean: Vec<f64>,
    /// v.
    pub square: Vec<f64>,
}

impl Moments {
    /// The moments before the first step: zeros.
    pub fn zero(count: usize) -> Self {
        Self { mean: vec![0.0; count], square: vec![0.0; count] }
    }
}

/// θ −= rate · (m̂ / (√v̂ + ε) + decay · θ), with m = β₁ m + (1 − β₁) g, v = β₂ v + (1 − β₂) g²,
/// and both divided by 1 − βᵗ; `step` t counts from 1.
///
/// Source: Loshchilov & Hutter 2019.
pub fn adam_w(
    parameters: &mut [f64],
    moments: &mut Moments,
    gradient: &[f64],
    settings: AdamW,
    step: u32,
) {
    let AdamW { rate, betas: [first, second], eps, decay } = settings;
    let corrected = [first, second].map(|beta| 1.0 - beta.powi(step.cast_signed()));
    let state = moments.mean.iter_mut().zip(&mut moments.square);
    for ((theta, g), (m, v)) in parameters.iter_mut().zip(gradient).zip(state) {
        *m = first * *m + (1.0 - first) * g;
        *v = second * *v + (1.0 - second) * g * g;
        let towards = *m / corrected[0] / ((*v / corrected[1]).sqrt() + eps);
        *theta -= rate * (towards + decay * *theta);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::tests::assert_close;

    const SETTINGS: AdamW = AdamW { rate: 0.1, betas: [0.9, 0.95], eps: 1e-8, decay: 0.0 };

    /// At the first step m̂ is g and v̂ is g², so every parameter moves by the rate.
    #[test]
    fn the_first_step_is_as_long_as_the_rate() {
        let (mut theta, mut moments) = (vec![1.0, -2.0, 3.0], Moments::zero(3));
        adam_w(&mut theta, &mut moments, &[1e-3, -5.0, 0.0], SETTINGS, 1);
        assert_close(&theta, &[0.9, -1.9, 3.0], 1e-5);
    }

    #[test]
    fn decay_is_added_to_the_step() {
        let (mut theta, mut moments) = (vec![2.0], Moments::zero(1));
        adam_w(&mut theta, &mut moments, &[0.0], AdamW { decay: 0.5, ..SETTINGS }, 1);
        assert_close(&theta, &[1.9], 1e-12);
    }

    /// Three steps, written out.
    #[test]
    fn means_move_and_are_corrected() {
        let (mut theta, mut moments) = (vec![0.0], Moments::zero(1));
        let (mut m, mut v, mut expected) = (0.0, 0.0, 0.0);
        for (step, g) in [(1, 1.0), (2, -2.0), (3, 0.5_f64)] {
            adam_w(&mut theta, &mut moments, &[g], SETTINGS, step);
            m = 0.9 * m + 0.1 * g;
            v = 0.95 * v + 0.05 * g * g;
            let power = step.cast_signed();
            let (m, v): (f64, f64) =
                (m / (1.0 - 0.9_f64.powi(power)), v / (1.0 - 0.95_f64.powi(power)));
            expected -= 0.1 * m / (v.sqrt() + 1e-8);
        }
        assert_close(&theta, &[expected], 1e-12);
    }
}
