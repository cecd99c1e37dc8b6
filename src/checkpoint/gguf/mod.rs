//! GGUF files: header, configuration and tokenizer metadata.

pub(super) mod config;
pub(super) mod file;
pub(super) mod parts;
pub(super) mod tokenizer;
