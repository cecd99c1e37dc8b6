//! The activation functions of an MLP, as the part `activation` numbers them.

use crate::config::Nonlinearity;

/// A function's number in the part `activation`; 0 is no function.
pub(super) fn number(function: Nonlinearity) -> u32 {
    match function {
        Nonlinearity::GeluTanh => 1,
        Nonlinearity::Gelu => 2,
        Nonlinearity::Silu => 3,
    }
}
