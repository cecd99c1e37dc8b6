//! The model that is part of the program.

use std::sync::Arc;

use super::checkpoint::Checkpoint;
use crate::error::Result;
use crate::files::{Files, ReadAt};

const FILES: [(&str, &[u8]); 3] = [
    ("config.json", include_bytes!("../built_in/config.json")),
    ("tokenizer.json", include_bytes!("../built_in/tokenizer.json")),
    ("model.safetensors", include_bytes!("../built_in/model.safetensors")),
];

impl Checkpoint {
    /// The model that is part of the program: GPT-2's shape in 1.35 million parameters, with a tokenizer
    /// of 1,024 tokens, which Pellucid learned from Shakespeare's plays. `src/built_in` tells how.
    ///
    /// # Errors
    /// None that a program which passes its tests can give.
    pub fn built_in() -> Result<Self> {
        let file = |(name, bytes): (&str, &'static [u8])| {
            (name.to_owned(), Arc::new(bytes) as Arc<dyn ReadAt>)
        };
        Self::open_files(Files::given("built-in", FILES.map(file)))
    }
}
