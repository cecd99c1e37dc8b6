//! Tensors of any file, by name: safetensors or GGUF, recognized by how it begins.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::format::blocks::dequantize;
use super::gguf::file;
use super::hf::safetensors;
use super::source::{Entries, Source, room};
use crate::error::{Error, Result};

/// A file whose tensors are read by name.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    entries: Entries,
    /// GGUF's scalars and strings.
    fields: Map<String, Value>,
}

/// A tensor's sizes, the slowest axis first, and its values.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// The sizes.
    pub shape: Vec<usize>,
    /// The values, row-major.
    pub values: Vec<f32>,
}

impl TensorFile {
    /// Reads a file's header.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::File`] for a file that cannot be read, or is neither.
    pub fn open(path: &Path) -> Result<Self> {
        let source = Source::open(path)?;
        let mut start = [0; 4];
        if source.length() >= 4 {
            source.read_at(0, &mut start)?;
        }
        let (entries, fields) = if start == *b"GGUF" {
            let (gguf, entries) = file::open(source)?;
            (entries, gguf.fields)
        } else {
            (safetensors::entries(&source)?, Map::new())
        };
        Ok(Self { path: path.to_owned(), entries, fields })
    }

    /// The names of its tensors, in order.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.entries.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// A text among GGUF's metadata.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.fields.get(key).and_then(Value::as_str)
    }

    /// The tensor of this name.
    ///
    /// # Errors
    /// [`Error::Tensor`], naming the file's tensors, for one that it does not have, and for a type
    /// that is no number's; those of reading the file.
    pub fn tensor(&self, name: &str) -> Result<NamedTensor> {
        let bad = |reason: String| Error::tensor(&self.path, name, reason);
        let entry = self.entries.get(name).ok_or_else(|| {
            let mut names = self.names().join(", ");
            if names.is_empty() {
                "none".clone_into(&mut names);
            }
            bad(format!("is not in the file, which has {names}"))
        })?;
        let format = entry.format.ok_or_else(|| {
            bad(format!("has the type {}, which is not read; save it as F32", entry.kind))
        })?;
        let shape: Option<Vec<usize>> =
            entry.shape.iter().map(|size| usize::try_from(*size).ok()).collect();
        let shape = shape.ok_or_else(|| bad("does not fit into memory".to_owned()))?;
        // The header was checked: the tensor's bytes are in the file.
        let mut bytes = room(entry.bytes as usize, 1, &self.path, name)?;
        entry.source.read_at(entry.offset, &mut bytes)?;
        let values = dequantize(format, &bytes);
        Ok(NamedTensor { shape, values })
    }
}
