//! Reading safetensors files: eight bytes of length, a JSON header, then the bytes of the tensors.
//!
//! The `safetensors` crate ([`Metadata`]) validates the header. Three things are done here: only
//! the header is read, by position, so that the whole file is never in memory; a duplicate name, of
//! which the crate would keep one, is rejected; and an error names the tensor at fault.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::mem;
use std::path::Path;
use std::sync::Arc;

use safetensors::tensor::{Metadata, TensorInfo};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use crate::checkpoint::format::blocks::dequantize;
use crate::checkpoint::source::{Entries, Entry, Reader, Source, room};
use crate::error::{Error, Result};
use crate::format::Format;

/// The longest header that is read, in bytes; the crate has the same limit.
const LONGEST_HEADER: u64 = 100_000_000;

/// The header's one entry that is not a tensor: metadata of the file.
const WORDS: &str = "__metadata__";

/// Reads the places of the tensors in an open file.
pub(in crate::checkpoint) fn entries(source: &Arc<Source>) -> Result<Entries> {
    let path = source.path();
    countable(path, source.length(), usize::MAX as u64)?;
    let mut reader = Reader::new(source, 0);
    let length = reader.u64()?;
    if length > reader.left() || length > LONGEST_HEADER {
        return Err(Error::file(
            path,
            format!(
                "claims a header of {length} bytes, but has {} after the length \
                 (at most {LONGEST_HEADER} are read): truncated, or not safetensors",
                reader.left()
            ),
        ));
    }
    let length = usize::try_from(length)
        .map_err(|_| Error::file(path, "its header does not fit into memory"))?;
    let Header { words, mut tensors } = serde_json::from_slice(reader.bytes(length)?)
        .map_err(|e| Error::file(path, format!("its header is not valid JSON: {e}")))?;
    tensors.sort_by_key(|(_, tensor)| tensor.data_offsets);
    let mut names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::tensor(path, pair[0], "is listed twice"));
    }
    let refused = |refusal: String| match fault(&tensors, reader.left()) {
        Some((name, reason)) => Error::tensor(path, name, reason),
        None => Error::file(path, format!("its header is invalid: {refusal}")),
    };
    let words = words.map(|words| words.into_iter().collect());
    let header = Metadata::new(words, tensors.clone()).map_err(|e| refused(e.to_string()))?;
    let data = header.data_len() as u64;
    if data > reader.left() {
        return Err(refused(format!("its tensors take {data} bytes: truncated?")));
    }
    if data < reader.left() {
        let reason = format!("has {} bytes after those of its tensors", reader.left() - data);
        return Err(Error::file(path, reason));
    }
    let entry = |(name, tensor): (String, &TensorInfo)| {
        let (from, to) = tensor.data_offsets;
        let kind = tensor.dtype.to_string();
        let entry = Entry {
            source: Arc::clone(source),
            stored_as: None,
            format: known().find(|format| format.name_in_files() == kind),
            kind,
            shape: tensor.shape.iter().map(|&size| size as u64).collect(),
            offset: reader.at() + from as u64,
            bytes: (to - from) as u64,
        };
        (name, entry)
    };
    Ok(header.tensors().into_iter().map(entry).collect())
}

/// Fails for a file of more bytes than `most`, the largest number of this program: the crate counts the
/// bytes of all tensors with such numbers.
fn countable(path: &Path, length: u64, most: u64) -> Result<()> {
    if length <= most {
        return Ok(());
    }
    Err(Error::unsupported(
        format!("{}: a file of {length} bytes in a 32-bit program", path.display()),
        "safetensors files below 4 GiB there: a model in several of them, or GGUF",
    ))
}

/// The formats that safetensors supports.
fn known() -> impl Iterator<Item = Format> {
    Format::ALL.into_iter().filter(|format| format.info().safetensors)
}

/// The values of all tensors of a file, by name.
///
/// # Errors
/// Those of a damaged file, and [`Error::Tensor`] for a tensor that is not of a float type.
pub fn read_safetensors(path: &Path) -> Result<HashMap<String, Vec<f32>>> {
    let mut all = HashMap::new();
    for (name, entry) in entries(&Source::open(path)?)? {
        let format = entry.format.ok_or_else(|| {
            Error::tensor(
                path,
                name.as_str(),
                format!("its type {} is not a float type", entry.kind),
            )
        })?;
        let values = entry.shape.iter().product::<u64>() as usize;
        let mut bytes = room(values, format.block_bytes(), path, &name)?;
        entry.source.read_at(entry.offset, &mut bytes)?;
        all.insert(name, dequantize(format, &bytes));
    }
    Ok(all)
}

/// The first tensor with an impossible place, and why: the crate does not always name it. The
/// tensors are sorted by place; `room` is the number of bytes that the file has for them.
fn fault(tensors: &[(String, TensorInfo)], room: u64) -> Option<(&str, String)> {
    let (mut end, mut previous) = (0, None);
    for (name, TensorInfo { dtype, shape, data_offsets: (from, to) }) in tensors {
        let values = shape.iter().try_fold(1, |product: usize, &size| product.checked_mul(size));
        let bits = values.and_then(|values| values.checked_mul(dtype.bitsize()));
        let reason = match (bits, to.checked_sub(*from)) {
            (_, None) => "its data ends before it starts".to_owned(),
            (None, _) => format!("shape {shape:?} is too large for any file"),
            (Some(bits), Some(listed)) if listed.checked_mul(8) != Some(bits) => {
                let needed = bits.div_ceil(8);
                format!("shape {shape:?} in {dtype} takes {needed} bytes, but {listed} are listed")
            }
            _ if *to as u64 > room => {
                format!("its data ends at byte {to} of {room}: truncated?")
            }
            _ if *from < end => format!("its data overlaps tensor {}'s", previous.unwrap_or("")),
            _ if *from > end => format!("no tensor has the {} bytes before its data", from - end),
            _ => {
                (end, previous) = (*to, Some(name.as_str()));
                continue;
            }
        };
        return Some((name, reason));
    }
    None
}

/// The entries of a header with duplicate names, which a map would hide.
struct Header {
    words: Option<BTreeMap<String, String>>,
    tensors: Vec<(String, TensorInfo)>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Tensors;

        impl<'de> Visitor<'de> for Tensors {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header { words: None, tensors: Vec::new() };
                let mut has_words = false;
                while let Some(name) = map.next_key::<String>()? {
                    if name == WORDS {
                        if mem::replace(&mut has_words, true) {
                            return Err(A::Error::duplicate_field(WORDS));
                        }
                        let bad = |e| A::Error::custom(format!("{WORDS}: {e}"));
                        header.words = map.next_value().map_err(bad)?;
                    } else {
                        let named = |e| A::Error::custom(format!("tensor {name}: {e}"));
                        let tensor = map.next_value().map_err(named)?;
                        header.tensors.push((name, tensor));
                    }
                }
                Ok(header)
            }
        }

        from.deserialize_map(Tensors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_32_bit_program_refuses_what_it_cannot_count() {
        let most = u64::from(u32::MAX);
        let told = |length| countable(Path::new("m.safetensors"), length, most);
        assert!(told(most).is_ok());
        assert_eq!(
            told(most + 1).unwrap_err().to_string(),
            "m.safetensors: a file of 4294967296 bytes in a 32-bit program is not supported; \
             supported: safetensors files below 4 GiB there: a model in several of them, or GGUF"
        );
    }
}
