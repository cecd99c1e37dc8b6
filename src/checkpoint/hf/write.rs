//! Writing safetensors files: eight bytes of length, a JSON header, then the bytes of the tensors.
//!
//! The `safetensors` crate ([`Metadata`]) makes and checks the header. The bytes after it are
//! written here: the functions of the crate take values that cannot fail, and write either the
//! whole file to memory or a temporary file, which does not exist in browsers and which others may
//! not read.

use std::io::{BufWriter, Write};
use std::path::Path;

use half::f16;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use crate::atomic_file::AtomicFile;
use crate::error::{Error, Result};
use crate::format::Format;

/// A tensor to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTensor {
    /// Its name.
    pub name: String,
    /// [`Format::F32`] or [`Format::F16`].
    pub format: Format,
    /// Its shape, the slowest axis first.
    pub shape: Vec<usize>,
}

/// Writes a file, whole or not at all; a link in its place is replaced. `values` returns the values of each tensor in turn, so that
/// only one tensor is in memory.
///
/// # Errors
/// Those of `values` and of the system; [`Error::Unsupported`] for another format;
/// [`Error::Tensor`] if the number of values does not match the shape, or a value is too large for
/// f16.
pub fn write_safetensors(
    path: &Path,
    tensors: &[NewTensor],
    metadata: &[(String, String)],
    values: &mut dyn FnMut(usize) -> Result<Vec<f32>>,
) -> Result<()> {
    let io = |error| Error::io(path, error);
    let (atomic_file, file) = AtomicFile::create_own(path).map_err(io)?;
    let mut out = BufWriter::new(file);
    write_safetensors_to(&mut out, path, tensors, metadata, values)?;
    let file = out.into_inner().map_err(|error| io(error.into_error()))?;
    atomic_file.finish(&file).map_err(io)
}

/// The same to any writer; errors name it by the path.
///
/// # Errors
/// As [`write_safetensors`].
pub fn write_safetensors_to(
    out: &mut dyn Write,
    path: &Path,
    tensors: &[NewTensor],
    metadata: &[(String, String)],
    values: &mut dyn FnMut(usize) -> Result<Vec<f32>>,
) -> Result<()> {
    let io = |error| Error::io(path, error);
    out.write_all(&safetensors_start(path, tensors, metadata)?).map_err(io)?;
    for (index, tensor) in tensors.iter().enumerate() {
        let bad = |reason: String| Error::tensor(path, tensor.name.as_str(), reason);
        let values = values(index)?;
        if values.len() != tensor.shape.iter().product::<usize>() {
            return Err(bad(format!(
                "got {} values for the shape {:?}",
                values.len(),
                tensor.shape
            )));
        }
        match dtype(tensor.format)? {
            Dtype::F32 => out.write_all(bytemuck::cast_slice(&values)).map_err(io)?,
            _ => {
                let halves: Vec<f16> = values.iter().map(|value| f16::from_f32(*value)).collect();
                if let Some(at) = halves.iter().position(|half| !half.is_finite()) {
                    return Err(bad(format!("{} is too large for f16", values[at])));
                }
                let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
                out.write_all(&bytes).map_err(io)?;
            }
        }
    }
    Ok(())
}

/// How a file with these tensors begins: the length of its header, and the header. The tensors follow in
/// the same order, without gaps.
///
/// # Errors
/// [`Error::Unsupported`] for a format other than f32 and f16; [`Error::File`] for names that are not
/// different.
pub fn safetensors_start(
    path: &Path,
    tensors: &[NewTensor],
    metadata: &[(String, String)],
) -> Result<Vec<u8>> {
    let header = header(path, tensors, metadata)?;
    let mut start = (header.len() as u64).to_le_bytes().to_vec();
    start.extend(header.as_bytes());
    Ok(start)
}

/// The safetensors type of a format that files are written in.
fn dtype(format: Format) -> Result<Dtype> {
    match format {
        Format::F32 => Ok(Dtype::F32),
        Format::F16 => Ok(Dtype::F16),
        Format::Bf16
        | Format::Q8_0
        | Format::Q4_0
        | Format::Q4_1
        | Format::Q5_0
        | Format::Q5_1
        | Format::Iq4_Nl
        | Format::Iq4_Xs
        | Format::Q2_K
        | Format::Q3_K
        | Format::Q4_K
        | Format::Q5_K
        | Format::Q6_K => Err(Error::unsupported(format!("writing {format}"), "f32, f16")),
    }
}

/// The JSON, padded with blanks so that the tensors begin at a multiple of eight.
fn header(path: &Path, tensors: &[NewTensor], metadata: &[(String, String)]) -> Result<String> {
    let mut infos = Vec::with_capacity(tensors.len());
    let mut at = 0;
    for NewTensor { name, format, shape } in tensors {
        let dtype = dtype(*format)?;
        let end = at + shape.iter().product::<usize>() * dtype.bitsize() / 8;
        infos.push((
            name.clone(),
            TensorInfo { dtype, shape: shape.clone(), data_offsets: (at, end) },
        ));
        at = end;
    }
    let words = (!metadata.is_empty()).then(|| metadata.iter().cloned().collect());
    let bad = |reason: String| Error::file(path, format!("cannot be written: {reason}"));
    let header = Metadata::new(words, infos).map_err(|refusal| bad(refusal.to_string()))?;
    let mut text = serde_json::to_string(&header).map_err(|error| bad(error.to_string()))?;
    text.extend(std::iter::repeat_n(' ', text.len().next_multiple_of(8) - text.len()));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;
    use serde_json::{Value, json};

    use super::*;
    use crate::checkpoint::hf::safetensors as reader;
    use crate::files::Source;

    #[test]
    fn files_read_back_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let tensor = |name: &str, format, shape: &[usize]| NewTensor {
            name: name.to_owned(),
            format,
            shape: shape.to_vec(),
        };
        let tensors = [tensor("b", Format::F32, &[2, 1]), tensor("a", Format::F16, &[3])];
        let metadata = [("format".to_owned(), "pt".to_owned())];
        let values = [vec![1.0, -2.5], vec![0.5, 0.0, 65_504.0]];
        write_safetensors(&path, &tensors, &metadata, &mut |i| Ok(values[i].clone())).unwrap();
        let entries = reader::entries(&Source::open(&path).unwrap()).unwrap();
        assert_eq!((entries.len(), &entries["b"].shape[..]), (2, &[2, 1][..]));
        let bytes = std::fs::read(&path).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        assert_eq!(length % 8, 0);
        let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        assert_eq!(header["__metadata__"]["format"], "pt");
        assert_eq!(header["b"]["data_offsets"], json!([0, 8]));
        assert_eq!(bytes[8 + length..][..8], [0, 0, 128, 63, 0, 0, 32, 192]);
        assert_eq!(bytes.len(), 8 + length + 8 + 6);
        // Read back by the `safetensors` crate.
        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.tensor("a").unwrap().dtype(), Dtype::F16);
        assert_eq!(file.tensor("a").unwrap().data(), [0, 56, 0, 0, 255, 123]);

        // A failed write leaves the old file.
        let fails = [vec![1.0], vec![0.0; 3]];
        assert!(write_safetensors(&path, &tensors, &[], &mut |i| Ok(fails[i].clone())).is_err());
        let fails = [vec![1.0; 2], vec![1e9; 3]];
        let error = write_safetensors(&path, &tensors, &[], &mut |i| Ok(fails[i].clone()));
        assert!(error.unwrap_err().to_string().contains("too large for f16"));
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }
}
