//! Text from a model: loading, streaming, stopping, scoring, on the device or on the reference.

mod cpu;
mod decode;
mod distribution;
mod finite;
mod inspection;
mod likelihood;
mod llm;
mod observe;
mod options;
mod prompt;
mod request;
mod runner;
mod saved;
mod score;
mod stop;
mod stream;
mod tail;
mod watch;

pub use crate::model::Progress;
pub use distribution::Chance;
pub use inspection::BaseRun;
pub use llm::Llm;
pub use observe::TextPart;
pub use options::{Backend, Options};
pub use prompt::Prompt;
pub use request::{Event, Finish, Generation, Piece, Request, Timings, TokenTop};
pub use score::Score;
pub use stream::Stream;
