//! Which kernel runs, and in which variant: a pure function of the device, of its profile, and of
//! shapes. Knows no op and no weight.

mod profile;
mod registry;
mod selection;
mod shape;
#[cfg(test)]
mod tests;
mod variants;
mod workload;

pub use profile::{DeviceProfile, fingerprint};
pub use registry::{KERNELS, PARTS, kernel, part};
pub use selection::{KernelSelection, RunLimits};
pub use shape::Shape;
pub use variants::{AttentionTiling, Lanes, LanesKind, Matmul, Reduce};
pub use workload::Workload;
