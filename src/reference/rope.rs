//! Twin of `rope`.

use crate::config::Rotation;

/// The sizes of one row of heads.
#[derive(Clone, Copy, Debug)]
pub struct RopeSize {
    /// Heads of a row.
    pub heads: usize,
    /// D: values of one head.
    pub head_width: usize,
}

/// Rotates pair (i, i + R/2) of every head by position · frequency\[i\] radians, where R/2 is the
/// number of frequencies, and multiplies it by the amplitude; values from R on are unchanged.
/// x (T, heads, D), positions (T); returns (T, heads, D).
///
/// Source: Su et al. 2021 (`RoFormer`), in the pairing of Llama's Hugging Face files.
pub fn rope(x: &[f64], positions: &[u32], rotation: &Rotation, size: RopeSize) -> Vec<f64> {
    let half = rotation.frequencies.len();
    debug_assert_eq!(x.len(), positions.len() * size.heads * size.head_width);
    debug_assert!(2 * half <= size.head_width);
    let mut out = x.to_vec();
    for (index, head) in out.chunks_exact_mut(size.head_width).enumerate() {
        let position = f64::from(positions[index / size.heads]);
        for (i, frequency) in rotation.frequencies.iter().enumerate() {
            let (sin, cos) = (position * frequency).sin_cos();
            let (a, b) = (head[i], head[i + half]);
            head[i] = rotation.amplitude * (a * cos - b * sin);
            head[i + half] = rotation.amplitude * (b * cos + a * sin);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::dot::dot;
    use crate::reference::tests::{Noise, assert_close};

    fn rotation() -> Rotation {
        Rotation { frequencies: vec![1.0, 0.1, 0.01], amplitude: 1.0 }
    }

    const ONE: RopeSize = RopeSize { heads: 1, head_width: 8 };

    #[test]
    fn norms_are_kept_and_the_tail_is_not_rotated() {
        let x = Noise::new(3).values(2 * 2 * 8);
        let rotated = rope(&x, &[5, 131_071], &rotation(), RopeSize { heads: 2, head_width: 8 });
        for (before, after) in x.chunks(8).zip(rotated.chunks(8)) {
            assert_close(&[dot(after, after)], &[dot(before, before)], 1e-12);
            assert_eq!(before[6..], after[6..]);
            assert_ne!(before[..6], after[..6]);
        }
    }

    #[test]
    fn products_depend_on_differences_of_positions_only() {
        let mut noise = Noise::new(4);
        let (q, k) = (noise.values(8), noise.values(8));
        let score = |q_at, k_at| {
            dot(&rope(&q, &[q_at], &rotation(), ONE), &rope(&k, &[k_at], &rotation(), ONE))
        };
        assert_close(&[score(9, 4)], &[score(1005, 1000)], 1e-9);
        assert!((score(9, 4) - score(9, 5)).abs() > 1e-3);
    }

    #[test]
    fn a_quarter_turn_moves_the_first_half_onto_the_second() {
        let size = RopeSize { heads: 1, head_width: 2 };
        let rotation = Rotation { frequencies: vec![std::f64::consts::FRAC_PI_2], amplitude: 1.0 };
        let rotated = rope(&[1.0, 0.0], &[1], &rotation, size);
        assert_close(&[1.0 + rotated[0], rotated[1]], &[1.0, 1.0], 1e-15);
    }
}
