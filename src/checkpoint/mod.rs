//! Checkpoints: typed tensors by name, read by position.
//!
//! A [`Checkpoint`] is an opened GGUF file or folder in Hugging Face's layout. Opening it reads and
//! checks all headers: every tensor that the configuration needs exists, has the right shape and a
//! known type, and is inside its file without overlapping another. The names and layouts of the
//! families stay in this module: the rest of the program asks for a [`Param`] and gets a row-major
//! [`Matrix`], [out, in]. Of tokenizers it knows only the files and metadata that describe them.

mod built_in;
mod fields;
mod fingerprint;
mod format;
mod gguf;
mod hf;
mod json;
mod layout;
mod matrix;
mod notes;
mod opened;
mod params;
mod rope;
mod source;
mod special;
mod tensor_file;
mod tensor_layout;
mod tensor_names;
#[cfg(test)]
mod tests;
mod tied;
mod wrappers;

pub(crate) use fingerprint::{Hash, WeightsHash};
pub use format::blocks::{dequantize, quantize};
pub use format::planes::planes;
pub use gguf::parts::gguf_files;
pub use gguf::tokenizer::{Bpe, SentencePiece, Swallows};
#[cfg(feature = "train")]
pub(crate) use hf::config::{ATTENTION_ONLY, ATTENTION_ONLY_CLASS};
pub use hf::safetensors::read_safetensors;
pub use hf::write::{NewTensor, safetensors_start, write_safetensors, write_safetensors_to};
pub(crate) use json::parse as parse_json;
pub use matrix::Matrix;
pub use opened::Checkpoint;
pub use params::Param;
pub(crate) use special::{ALSO_TEXT, END_OF_FILE, END_OF_PART, ENDS};
pub use special::{SpecialToken, SpecialTokens};
pub use tensor_file::{NamedTensor, TensorFile};
pub use tensor_layout::TensorLayout;
