//! The built-in model.

use super::opened::Checkpoint;
use crate::error::Result;
use crate::files::Files;

const FILES: [(&str, &[u8]); 3] = [
    ("config.json", include_bytes!("../../assets/built_in/config.json")),
    ("tokenizer.json", include_bytes!("../../assets/built_in/tokenizer.json")),
    ("model.safetensors", include_bytes!("../../assets/built_in/model.safetensors")),
];

impl Checkpoint {
    /// The built-in model: a GPT-2 of 1.35 million parameters with a tokenizer of 1,024 tokens,
    /// both trained by Pellucid on Shakespeare's plays; see `assets/built_in`.
    ///
    /// # Errors
    /// None, if the library passes its tests.
    pub fn built_in() -> Result<Self> {
        let files = FILES.map(|(name, bytes)| (name.to_owned(), bytes));
        Self::open_files(Files::in_memory("built-in", files))
    }
}
