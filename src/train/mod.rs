//! Training: the function is learned rather than loaded.
//!
//! A [`Trainer`] holds a model with gradients and moments next to its weights. One [`Trainer::step`]
//! runs the forward page, the loss and the backward page over some batches, and updates every
//! parameter. What a step does depends only on the parameters, the moments, the number of the step
//! and its batches, so a run that was stopped resumes with the same bits.

mod backward;
mod data;
mod fit;
mod init;
mod loss;
mod model_files;
mod open;
mod options;
mod parameters;
mod plan;
mod preset;
mod schedule;
mod state;
mod trainer;

pub use data::{Data, read_tokens};
pub use fit::TrainMemory;
pub use init::{Family, NewModel, Sizes, new_model, new_model_in_memory};
pub use model_files::ModelFiles;
pub use open::Progress;
pub use options::{Optimizer, TrainOptions};
pub use parameters::TrainSlot;
pub use plan::DryRun;
pub use preset::Preset;
pub use schedule::{Decay, Schedule};
pub use state::{Saved, State};
pub use trainer::{Batch, Step, Trainer};
