//! Text to tokens and back: encode: Text -> V*, decode: V* -> Text.
//!
//! A [`Tokenizer`] is the pipeline normalize, pre-tokenize, merge of the `tokenizers` crate. It is
//! made from an opened model ([`Tokenizer::from_checkpoint`]), a folder
//! ([`Tokenizer::from_folder`]) or GGUF metadata ([`Tokenizer::from_bpe`],
//! [`Tokenizer::from_sentence_piece`]). The last two steps are implemented here instead: the tokens
//! around a text ([`Bos`]), because a text that will be continued needs a beginning but no end; and
//! decoding, because a stream must return text piece by piece.

mod alias;
mod arguments;
mod bpe;
mod by_score;
mod chat;
mod checkpoint;
mod decode;
mod documents;
mod encoding;
mod explain;
mod expression;
mod folder;
mod gguf;
mod growth;
mod guard;
mod jinja;
mod json;
mod merging;
mod model_file;
mod names;
mod normalizing;
mod pieces;
mod pipeline;
mod sentence_piece;
mod settings;
mod splitting;
mod template;
mod tokenizer_json;
mod train;

#[cfg(test)]
mod smollm2_test;
#[cfg(test)]
mod tests;

pub use arguments::TemplateArguments;
pub use chat::{ChatTemplate, Message, Role};
pub use documents::{Documents, Names, Talk, without_opening};
pub use encoding::{Bos, Encode, Special, Stream, Tokenizer};
pub use explain::{Merge, Piece};
pub use train::{Kind, Learning, Training, train, train_text};
