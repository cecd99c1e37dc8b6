//! Reading and changing the values of a forward pass.

use crate::hook::Hook;

/// Reads the values of hooks, and may change them.
///
/// `()` wants none, [`Every`] wants all.
pub trait Observer {
    /// Whether to pass this value to [`see`](Self::see). Attention scores, patterns and per-head
    /// results are computed only if wanted.
    fn wants(&self, _hook: Hook) -> bool {
        false
    }

    /// Gets a value: its row-major shape, as documented by [`Hook`], and its values. The model
    /// continues with what is written to them.
    fn see(&mut self, _hook: Hook, _shape: &[usize], _values: &mut [f64]) {}
}

impl Observer for () {}

/// Passes every value to a closure.
#[derive(Clone, Debug)]
pub struct Every<F>(pub F);

impl<F: FnMut(Hook, &[usize], &mut [f64])> Observer for Every<F> {
    fn wants(&self, _hook: Hook) -> bool {
        true
    }

    fn see(&mut self, hook: Hook, shape: &[usize], values: &mut [f64]) {
        (self.0)(hook, shape, values);
    }
}
