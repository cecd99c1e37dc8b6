//! A model in use: rows in, caches filled, and log-probabilities or named values out.

mod observe;
mod open;
mod prefill;
mod state;
mod stored;

pub use observe::{Activation, Observed, OnDevice, Resident};
pub use open::Progress;
pub(crate) use prefill::Prefill;
pub use state::{Row, Scored, Session, rows};
