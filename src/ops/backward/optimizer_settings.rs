//! What a step of an optimizer is given, as the part `optimizer_settings` has it.

use crate::gpu::params;

params! {
    /// What a step of an optimizer is given; stochastic gradient descent takes the rate alone.
    pub struct OptimizerSettings {
        /// What a move is multiplied by.
        pub rate: f32,
        /// β₁: how much of the gradient's moving mean stays.
        pub beta1: f32,
        /// β₂: how much of the moving mean of its square stays.
        pub beta2: f32,
        /// ε.
        pub eps: f32,
        /// How much of a parameter is taken away, before the rate.
        pub decay: f32,
        /// 1 − β₁ᵗ in step t.
        pub correction1: f32,
        /// 1 − β₂ᵗ in step t.
        pub correction2: f32,
        /// The largest length of all gradients, taken together; 0 for any.
        pub max_norm: f32,
    }
}

params! {
    /// What [`Clip`](super::Clip) finds.
    pub struct Clipping {
        /// What gradients are multiplied by.
        pub factor: f32,
        /// Their length before that.
        pub length: f32,
        /// 1 where the length is finite, else 0.
        pub finite: f32,
        /// 0.
        pub zero: f32,
    }
}
