//! Ops of the caller's own, run at a named value inside the recording.

use std::fmt;
use std::sync::Arc;

use crate::gpu::Kernel;
use crate::ops::Each;

/// An op that changes a named value in place: WGSL of the caller's, with a twin in plain Rust for the
/// reference. It is a [`Change`](super::Change) like any other, and runs within the recording: nothing
/// crosses to the host.
///
/// The kernel is written like those of edits here (`shaders/scale_add.wgsl` where each number is for
/// itself, `shaders/project.wgsl` where those of a head belong together). Its entry point has its name,
/// and it declares these bindings; `Params`, `changes`, `head_at` and `operand_at` come with the part
/// `shaders/parts/region.wgsl`, which is linked to it:
///
/// ```wgsl
/// @group(0) @binding(0) var<uniform> params: Params;
/// @group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>; // token, position, sequence, step
/// @group(0) @binding(2) var<storage, read> operand: array<f32>;
/// @group(0) @binding(3) var<storage, read_write> x: array<f32>;
/// ```
///
/// With [`Each::Head`] the part `reduce` is linked too: `WG`, `sum_workgroup` and `max_workgroup`.
///
/// A kernel that the device does not accept is an error that says why. Its accesses are checked in every
/// build; whether its values are right is for its author to test, with the twin.
#[derive(Clone)]
pub struct OwnOp {
    pub(super) kernel: &'static Kernel,
    pub(super) each: Each,
    pub(super) constants: Vec<(&'static str, f64)>,
    pub(super) operand: Vec<f32>,
    pub(super) twin: Option<Arc<Twin>>,
}

/// The numbers of one head at one position, as far as the edit names them, and those of the operand.
pub(super) type Twin = dyn Fn(&mut [f64], &[f64]) + Send + Sync;

impl OwnOp {
    /// An op without a twin, which runs on devices only; on the reference it is refused.
    pub fn new(kernel: &'static Kernel, each: Each) -> Self {
        Self { kernel, each, constants: Vec::new(), operand: vec![0.0], twin: None }
    }

    /// Sets an `override` constant of the kernel.
    #[must_use]
    pub fn constant(mut self, name: &'static str, value: impl Into<f64>) -> Self {
        self.constants.push((name, value.into()));
        self
    }

    /// Numbers that the op reads, as those of [`Change::Add`](super::Change::Add) are laid out.
    #[must_use]
    pub fn operand(mut self, values: Vec<f32>) -> Self {
        self.operand = values;
        self
    }

    /// The same in plain Rust: gets the numbers of one head at one position that the edit names, and an
    /// operand for each of them.
    #[must_use]
    pub fn twin(mut self, twin: impl Fn(&mut [f64], &[f64]) + Send + Sync + 'static) -> Self {
        self.twin = Some(Arc::new(twin));
        self
    }
}

impl PartialEq for OwnOp {
    fn eq(&self, other: &Self) -> bool {
        let twins = match (&self.twin, &other.twin) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (own, other) => own.is_none() && other.is_none(),
        };
        twins
            && self.kernel.source == other.kernel.source
            && (self.each, &self.constants) == (other.each, &other.constants)
            && self.operand == other.operand
    }
}

impl fmt::Debug for OwnOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnOp")
            .field("kernel", self.kernel)
            .field("each", &self.each)
            .field("constants", &self.constants)
            .finish_non_exhaustive()
    }
}
