//! The header of a safetensors file: eight bytes of length, then JSON, then the tensors' bytes.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, de};

use super::blocks::dequantize;
use super::source::{Entries, Entry, Reader, Source, check_places, room, size};
use crate::error::{Error, Result};
use crate::names::Format;

/// The longest header read; the format's own reference implementation draws the line here too.
const LONGEST_HEADER: u64 = 100_000_000;

/// Reads where an open file's tensors lie.
pub(super) fn entries(source: &Arc<Source>) -> Result<Entries> {
    let path = source.path();
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
    let header: Header = serde_json::from_slice(reader.bytes(length)?)
        .map_err(|e| Error::file(path, format!("its header is no valid JSON: {e}")))?;
    let start = reader.at();
    let mut entries = Entries::with_capacity(header.0.len());
    for (name, tensor) in header.0 {
        let entry = place(source, start, tensor)
            .map_err(|reason| Error::tensor(path, name.as_str(), reason))?;
        if entries.insert(name.clone(), entry).is_some() {
            return Err(Error::tensor(path, name, "is listed twice"));
        }
    }
    check_places(source, &entries)?;
    Ok(entries)
}

/// All floats of a file, by the names of its tensors.
///
/// # Errors
/// Those of a damaged file, and of tensors that are no floats.
pub fn read_safetensors(path: &Path) -> Result<HashMap<String, Vec<f32>>> {
    let mut all = HashMap::new();
    for (name, entry) in entries(&Source::open(path)?)? {
        let format = entry.format.ok_or_else(|| {
            Error::tensor(path, name.as_str(), format!("its type {} is no float", entry.kind))
        })?;
        let values = entry.shape.iter().product::<u64>() as usize;
        let mut bytes = room(values, format.block_bytes(), path, &name)?;
        entry.source.read_at(entry.offset, &mut bytes)?;
        all.insert(name, dequantize(format, &bytes));
    }
    Ok(all)
}

fn place(source: &Arc<Source>, start: u64, tensor: Tensor) -> Result<Entry, String> {
    let [from, to] = tensor.data_offsets;
    let bytes = to.checked_sub(from).ok_or("its data ends before it starts")?;
    let offset = start.checked_add(from).ok_or_else(|| format!("its offset {from} is absurd"))?;
    let format = match tensor.dtype.as_str() {
        "F32" => Some(Format::F32),
        "F16" => Some(Format::F16),
        "BF16" => Some(Format::Bf16),
        _ => None,
    };
    if let Some(format) = format {
        let needed = size(format, &tensor.shape)?;
        if needed != bytes {
            return Err(format!(
                "shape {:?} in {} takes {needed} bytes, but {bytes} are listed",
                tensor.shape, tensor.dtype
            ));
        }
    }
    let source = Arc::clone(source);
    Ok(Entry { source, kind: tensor.dtype, format, shape: tensor.shape, offset, bytes })
}

#[derive(Deserialize)]
struct Tensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// The tensors in the order of the file, repeated names and all: a map would hide those.
struct Header(Vec<(String, Tensor)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Tensors;

        impl<'de> Visitor<'de> for Tensors {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut tensors = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        let tensor = map
                            .next_value()
                            .map_err(|e| de::Error::custom(format!("tensor {name}: {e}")))?;
                        tensors.push((name, tensor));
                    }
                }
                Ok(Header(tensors))
            }
        }

        from.deserialize_map(Tensors)
    }
}
