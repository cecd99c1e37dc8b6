//! Weights: names to typed tensors, read by position.
//!
//! A [`Checkpoint`] is an opened GGUF file or folder in Hugging Face's layout. Opening it reads
//! headers and checks all of them: every tensor that the configuration calls for is there, has the
//! right shape and a known type, and lies inside its file apart from all others. What the families
//! call things and how they lay them out stays in here: the rest of the program asks for a
//! [`Param`] and gets a [`Matrix`] of plain [out, in] rows. Of text it knows the files and the metadata that a
//! tokenizer is made of, no more.

mod blocks;
mod built_in;
mod checkpoint;
mod fields;
mod fingerprint;
mod folder;
mod gather;
mod gguf;
mod gguf_config;
mod gguf_tokenizer;
mod hf_config;
mod hf_gpt;
mod hf_llama;
mod layout;
mod matrix;
mod names;
mod parts;
mod planes;
mod rope;
mod safetensors;
mod source;
mod special;
mod tensor_layout;
#[cfg(test)]
mod tests;
mod write;

pub use blocks::{dequantize, quantize};
pub use checkpoint::Checkpoint;
pub(crate) use fingerprint::Hash;
pub use gguf_tokenizer::{Bpe, SentencePiece};
pub use matrix::Matrix;
pub use parts::Param;
pub use planes::planes;
pub use safetensors::read_safetensors;
pub use special::{SpecialToken, SpecialTokens};
pub use tensor_layout::TensorLayout;
pub use write::{NewTensor, write_safetensors, write_safetensors_to};
