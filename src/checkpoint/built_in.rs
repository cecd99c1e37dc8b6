//! The model that is part of the program.

use super::opened::Checkpoint;
use crate::error::Result;
use crate::files::Files;

const FILES: [(&str, &[u8]); 3] = [
    ("config.json", include_bytes!("../../assets/built_in/config.json")),
    ("tokenizer.json", include_bytes!("../../assets/built_in/tokenizer.json")),
    ("model.safetensors", include_bytes!("../../assets/built_in/model.safetensors")),
];

impl Checkpoint {
    /// The model that is part of the program: GPT-2's shape in 1.35 million parameters, with a tokenizer
    /// of 1,024 tokens, which Pellucid learned from Shakespeare's plays. `assets/built_in` tells how.
    ///
    /// # Errors
    /// None that a program which passes its tests can give.
    pub fn built_in() -> Result<Self> {
        let files = FILES.map(|(name, bytes)| (name.to_owned(), bytes));
        Self::open_files(Files::in_memory("built-in", files))
    }
}
