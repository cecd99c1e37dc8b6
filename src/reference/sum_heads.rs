//! Twin of `sum_heads`.

/// Σ over heads + bias: (T, H, C) to (T, C).
pub fn sum_heads(results: &[f64], bias: Option<&[f32]>, heads: usize, width: usize) -> Vec<f64> {
    debug_assert_eq!(results.len() % (heads * width), 0);
    let mut sums = Vec::with_capacity(results.len() / heads);
    for row in results.chunks_exact(heads * width) {
        sums.extend((0..width).map(|column| {
            let of_heads: f64 = row.iter().skip(column).step_by(width).sum();
            of_heads + bias.map_or(0.0, |bias| f64::from(bias[column]))
        }));
    }
    sums
}
