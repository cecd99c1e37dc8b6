//! Learning: the function is found rather than loaded.
//!
//! A [`Trainer`] holds a model with gradients and moments beside its weights. One [`Trainer::step`]
//! runs the forward page, the loss and the backward page over some batches, and moves every
//! parameter. What a step does depends on nothing but the parameters, the moments, the number of the
//! step and its batches, so that a run that was stopped goes on with the same bits.

mod backward;
mod data;
mod fit;
mod frame;
mod init;
mod loss;
mod open;
mod options;
mod parameters;
mod plan;
mod preset;
mod schedule;
mod state;
mod trainer;

pub use data::{Data, read_tokens};
pub use fit::Fit;
pub use frame::Frame;
pub use init::{Family, NewModel, Sizes, new_model, new_model_in_memory};
pub use open::Progress;
pub use options::{Optimizer, TrainOptions};
pub use parameters::Held;
pub use plan::Rehearsal;
pub use preset::Preset;
pub use schedule::{Decay, Schedule};
pub use state::{Saved, State};
pub use trainer::{Batch, Step, Trainer};
