//! What is fast on an adapter: measured once, and kept with everything else known about it.

mod ceilings;
mod products;
mod profile_cache;
mod timing;
mod tuner;

pub use ceilings::{Ceilings, ceilings, measure};
pub use products::products;
pub use profile_cache::{KeyValueStorage, ProfileCache, Record, folder};
pub use tuner::{Contest, tune};
