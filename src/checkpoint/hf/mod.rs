//! Folders in Hugging Face's layout: `config.json`, safetensors, and the files next to them.

pub(super) mod config;
pub(super) mod folder;
mod gpt;
mod llama;
mod object;
pub(super) mod safetensors;
pub(super) mod shards;
mod unread;
pub(super) mod write;
