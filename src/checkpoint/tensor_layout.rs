//! A model to write: the names and layouts of its tensors, without their values.

use std::io::Write;
use std::path::Path;

use super::hf::folder;
use super::hf::write::{NewTensor, write_safetensors, write_safetensors_to};
use super::layout::Layout;
use super::notes::Notes;
use super::opened::Checkpoint;
use super::params::{Cut, Param};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::format::Format;

/// The tensors of a model's file in Hugging Face's layout.
#[derive(Debug)]
pub struct TensorLayout {
    config: Config,
    tensors: Vec<Planned>,
}

/// One tensor of the file, and the parameters in it.
#[derive(Debug)]
struct Planned {
    name: String,
    shape: Vec<usize>,
    params: Vec<(Param, usize, Layout)>,
}

/// Returns the values of a parameter in a layer.
type Values<'a> = &'a mut dyn FnMut(Param, usize) -> Result<Vec<f32>>;

/// Writes tensors with metadata; gets the values of each tensor by its index.
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
    /// Those of reading the file, and [`Error::Unsupported`] for an unsupported model.
    pub fn from_config(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self::from_files(&Files::on_disk(path.parent().unwrap_or(path)), &name)
    }

    /// The same for a file from any source.
    ///
    /// # Errors
    /// As [`TensorLayout::from_config`].
    pub fn from_files(files: &Files, name: &str) -> Result<Self> {
        let path = &files.path().join(name);
        let notes = Notes::default();
        let (config, names) = folder::config(files, name, &notes)?;
        notes.into_sentences().iter().for_each(|note| log::warn!("{note}"));
        let prefix = names.prefixes.first().copied().unwrap_or_default();
        let chosen = |param, layer| names.find(param, layer, prefix).next();
        Self::new(config, chosen, path)
    }

    /// The model of a checkpoint, with the same tensor names.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a GGUF file, which has another layout.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self> {
        if checkpoint.files().is_none() {
            return Err(Error::unsupported(
                format!("writing {} as Hugging Face's layout", checkpoint.path().display()),
                "folders with config.json and safetensors",
            ));
        }
        let chosen = |param, layer| checkpoint.name_to_write(param, layer);
        Self::new(checkpoint.config().clone(), chosen, checkpoint.path())
    }

    fn new(
        config: Config,
        chosen: impl Fn(Param, usize) -> Option<(String, Cut)>,
        path: &Path,
    ) -> Result<Self> {
        let mut tensors: Vec<Planned> = Vec::new();
        for param in Param::ALL.into_iter().filter(|param| param.belongs_to(&config)) {
            for layer in 0..if param.in_layer() { config.layers } else { 1 } {
                let (name, cut) = chosen(param, layer).ok_or_else(|| {
                    Error::tensor(path, format!("{param:?}, layer {layer}"), "has no name")
                })?;
                let layout = Layout::of(param, cut, &config);
                match tensors.iter_mut().find(|tensor| tensor.name == name) {
                    Some(tensor) => tensor.params.push((param, layer, layout)),
                    None => tensors.push(Planned {
                        name,
                        shape: layout.in_file.clone(),
                        params: vec![(param, layer, layout)],
                    }),
                }
            }
        }
        Ok(Self { config, tensors })
    }

    /// The model's hyper-parameters.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Writes the model's file in f32 or f16, whole or not at all. `values` returns each parameter
    /// as [`Matrix::values`](super::Matrix::values) would.
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

    /// The same to any writer; errors name it by the path.
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

    /// Passes the tensors to a writer, with a function for their values.
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
        // Other programs require this entry.
        let metadata = [("format".to_owned(), "pt".to_owned())];
        write(&all, &metadata, &mut |index| {
            let tensor = &self.tensors[index];
            let mut all = vec![0.0; tensor.shape.iter().product()];
            for (param, layer, layout) in &tensor.params {
                let values = values(*param, *layer)?;
                if values.len() != layout.rows * layout.columns {
                    return Err(Error::tensor(
                        path,
                        tensor.name.as_str(),
                        format!("got {} values for its {param:?}", values.len()),
                    ));
                }
                layout.scatter(&values, &mut all);
            }
            Ok(all)
        })
    }
}
