//! A model in use: rows in, caches filled, and log-probabilities or named values out.

mod batch;
mod collect;
mod edits;
mod observe;
mod open;
mod prefill;
mod room;
mod state;
mod stored;
mod variants;

pub use batch::Outcome;
pub use collect::Activation;
pub(crate) use collect::Collected;
pub use observe::{Observed, OnDevice, Part, Resident};
pub use open::Progress;
pub(crate) use prefill::Prefill;
pub use state::{Row, Scored, Session, rows};
pub(crate) use variants::Trace;
