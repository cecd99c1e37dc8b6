//! Twin of `matmul` and of `matvec`, which is the same product over few rows.

use super::parallel::fill_runs;

/// The sizes of a linear map.
#[derive(Clone, Copy, Debug)]
pub struct MatmulSize {
    /// Values of one input row.
    pub inputs: usize,
    /// Values of one output row.
    pub outputs: usize,
}

/// y = x Wᵀ + b: x (T, inputs), W (outputs, inputs), b (outputs); gives (T, outputs).
pub fn matmul(x: &[f64], weight: &[f32], bias: Option<&[f32]>, size: MatmulSize) -> Vec<f64> {
    let MatmulSize { inputs, outputs } = size;
    debug_assert_eq!(weight.len(), outputs * inputs);
    debug_assert_eq!(x.len() % inputs, 0);
    debug_assert!(bias.is_none_or(|bias| bias.len() == outputs));
    let rows = x.len() / inputs;
    // Filled as (outputs, T): each weight row is then read once and serves every token.
    let mut by_output = vec![0.0; outputs * rows];
    fill_runs(&mut by_output, rows, rows * inputs, |output, values| {
        // Widened once for all tokens: prompts of 64 tokens ran 1.6 times as fast so.
        let weight: Vec<f64> =
            weight[output * inputs..][..inputs].iter().map(|&weight| f64::from(weight)).collect();
        let bias = bias.map_or(0.0, |bias| f64::from(bias[output]));
        for (x, y) in x.chunks_exact(inputs).zip(values) {
            *y = dot(x, &weight) + bias;
        }
    });
    if rows == 1 { by_output } else { transpose(&by_output, rows) }
}

/// Σ x·w over two slices of equal length.
///
/// Eight sums run side by side, because one sum would wait for each addition to end before the
/// next; their order is fixed, so the result is too.
pub(super) fn dot(x: &[f64], w: &[f64]) -> f64 {
    debug_assert_eq!(x.len(), w.len());
    let (x_blocks, x_rest) = x.as_chunks::<8>();
    let (w_blocks, w_rest) = w.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (x, w) in x_blocks.iter().zip(w_blocks) {
        for i in 0..8 {
            sums[i] += x[i] * w[i];
        }
    }
    let rest: f64 = x_rest.iter().zip(w_rest).map(|(x, w)| x * w).sum();
    sums.iter().sum::<f64>() + rest
}

/// (rows, columns) to (columns, rows), given the length of a row.
fn transpose(values: &[f64], columns: usize) -> Vec<f64> {
    let mut turned = Vec::with_capacity(values.len());
    for column in 0..columns {
        turned.extend(values.iter().skip(column).step_by(columns));
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::tests::{Noise, assert_close};

    #[test]
    fn equals_the_sum_written_out() {
        for (rows, inputs, outputs) in [(1, 1, 1), (1, 37, 5), (3, 8, 2), (2, 1030, 301)] {
            let mut noise = Noise::new(7);
            let (x, weight) = (noise.values(rows * inputs), noise.weights(outputs * inputs));
            let bias = noise.weights(outputs);
            let got = matmul(&x, &weight, Some(&bias), MatmulSize { inputs, outputs });
            let mut expected = Vec::new();
            for row in 0..rows {
                for output in 0..outputs {
                    let products = (0..inputs)
                        .map(|i| x[row * inputs + i] * f64::from(weight[output * inputs + i]));
                    expected.push(products.sum::<f64>() + f64::from(bias[output]));
                }
            }
            assert_close(&got, &expected, 1e-12);
        }
    }

    #[test]
    fn no_rows_give_no_values() {
        assert!(matmul(&[], &[1.0; 6], None, MatmulSize { inputs: 3, outputs: 2 }).is_empty());
    }
}
