//! Tensors that edits name, each read once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::checkpoint::{NamedTensor, TensorFile};
use crate::error::Result;

/// Files that were opened, and tensors that were read.
#[derive(Debug, Default)]
pub struct Tensors {
    files: HashMap<PathBuf, TensorFile>,
    read: HashMap<(PathBuf, String), NamedTensor>,
}

impl Tensors {
    /// The tensor of this name in a safetensors or GGUF file.
    ///
    /// # Errors
    /// Those of [`TensorFile`].
    pub fn get(&mut self, file: &Path, tensor: &str) -> Result<NamedTensor> {
        let key = (file.to_owned(), tensor.to_owned());
        if let Some(read) = self.read.get(&key) {
            return Ok(read.clone());
        }
        let found = self.file(file)?.tensor(tensor)?;
        self.read.insert(key, found.clone());
        Ok(found)
    }

    /// A file's names and metadata.
    ///
    /// # Errors
    /// As [`TensorFile::open`].
    pub fn file(&mut self, file: &Path) -> Result<&TensorFile> {
        if !self.files.contains_key(file) {
            self.files.insert(file.to_owned(), TensorFile::open(file)?);
        }
        Ok(&self.files[file])
    }
}
