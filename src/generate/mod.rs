//! Text from a model: loading, streaming, stopping, scoring, on the device or by the reference.

mod cpu;
mod decode;
mod distribution;
mod llm;
mod prefix;
mod prompt;
mod runner;
mod saved;
mod score;
mod stop;
mod stream;

pub use crate::model::Progress;
pub use distribution::Chance;
pub use llm::{Backend, Llm, Options, Timings};
pub use prompt::Prompt;
pub use score::Score;
pub use stream::{Finish, Generation, Piece, Request, Stream, TokenTop};
