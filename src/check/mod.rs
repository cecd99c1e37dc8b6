//! What an adapter is worth: whether it calculates rightly, and how fast it can go at all.

#[cfg(feature = "train")]
mod backward;
pub mod cases;
mod ceilings;
mod device;
mod judge;
mod products;
mod self_test;
mod store;
mod tables;
mod timing;
mod tune;

pub use ceilings::{Ceilings, measure};
pub use device::{Device, HALF_TOLERANCE, JUNK, TOLERANCE, Values, wide};
pub use judge::{Outcome, variant};
pub use products::products;
pub use self_test::{Record, Report, Share, Verdict, Wishes, admit, choose, doctor};
pub use store::{Shelf, Store, folder};
pub use tune::{Contest, Workload, tune};
