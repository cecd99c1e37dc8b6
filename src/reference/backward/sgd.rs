//! Twin of `sgd`.

/// θ −= rate · g; parameters and gradient (n).
pub fn sgd(parameters: &mut [f64], gradient: &[f64], rate: f64) {
    parameters.iter_mut().zip(gradient).for_each(|(theta, g)| *theta -= rate * g);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_move_against_their_gradients() {
        let mut theta = [1.0, 2.0];
        sgd(&mut theta, &[1.0, -1.0], 0.5);
        assert_eq!(theta, [0.5, 2.5]);
    }
}
