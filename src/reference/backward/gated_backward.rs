//! Twin of `gated_backward`.

use super::activate_backward::activate_backward;
use crate::config::Nonlinearity;
use crate::reference::activate;

/// ∂gate and ∂up of y = f(gate) ⊙ up: dy ⊙ up ⊙ f′(gate), and dy ⊙ f(gate); all (T, F).
pub fn gated_backward(
    gate: &[f64],
    up: &[f64],
    dy: &[f64],
    function: Nonlinearity,
) -> (Vec<f64>, Vec<f64>) {
    debug_assert_eq!((gate.len(), up.len()), (dy.len(), dy.len()));
    let by_up: Vec<f64> = dy.iter().zip(up).map(|(dy, up)| dy * up).collect();
    let opened = activate(gate, function);
    let for_up = dy.iter().zip(opened).map(|(dy, open)| dy * open).collect();
    (activate_backward(gate, &by_up, function), for_up)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::backward::tests::{assert_gradient, weighed};
    use crate::reference::gated;
    use crate::reference::tests::Noise;

    const ALL: [Nonlinearity; 3] = [Nonlinearity::GeluTanh, Nonlinearity::Gelu, Nonlinearity::Silu];

    #[test]
    fn gate_and_up() {
        let mut noise = Noise::new(3);
        let (gate, up, dy) = (noise.values(20), noise.values(20), noise.values(20));
        for function in ALL {
            let (for_gate, for_up) = gated_backward(&gate, &up, &dy, function);
            assert_gradient(&gate, &for_gate, |gate| weighed(&gated(gate, &up, function), &dy));
            assert_gradient(&up, &for_up, |up| weighed(&gated(&gate, up, function), &dy));
        }
    }
}
