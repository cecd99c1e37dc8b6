//! Twin of `rope_backward`.

use crate::config::Rotation;
use crate::reference::rope::{RopeSize, rope};

/// ∂x of a rotation: dy rotated back, since a rotation's transpose is its inverse, with the same
/// amplitude.
/// dy (T, heads, D), positions (T); returns (T, heads, D).
pub fn rope_backward(
    dy: &[f64],
    positions: &[u32],
    rotation: &Rotation,
    size: RopeSize,
) -> Vec<f64> {
    let frequencies = rotation.frequencies.iter().map(|frequency| -frequency).collect();
    rope(dy, positions, &Rotation { frequencies, ..rotation.clone() }, size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::backward::tests::{assert_gradient, weighed};
    use crate::reference::tests::Noise;

    #[test]
    fn rotated_back_with_the_amplitude() {
        let rotation = Rotation { frequencies: vec![1.0, 0.1], amplitude: 1.25 };
        let size = RopeSize { heads: 2, head_width: 5 };
        let mut noise = Noise::new(7);
        let (x, dy) = (noise.values(20), noise.values(20));
        let dx = rope_backward(&dy, &[3, 400], &rotation, size);
        assert_gradient(&x, &dx, |x| weighed(&rope(x, &[3, 400], &rotation, size), &dy));
    }
}
