//! What an adapter is worth: whether it calculates rightly, and how fast it can go at all.

pub mod cases;
mod ceilings;
mod choose;
mod device;
mod judge;
mod planted;
mod products;
mod self_test;
mod store;
mod suites;
mod timing;
mod tune;
mod wanted;

pub use ceilings::{Ceilings, ceilings, measure};
pub use choose::{Variants, Wishes, choose};
pub use device::{Device, HALF_TOLERANCE, JUNK, TOLERANCE, Values, wide};
pub use judge::{Outcome, variant};
pub use planted::first_failure;
pub use products::products;
pub use self_test::{Record, Report, Share, Verdict, admit, doctor};
pub use store::{Shelf, Store, folder};
pub use tune::{Contest, tune};
