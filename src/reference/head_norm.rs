//! Twin of `head_norm`.

use super::rms_norm::rms_norm;

/// The RMS norm of each query head and each key head, before the rotation: x (T, heads, D), where
/// the first `queries` heads have the first gain and the others the second, (D) each; returns (T,
/// heads, D).
pub fn head_norm(
    x: &[f64],
    [heads, queries]: [usize; 2],
    gains: [&[f32]; 2],
    eps: f64,
) -> Vec<f64> {
    let width = gains[0].len();
    debug_assert_eq!((gains[1].len(), x.len() % (heads * width)), (width, 0));
    let heads = x.chunks_exact(width).enumerate().map(|(index, head)| {
        let gain = gains[usize::from(index % heads >= queries)];
        rms_norm(head, gain, eps)
    });
    heads.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::tests::assert_close;

    #[test]
    fn each_head_is_a_row_of_its_own_with_its_kind_of_gain() {
        let x = [3.0, 4.0, 6.0, 8.0, 0.5, 0.5];
        let got = head_norm(&[x, x].concat(), [3, 2], [&[1.0, 2.0], &[10.0, 20.0]], 0.0);
        let root = 12.5_f64.sqrt();
        let row = [3.0 / root, 8.0 / root, 3.0 / root, 8.0 / root, 10.0, 20.0];
        assert_close(&got, &[row, row].concat(), 1e-14);
    }
}
