//! A model to be written: what its files are called and how they lie, without any numbers.

use std::io::Write;
use std::path::Path;

use super::hf::folder;
use super::hf::write::{NewTensor, write_safetensors, write_safetensors_to};
use super::layout::Layout;
use super::opened::Checkpoint;
use super::params::{Cut, Param};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::format::Format;

/// The tensors that a model's file has in Hugging Face's layout.
#[derive(Debug)]
pub struct TensorLayout {
    config: Config,
    tensors: Vec<Planned>,
}

/// One tensor of the file, and the parts that lie in it.
#[derive(Debug)]
struct Planned {
    name: String,
    shape: Vec<usize>,
    parts: Vec<(Param, usize, Layout)>,
}

/// Gives the values of a part in a layer.
type Values<'a> = &'a mut dyn FnMut(Param, usize) -> Result<Vec<f32>>;

/// Writes tensors with their metadata, whose values it asks for by their index.
type Writer<'a> = dyn FnMut(
        &[NewTensor],
        &[(String, String)],
        &mut dyn FnMut(usize) -> Result<Vec<f32>>,
    ) -> Result<()>
    + 'a;

impl TensorLayout {
    /// The model that a config.json describes.
    ///
    /// # Errors
    /// Those of reading the file, and of a kind of model that is not supported.
    pub fn from_config(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self::from_files(&Files::on_disk(path.parent().unwrap_or(path)), &name)
    }

    /// The same of a file wherever it comes from.
    ///
    /// # Errors
    /// As [`TensorLayout::from_config`].
    pub fn from_files(files: &Files, name: &str) -> Result<Self> {
        let path = &files.path().join(name);
        let (config, names) = folder::config(files, name)?;
        let prefix = names.prefixes.first().copied().unwrap_or_default();
        let chosen = |part, layer| names.find(part, layer, prefix).next();
        Self::new(config, chosen, path)
    }

    /// The same model as a checkpoint, with its names.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a GGUF file, which is another layout.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self> {
        if checkpoint.files().is_none() {
            return Err(Error::unsupported(
                format!("writing {} as Hugging Face's layout", checkpoint.path().display()),
                "folders with config.json and safetensors",
            ));
        }
        let chosen = |part, layer| checkpoint.find(part, layer);
        Self::new(checkpoint.config().clone(), chosen, checkpoint.path())
    }

    fn new(
        config: Config,
        chosen: impl Fn(Param, usize) -> Option<(String, Cut)>,
        path: &Path,
    ) -> Result<Self> {
        let mut tensors: Vec<Planned> = Vec::new();
        for part in Param::ALL.into_iter().filter(|part| part.belongs_to(&config)) {
            for layer in 0..if part.in_layer() { config.layers } else { 1 } {
                let (name, cut) = chosen(part, layer).ok_or_else(|| {
                    Error::tensor(path, format!("{part:?}, layer {layer}"), "has no name")
                })?;
                let layout = Layout::of(part, cut, &config);
                match tensors.iter_mut().find(|tensor| tensor.name == name) {
                    Some(tensor) => tensor.parts.push((part, layer, layout)),
                    None => tensors.push(Planned {
                        name,
                        shape: layout.in_file.clone(),
                        parts: vec![(part, layer, layout)],
                    }),
                }
            }
        }
        Ok(Self { config, tensors })
    }

    /// The model's sizes and kinds.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Writes the model's file, in f32 or f16: it is there whole or not at all. `values` gives each part
    /// of the function as [`Matrix::values`](super::Matrix::values) would.
    ///
    /// # Errors
    /// Those of `values`, of the system, and [`Error::Unsupported`] for another format.
    pub fn write(
        &self,
        path: &Path,
        format: Format,
        values: &mut dyn FnMut(Param, usize) -> Result<Vec<f32>>,
    ) -> Result<()> {
        self.each(path, format, values, &mut |tensors, metadata, values| {
            write_safetensors(path, tensors, metadata, values)
        })
    }

    /// The same wherever the bytes go; the path is what errors call that.
    ///
    /// # Errors
    /// As [`TensorLayout::write`].
    pub fn write_to(
        &self,
        out: &mut dyn Write,
        path: &Path,
        format: Format,
        values: &mut dyn FnMut(Param, usize) -> Result<Vec<f32>>,
    ) -> Result<()> {
        self.each(path, format, values, &mut |tensors, metadata, values| {
            write_safetensors_to(out, path, tensors, metadata, values)
        })
    }

    /// Hands the tensors to a writer of files, with what gives their values.
    fn each(
        &self,
        path: &Path,
        format: Format,
        values: Values<'_>,
        write: &mut Writer<'_>,
    ) -> Result<()> {
        let new = |tensor: &Planned| NewTensor {
            name: tensor.name.clone(),
            format,
            shape: tensor.shape.clone(),
        };
        let all: Vec<NewTensor> = self.tensors.iter().map(new).collect();
        // Readers of other programs ask for this word.
        let metadata = [("format".to_owned(), "pt".to_owned())];
        write(&all, &metadata, &mut |index| {
            let tensor = &self.tensors[index];
            let mut all = vec![0.0; tensor.shape.iter().product()];
            for (part, layer, layout) in &tensor.parts {
                let values = values(*part, *layer)?;
                if values.len() != layout.rows * layout.columns {
                    return Err(Error::tensor(
                        path,
                        tensor.name.as_str(),
                        format!("{} values for its {part:?}", values.len()),
                    ));
                }
                layout.scatter(&values, &mut all);
            }
            Ok(all)
        })
    }
}
