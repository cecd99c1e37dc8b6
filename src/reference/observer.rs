//! Reading and changing the values of a forward pass on their way.

use crate::hook::Hook;

/// Someone who looks at named values, and may change them.
///
/// `()` asks for nothing, [`Every`] for everything.
pub trait Observer {
    /// Whether to show this value. Attention scores, patterns and per-head results are computed
    /// only where asked for.
    fn wants(&self, _hook: Hook) -> bool {
        false
    }

    /// Shows a value that was asked for: its row-major shape, as [`Hook`] documents it, and its
    /// values. What it writes into them is what the model goes on with.
    fn see(&mut self, _hook: Hook, _shape: &[usize], _values: &mut [f64]) {}
}

impl Observer for () {}

/// Shows every value to a closure.
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
