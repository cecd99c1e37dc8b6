//! Checkpoints: names to typed tensors, read by position.
//!
//! A [`Checkpoint`] is an opened GGUF file or folder in Hugging Face's layout. Opening it reads
//! headers and checks all of them: every tensor that the configuration calls for is there, has the
//! right shape and a known type, and lies inside its file apart from all others. What the families
//! call things and how they lay them out stays in here: the rest of the program asks for a
//! [`Param`] and gets a [`Matrix`] of plain [out, in] rows. Of text it knows the files and the metadata that a
//! tokenizer is made of, no more.

mod built_in;
mod fields;
mod fingerprint;
mod format;
mod gguf;
mod hf;
mod layout;
mod matrix;
mod opened;
mod params;
mod rope;
mod source;
mod special;
mod tensor_layout;
mod tensor_names;
#[cfg(test)]
mod tests;

pub(crate) use fingerprint::Hash;
pub use format::blocks::{dequantize, quantize};
pub use format::planes::planes;
pub use gguf::tokenizer::{Bpe, SentencePiece};
pub use hf::safetensors::read_safetensors;
pub use hf::write::{NewTensor, write_safetensors, write_safetensors_to};
pub use matrix::Matrix;
pub use opened::Checkpoint;
pub use params::Param;
pub use special::{SpecialToken, SpecialTokens};
pub use tensor_layout::TensorLayout;
