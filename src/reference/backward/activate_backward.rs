//! Twin of `activate_backward`.

use crate::config::Nonlinearity;
use crate::reference::activate;

/// ∂x of y = f(x): dy ⊙ f′(x).
pub fn activate_backward(x: &[f64], dy: &[f64], function: Nonlinearity) -> Vec<f64> {
    debug_assert_eq!(x.len(), dy.len());
    x.iter().zip(dy).map(|(&x, dy)| dy * slope(x, function)).collect()
}

/// f′(x).
fn slope(x: f64, function: Nonlinearity) -> f64 {
    match function {
        Nonlinearity::GeluTanh => {
            let root = (2.0 / std::f64::consts::PI).sqrt();
            let t = (root * (x + 0.044_715 * x * x * x)).tanh();
            // 1 − t² rather than 1 / cosh², which overflows.
            0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * root * (1.0 + 0.134_145 * x * x)
        }
        Nonlinearity::Gelu => {
            let bell = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
            // gelu(x) / x is the normal distribution function Φ(x), 1/2 at 0.
            let below = if x == 0.0 { 0.5 } else { activate(&[x], function)[0] / x };
            below + x * bell
        }
        Nonlinearity::Silu => {
            let s = 1.0 / (1.0 + (-x).exp());
            s * (1.0 + x * (1.0 - s))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::backward::tests::{assert_gradient, weighed};
    use crate::reference::tests::Noise;

    const ALL: [Nonlinearity; 3] = [Nonlinearity::GeluTanh, Nonlinearity::Gelu, Nonlinearity::Silu];

    #[test]
    fn slopes_are_those_of_finite_differences() {
        let mut x = Noise::new(1).values(40);
        x.iter_mut().for_each(|x| *x *= 6.0);
        x.extend([0.0, 1e-9, -1e-9]);
        let dy = Noise::new(2).values(x.len());
        for function in ALL {
            let dx = activate_backward(&x, &dy, function);
            assert_gradient(&x, &dx, |x| weighed(&activate(x, function), &dy));
            let far = activate_backward(&[1e4, -1e4], &[1.0, 1.0], function);
            assert_eq!(far, [1.0, 0.0], "{function:?}");
        }
    }
}
