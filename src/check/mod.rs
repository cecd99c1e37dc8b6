//! Whether an adapter computes correctly: its kernels are compared with their twins, and those that
//! pass are selected.

pub mod cases;
mod device;
mod outcome;
mod planted;
mod run_filter;
mod select_kernels;
mod self_test;
mod suites;
mod values;

pub use device::{Device, F16_TOLERANCE, POISON, TOLERANCE, to_f64};
pub use outcome::{Outcome, variant};
pub use planted::first_failure;
pub use select_kernels::{SelectionPolicy, Variants, select_kernels};
pub use self_test::{Report, Shard, Verdict, doctor, verify_kernels};
pub use values::Values;
