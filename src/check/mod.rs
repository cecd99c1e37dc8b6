//! What an adapter is worth: whether it calculates rightly, and how fast it can go at all.

pub mod cases;
mod ceilings;
mod device;
mod judge;
mod planted;
mod products;
mod select_kernels;
mod self_test;
mod store;
mod suites;
mod timing;
mod tune;
mod wanted;

pub use ceilings::{Ceilings, ceilings, measure};
pub use device::{Device, HALF_TOLERANCE, POISON, TOLERANCE, Values, to_f64};
pub use judge::{Outcome, variant};
pub use planted::first_failure;
pub use products::products;
pub use select_kernels::{SelectionPolicy, Variants, select_kernels};
pub use self_test::{Record, Report, Shard, Verdict, doctor, verify_kernels};
pub use store::{KeyValueStorage, ProfileCache, folder};
pub use tune::{Contest, tune};
