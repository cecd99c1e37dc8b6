//! The model that is part of the program.

use std::path::Path;

use super::fields::Fields;
use super::source::Source;
use super::{Checkpoint, Origin, folder, hf_config, safetensors};
use crate::error::Result;

const CONFIG: &str = include_str!("../built_in/config.json");
const TOKENIZER: &str = include_str!("../built_in/tokenizer.json");
const TENSORS: &[u8] = include_bytes!("../built_in/model.safetensors");

impl Checkpoint {
    /// The model that is part of the program: GPT-2's shape in 1.35 million parameters, with a tokenizer
    /// of 1,024 tokens, which Pellucid learned from Shakespeare's plays. `src/built_in` tells how.
    ///
    /// # Errors
    /// None that a program which passes its tests can give.
    pub fn built_in() -> Result<Self> {
        let path = Path::new("built-in");
        let source = Source::built_in(&path.join("model.safetensors"), TENSORS);
        let entries = safetensors::entries(&source)?;
        let config = path.join("config.json");
        let map = folder::parse(&config, CONFIG)?;
        let fields = Fields { path: &config, prefix: "", map: &map };
        let (config, names) = hf_config::read(fields, None, entries.len())?;
        Self {
            path: path.into(),
            config,
            names,
            prefix: names.prefix_of(&entries),
            entries,
            origin: Origin::BuiltIn(TOKENIZER),
            chat_template: None,
        }
        .checked()
    }
}
