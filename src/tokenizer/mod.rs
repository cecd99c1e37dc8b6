//! Text to tokens and back: encode: Text -> V*, decode: V* -> Text.
//!
//! A [`Tokenizer`] is the chain normalise, pre-tokenise, merge of the `tokenizers` crate, made of an
//! opened model ([`Tokenizer::from_checkpoint`]), of a folder ([`Tokenizer::from_folder`]) or of GGUF
//! metadata ([`Tokenizer::from_bpe`], [`Tokenizer::from_sentence_piece`]).
//! The crate's last two links are written here instead: the tokens around a text ([`Bos`]), because
//! a text that is to be continued takes a beginning but no end, and decoding, because a stream
//! must hand out text piece by piece.

mod bpe;
mod by_score;
mod chat;
mod checkpoint;
mod decode;
mod encoding;
mod explain;
mod folder;
mod gguf;
mod json;
mod pieces;
mod template;
mod train;

#[cfg(test)]
mod smollm2_test;
#[cfg(test)]
mod tests;

pub use chat::{ChatTemplate, Message, Role};
pub use encoding::{Bos, Encode, Special, Stream, Tokenizer};
pub use explain::{Merge, Piece};
pub use train::{Kind, Training, train, train_text};
