//! The settings of an optimizer step, as the part `optimizer_settings` reads them.

use crate::gpu::params;

params! {
    /// The settings of an optimizer step; SGD uses only the rate.
    pub struct OptimizerSettings {
        /// The learning rate.
        pub rate: f32,
        /// β₁: how much of the gradient's moving mean stays.
        pub beta1: f32,
        /// β₂: how much of the moving mean of its square stays.
        pub beta2: f32,
        /// ε.
        pub eps: f32,
        /// The weight decay, before the rate.
        pub decay: f32,
        /// 1 − β₁ᵗ in step t.
        pub correction1: f32,
        /// 1 − β₂ᵗ in step t.
        pub correction2: f32,
        /// The largest norm of all gradients together; 0 for no limit.
        pub max_norm: f32,
    }
}

params! {
    /// The result of [`Clip`](super::Clip).
    pub struct Clipping {
        /// What gradients are multiplied by.
        pub factor: f32,
        /// Their norm before that.
        pub length: f32,
        /// 1 if the norm is finite, else 0.
        pub finite: f32,
        /// 0.
        pub zero: f32,
    }
}
