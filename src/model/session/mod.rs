//! A model in use: rows in, caches filled, and log-probabilities or named values out.

mod batch;
mod collect;
mod edits;
mod observe;
mod open;
mod prefill;
#[cfg(feature = "inspect")]
mod readings;
mod resident;
mod room;
mod rows;
mod staged;
mod state;
mod stored;
mod variants;

pub use batch::VariantOutcome;
pub use collect::Activation;
pub(crate) use collect::Collected;
pub use observe::{Observed, ObservedRows};
pub use open::Progress;
pub(crate) use prefill::Prefill;
#[cfg(feature = "inspect")]
pub(crate) use readings::Readout;
pub use resident::{OnDevice, Resident};
pub use rows::{Row, rows};
pub(crate) use staged::Staged;
pub use state::{Scored, Session};
pub(crate) use variants::Trace;
