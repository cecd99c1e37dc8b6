//! The settings of an optimizer step that several cases share.

use crate::check::device::Device;
use crate::error::Result;
use crate::gpu::BufferId;
use crate::reference::backward as twin;

/// The settings of an optimizer step, and the largest gradient norm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) settings: twin::AdamW,
    /// Counted from 1.
    pub(super) number: u32,
    /// The largest gradient norm.
    pub(super) most: f64,
}

/// A step with every setting in use.
pub(super) const STEP: Step = Step {
    settings: twin::AdamW { rate: 0.01, betas: [0.9, 0.95], eps: 1e-8, decay: 0.1 },
    number: 3,
    most: 1.0,
};

impl Step {
    /// The eight numbers that `clip`, `adam_w` and `sgd` read.
    pub(super) fn words(&self, device: &mut Device) -> Result<BufferId> {
        let twin::AdamW { rate, betas: [b1, b2], eps, decay } = self.settings;
        let corrected = [b1, b2].map(|beta| 1.0 - beta.powi(self.number.cast_signed()));
        let words = [rate, b1, b2, eps, decay, corrected[0], corrected[1], self.most];
        device.words(&words.map(|word| word as f32))
    }

    /// The result of `clip`, on the device and as the twin takes it. A gradient that is `broken`
    /// has a norm that is not finite.
    pub(super) fn clipped(
        &self,
        device: &mut Device,
        gradient: &[f64],
        broken: bool,
    ) -> Result<(BufferId, f64)> {
        let squares = twin::square_sum(gradient, gradient.len().max(1));
        let twin::Clipped { factor, length, .. } = twin::clip(&squares, self.most);
        let (factor, length) = (factor as f32, length as f32);
        let words =
            if broken { [1.0, f32::INFINITY, 0.0, 0.0] } else { [factor, length, 1.0, 0.0] };
        Ok((device.words(&words)?, f64::from(factor)))
    }
}
