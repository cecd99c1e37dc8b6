//! Recordings prepared to run.

use std::sync::Arc;

use super::compiled::Pipeline;
use super::counters::Counters;
use super::recording::Grid;

/// A prepared recording: encoding it allocates nothing.
#[derive(Debug, Default)]
pub struct Plan {
    pub(super) steps: Vec<Step>,
}

impl Plan {
    /// Cuts it into about this many pieces, submitted one after another: some systems kill a submit
    /// that takes seconds, and no submit can be stopped.
    pub fn in_pieces(self, pieces: usize) -> Vec<Self> {
        let length = self.steps.len().div_ceil(pieces.max(1)).max(1);
        let mut steps = self.steps.into_iter();
        let piece = || Some(Self { steps: steps.by_ref().take(length).collect() });
        std::iter::from_fn(piece).take_while(|piece| !piece.steps.is_empty()).collect()
    }

    /// How many dispatches it has.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Cuts off what follows its first `at` dispatches.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        Self { steps: self.steps.split_off(at) }
    }
}

/// One dispatch.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) groups: Vec<(u32, wgpu::BindGroup)>,
    pub(super) grid: Grid,
    pub(super) weight_bytes: u64,
}

impl Step {
    pub(super) fn encode(&self, pass: &mut wgpu::ComputePass<'_>, extent: u32) {
        pass.set_pipeline(&self.pipeline.pipeline);
        for (number, group) in &self.groups {
            pass.set_bind_group(*number, group, &[]);
        }
        let [x, y, z] = self.grid.at(extent);
        pass.dispatch_workgroups(x, y, z);
    }
}

/// Begins a pass, and counts it.
pub(super) fn begin<'a>(
    encoder: &'a mut wgpu::CommandEncoder,
    counters: &mut Counters,
) -> wgpu::ComputePass<'a> {
    counters.passes += 1;
    encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default())
}
