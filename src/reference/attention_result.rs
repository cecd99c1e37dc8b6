//! Twin of `attention_result`: what each head writes to the residual stream.

use super::parallel::fill_runs;

/// Each head's product with its columns of the output projection: z (T, H, D), weight (C, H·D);
/// returns (T, H, C).
///
/// Source: Elhage et al. 2021, "Attention heads are independent and additive".
pub fn attention_result(z: &[f64], weight: &[f32], heads: usize, width: usize) -> Vec<f64> {
    let q_width = weight.len() / width;
    debug_assert_eq!((z.len() % q_width, q_width % heads), (0, 0));
    let head_width = q_width / heads;
    let mut results = vec![0.0; z.len() / head_width * width];
    fill_runs(&mut results, width, width * head_width, |run, result| {
        let z = &z[run * head_width..][..head_width];
        let first = run % heads * head_width;
        for (result, row) in result.iter_mut().zip(weight.chunks_exact(q_width)) {
            *result =
                row[first..][..head_width].iter().zip(z).map(|(w, z)| f64::from(*w) * z).sum();
        }
    });
    results
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::linear::{LinearSize, linear};
    use crate::reference::sum_heads;
    use crate::reference::tests::{Noise, assert_close};

    #[test]
    fn heads_are_independent_and_add_up_to_the_output_projection() {
        let (heads, head_width, width) = (3, 5, 4);
        let size = LinearSize { inputs: heads * head_width, outputs: width };
        let mut noise = Noise::new(9);
        let z = noise.values(2 * size.inputs);
        let (weight, bias) = (noise.weights(size.inputs * width), noise.weights(width));
        let results = attention_result(&z, &weight, heads, width);
        assert_eq!(results.len(), 2 * heads * width);
        let sums = sum_heads(&results, Some(&bias), heads, width);
        assert_close(&sums, &linear(&z, &weight, Some(&bias), size), 1e-12);
        let mut without = z.clone();
        without[head_width..2 * head_width].fill(0.0);
        let without = attention_result(&without, &weight, heads, width);
        assert_eq!(without[width..2 * width], [0.0; 4]);
        assert_eq!(
            (&without[..width], &without[2 * width..]),
            (&results[..width], &results[2 * width..])
        );
    }
}
