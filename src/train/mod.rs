//! Training: the function is learned rather than loaded.
//!
//! A [`Trainer`] holds a model with gradients and moments next to its weights. One [`Trainer::step`]
//! runs the forward page, the loss and the backward page over some batches, and updates every
//! parameter. What a step does depends only on the parameters, the moments, the number of the step
//! and its batches, so a run that was stopped resumes with the same bits.

mod attention_only;
mod backward;
mod blocks;
mod corpus;
mod data;
mod fit;
mod folder;
mod init;
mod loss;
mod micro_batch;
mod model_files;
mod new_model;
mod open;
mod options;
mod parameters;
mod preset;
mod recordings;
mod schedule;
mod state;
mod token_file;
mod tokens;
mod trainer;

pub use corpus::{Corpus, Found, Learn, text_of_lines};
pub use data::Data;
pub use fit::TrainMemory;
pub use folder::remove_model;
pub use init::{Family, Sizes, new_model, new_model_in_memory};
pub use model_files::ModelFiles;
pub use new_model::NewModel;
pub use open::Progress;
pub use options::{Optimizer, TrainOptions};
pub use parameters::TrainSlot;
pub use preset::Preset;
pub use recordings::DryRun;
pub use schedule::{Decay, Schedule};
pub use state::{Saved, State};
pub use token_file::read_tokens;
pub use tokens::{IGNORED, Tokens};
pub use trainer::{Batch, Step, Trainer};
