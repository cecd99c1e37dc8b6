//! Text from a model: loading, streaming, stopping, scoring, on the device or by the reference.

mod cpu;
mod decode;
mod llm;
mod open;
mod score;
mod stop;
mod stream;

pub use llm::{Backend, Llm, Options, Timings};
pub use score::Score;
pub use stream::{Finish, Generation, Piece, Request, Stream, TokenTop};
