//! Twin of `add`.

/// out += x, value by value: what a sub-layer adds to the residual stream.
pub fn add(out: &mut [f64], x: &[f64]) {
    debug_assert_eq!(out.len(), x.len());
    out.iter_mut().zip(x).for_each(|(out, x)| *out += x);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_added_in_place() {
        let mut out = [1.0, 2.0];
        add(&mut out, &[10.0, -2.0]);
        assert_eq!(out, [11.0, 0.0]);
    }
}
