//! What an analysis found, in the form that was asked for: a table, JSON, or a file.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::Args;
use pellucid::atomic_file::{self, AtomicFile};
use pellucid::checkpoint::{NewTensor, write_safetensors_to};
use pellucid::format::Format;
use pellucid::{Error, Result};
use serde_json::{Value, json};

use crate::output;

/// The form of the result.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputOptions {
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the result to a file: .json, or .safetensors with its numbers as f32
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// The kinds of files that results are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Json,
    Safetensors,
}

/// Numbers with a name and a shape.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    pub(crate) name: Cow<'static, str>,
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

/// What was found, for scripts and for people.
pub(crate) struct Found {
    pub(crate) object: Value,
    pub(crate) arrays: Vec<Array>,
    pub(crate) table: String,
}

impl OutputOptions {
    /// The file and its kind, by the end of its name.
    ///
    /// # Errors
    /// [`Error::Input`] for another end.
    pub(crate) fn file(&self) -> Result<Option<(&Path, Kind)>> {
        let Some(path) = &self.output else { return Ok(None) };
        match path.extension().and_then(OsStr::to_str) {
            Some("json") => Ok(Some((path, Kind::Json))),
            Some("safetensors") => Ok(Some((path, Kind::Safetensors))),
            _ => Err(Error::Input(format!(
                "-o {} ends with neither .json nor .safetensors",
                path.display()
            ))),
        }
    }

    /// Prints the result, or writes it.
    ///
    /// # Errors
    /// [`Error::Io`] for the file.
    pub(crate) fn emit(&self, found: &Found) -> Result<()> {
        match self.file()? {
            Some((path, Kind::Json)) => {
                let text = format!("{}\n", found.object);
                atomic_file::write(path, text.as_bytes())
                    .map_err(|error| Error::io(path, error))?;
                self.written(path, &[])
            }
            Some((path, Kind::Safetensors)) => {
                write(path, &found.arrays)?;
                let names: Vec<&str> = found.arrays.iter().map(|array| &*array.name).collect();
                self.written(path, &names)
            }
            None if self.json => output::json(&found.object),
            None => output::piece(&found.table),
        }
    }

    /// Says what was written.
    pub(crate) fn written(&self, path: &Path, names: &[&str]) -> Result<()> {
        if self.json {
            return output::json(&json!({ "file": path, "names": names }));
        }
        output::note(&format!("wrote {}", path.display()));
        Ok(())
    }
}

fn write(path: &Path, arrays: &[Array]) -> Result<()> {
    let io = |error| Error::io(path, error);
    let tensor = |array: &Array| NewTensor {
        name: array.name.clone().into_owned(),
        format: Format::F32,
        shape: array.shape.clone(),
    };
    let tensors: Vec<NewTensor> = arrays.iter().map(tensor).collect();
    let (atomic, mut file) = AtomicFile::create(path).map_err(io)?;
    write_safetensors_to(&mut file, path, &tensors, &[], &mut |at| Ok(arrays[at].values.clone()))?;
    atomic.finish(&file).map_err(io)
}

/// A bar of a share of `most`, drawn with characters of eight widths.
pub(crate) fn bar(value: f64, most: f64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if !value.is_finite() || most <= 0.0 {
        return String::new();
    }
    let eighths = ((value.abs() / most).min(1.0) * 8.0 * width as f64).round() as usize;
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

/// A table of numbers by layer and head, in which the strongest stand out.
pub(crate) fn grid(title: &str, rows: &[Vec<f64>]) -> String {
    const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];
    let most =
        rows.iter().flatten().filter(|x| x.is_finite()).fold(0.0, |a: f64, x| a.max(x.abs()));
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let heads: Vec<String> = (0..columns).map(|head| format!("{head:>8}")).collect();
    let mut text = format!("{title}\nlayer {}\n", heads.concat());
    for (layer, row) in rows.iter().enumerate() {
        let cell = |x: &f64| {
            let shade = if most > 0.0 { (x.abs() / most * 4.0).round() as usize } else { 0 };
            format!("{} {x:>6.3}", SHADES[shade.min(4)])
        };
        let cells: Vec<String> = row.iter().map(cell).collect();
        text.push_str(&format!("{layer:>5} {}\n", cells.concat()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_they_should_be() {
        assert_eq!(bar(0.5, 1.0, 4), "██");
        assert_eq!(bar(-1.0, 1.0, 2), "██");
        assert_eq!(bar(0.0, 1.0, 4), "");
        assert_eq!(bar(f64::NAN, 1.0, 4), "");
    }
}
