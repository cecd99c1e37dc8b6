//! The header of a GGUF file: metadata, then the place of each tensor.
//!
//! Scalars and strings are kept. Of arrays only the place is kept, and they are read on demand, so
//! that opening a model does not copy its vocabulary.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::checkpoint::fields::Fields;
use crate::checkpoint::json;
use crate::checkpoint::notes::Notes;
use crate::checkpoint::source::{Entries, Entry, Reader, Source, check_places, size};
use crate::error::{Error, Result};
use crate::format::Format;

/// The longest string that is read, in bytes: more than any chat template needs.
const LONGEST_STRING: u64 = 1 << 24;

/// The longest array that is read: more than any vocabulary needs.
const LONGEST_ARRAY: u64 = 1 << 24;

/// Element types of metadata, by their numbers in the file.
const REAL: u32 = 6;
const TEXT: u32 = 8;
const ARRAY: u32 = 9;

/// The metadata of a file, and the places of its arrays.
#[derive(Debug)]
pub(in crate::checkpoint) struct Gguf {
    pub(in crate::checkpoint) source: Arc<Source>,
    /// Scalars and strings.
    pub(in crate::checkpoint) fields: Map<String, Value>,
    arrays: HashMap<String, Array>,
    /// What the user is told about the metadata.
    pub(in crate::checkpoint) notes: Notes,
}

#[derive(Clone, Copy, Debug)]
struct Array {
    kind: u32,
    count: u64,
    at: u64,
}

/// Reads a file's header.
pub(in crate::checkpoint) fn open(source: Arc<Source>) -> Result<(Gguf, Entries)> {
    let path = source.path();
    let mut reader = Reader::new(&source, 0);
    if source.length() < 4 || reader.bytes(4)? != b"GGUF" {
        return Err(Error::file(
            path,
            "is not a GGUF file; give a GGUF file, \
             or a folder in Hugging Face's layout (config.json and *.safetensors)",
        ));
    }
    match reader.u32()? {
        2 | 3 => {}
        version if (1..=3).contains(&version.swap_bytes()) => {
            return Err(Error::unsupported(
                format!("{}: big-endian GGUF", path.display()),
                "little-endian GGUF, versions 2 and 3",
            ));
        }
        version => {
            return Err(Error::unsupported(
                format!("{}: GGUF version {version}", path.display()),
                "versions 2 and 3",
            ));
        }
    }
    let (tensors, pairs) = (reader.u64()?, reader.u64()?);
    // Each entry takes more bytes than this, so larger counts are impossible.
    for (what, count) in [("tensors", tensors), ("metadata entries", pairs)] {
        if count > reader.left() / 8 {
            return Err(Error::file(
                path,
                format!("claims {count} {what}, more than its bytes can hold: truncated?"),
            ));
        }
    }
    let (fields, arrays) = metadata(path, &mut reader, pairs)?;
    let entries = tensor_places(&source, &mut reader, tensors, &fields)?;
    Ok((Gguf { source, fields, arrays, notes: Notes::default() }, entries))
}

type Metadata = (Map<String, Value>, HashMap<String, Array>);

fn metadata(path: &Path, reader: &mut Reader<'_>, pairs: u64) -> Result<Metadata> {
    let mut fields = Map::new();
    let mut arrays = HashMap::new();
    for _ in 0..pairs {
        let key = lossy(path, reader)?;
        if fields.contains_key(&key) || arrays.contains_key(&key) {
            return Err(Error::file(path, format!("{key} is listed twice")));
        }
        match reader.u32()? {
            ARRAY => {
                let array = array(path, &key, reader)?;
                arrays.insert(key, array);
            }
            kind => {
                let value = scalar(path, &key, kind, reader)?;
                fields.insert(key, value);
            }
        }
    }
    Ok((fields, arrays))
}

fn tensor_places(
    source: &Arc<Source>,
    reader: &mut Reader<'_>,
    tensors: u64,
    fields: &Map<String, Value>,
) -> Result<Entries> {
    let path = source.path();
    let mut entries = Entries::new();
    for _ in 0..tensors {
        let name = lossy(path, reader)?;
        let bad = |reason| Error::tensor(path, name.as_str(), reason);
        let dimensions = reader.u32()?;
        if !(1..=4).contains(&dimensions) {
            return Err(bad(format!("has {dimensions} dimensions; 1 to 4 are possible")));
        }
        let mut shape = (0..dimensions).map(|_| reader.u64()).collect::<Result<Vec<_>>>()?;
        shape.reverse();
        let (kind, format) = tensor_type(reader.u32()?);
        let offset = reader.u64()?;
        let bytes = format.map_or(Ok(0), |format| size(format, &shape)).map_err(bad)?;
        let source = Arc::clone(source);
        let entry = Entry { source, stored_as: None, kind, format, shape, offset, bytes };
        if entries.contains_key(&name) {
            return Err(bad("is listed twice".to_owned()));
        }
        entries.insert(name, entry);
    }
    let alignment = match fields.get("general.alignment") {
        None => 32,
        Some(value) => value.as_u64().filter(|n| n.is_power_of_two()).ok_or_else(|| {
            Error::file(path, format!("general.alignment must be a power of two, but is {value}"))
        })?,
    };
    let start = reader.at().checked_next_multiple_of(alignment);
    for (name, entry) in &mut entries {
        let place = start.and_then(|start| start.checked_add(entry.offset));
        entry.offset = match place {
            Some(place) if entry.offset % alignment == 0 => place,
            _ => {
                return Err(Error::tensor(
                    path,
                    name,
                    format!(
                        "its offset {} is not a multiple of {alignment}, or is too large",
                        entry.offset
                    ),
                ));
            }
        };
    }
    check_places(source, &entries)?;
    Ok(entries)
}

/// The bytes of a string: its length, then UTF-8.
fn bytes<'r>(path: &Path, reader: &'r mut Reader<'_>) -> Result<&'r [u8]> {
    let length = reader.u64()?;
    let at = reader.at();
    let short = usize::try_from(length).ok().filter(|_| length <= LONGEST_STRING);
    let Some(length) = short else {
        return Err(Error::file(path, format!("claims a string of {length} bytes at byte {at}")));
    };
    reader.bytes(length)
}

/// A name. What is not UTF-8 is replaced: no name that is asked for has such bytes.
fn lossy(path: &Path, reader: &mut Reader<'_>) -> Result<String> {
    Ok(String::from_utf8_lossy(bytes(path, reader)?).into_owned())
}

/// A string, or what stands for one that is not UTF-8.
fn text(path: &Path, reader: &mut Reader<'_>) -> Result<Value> {
    let bytes = bytes(path, reader)?;
    Ok(std::str::from_utf8(bytes).map_or_else(|_| json::not_text(bytes), Value::from))
}

/// A number, a Boolean or a string; what JSON cannot hold becomes what stands for it.
fn scalar(path: &Path, key: &str, kind: u32, reader: &mut Reader<'_>) -> Result<Value> {
    Ok(match kind {
        0 => reader.u8()?.into(),
        1 => reader.u8()?.cast_signed().into(),
        2 => reader.u16()?.into(),
        3 => reader.u16()?.cast_signed().into(),
        4 => reader.u32()?.into(),
        5 => reader.u32()?.cast_signed().into(),
        REAL => json::number(f32::from_bits(reader.u32()?).into()),
        7 => (reader.u8()? != 0).into(),
        TEXT => text(path, reader)?,
        10 => reader.u64()?.into(),
        11 => reader.u64()?.cast_signed().into(),
        12 => json::number(f64::from_bits(reader.u64()?)),
        _ => return Err(Error::file(path, format!("{key} is of the unknown type {kind}"))),
    })
}

/// Records the place of an array and skips it.
fn array(path: &Path, key: &str, reader: &mut Reader<'_>) -> Result<Array> {
    let (kind, count) = (reader.u32()?, reader.u64()?);
    let width = match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        TEXT | 10..=12 => 8,
        _ => {
            return Err(Error::file(path, format!("{key} is an array of the unknown type {kind}")));
        }
    };
    let at = reader.at();
    match count.checked_mul(width).filter(|bytes| *bytes <= reader.left()) {
        None => {
            return Err(Error::file(
                path,
                format!("{key} claims {count} elements, more than the file can hold: truncated?"),
            ));
        }
        Some(bytes) if kind != TEXT => reader.skip(bytes)?,
        Some(_) => {
            for _ in 0..count {
                let length = reader.u64()?;
                reader.skip(length)?;
            }
        }
    }
    Ok(Array { kind, count, at })
}

impl Gguf {
    /// The scalars and strings whose names start with this prefix.
    pub(in crate::checkpoint) fn fields<'a>(&'a self, prefix: &'a str) -> Fields<'a> {
        Fields { prefix, ..Fields::new(self.source.path(), &self.fields, &self.notes) }
    }

    /// How many elements an array has; `None` if there is no array of that name.
    pub(in crate::checkpoint) fn len(&self, key: &str) -> Option<u64> {
        self.arrays.get(key).map(|array| array.count)
    }

    /// An array of strings.
    pub(in crate::checkpoint) fn texts(&self, key: &str) -> Result<Option<Vec<String>>> {
        let path = self.source.path();
        let mut index = 0;
        self.elements(key, "strings", |kind, reader| {
            (kind == TEXT).then(|| {
                let text = String::from_utf8(bytes(path, reader)?.to_vec());
                index += 1;
                text.map_err(|_| {
                    Error::file(path, format!("{key} holds text {} that is not UTF-8", index - 1))
                })
            })
        })
    }

    /// An array of numbers.
    pub(in crate::checkpoint) fn numbers(&self, key: &str) -> Result<Option<Vec<i64>>> {
        self.elements(key, "whole numbers", |kind, reader| {
            (kind != TEXT).then(|| {
                let path = self.source.path();
                let value = scalar(path, key, kind, reader)?;
                let shown = || format!("{key} holds {}", json::shown(&value));
                value.as_i64().ok_or_else(|| Error::file(path, shown()))
            })
        })
    }

    /// An array of real numbers.
    pub(in crate::checkpoint) fn reals(&self, key: &str) -> Result<Option<Vec<f32>>> {
        self.elements(key, "real numbers", |kind, reader| {
            (kind == REAL).then(|| reader.u32().map(f32::from_bits))
        })
    }

    /// Replaces an array that repeats one number, such as one per layer, by that number.
    pub(in crate::checkpoint) fn level(&mut self, key: &str) -> Result<()> {
        let Some(numbers) = self.numbers(key)? else { return Ok(()) };
        match numbers.first() {
            Some(&first) if numbers.iter().all(|&number| number == first) => {
                self.fields.insert(key.to_owned(), first.into());
                Ok(())
            }
            _ => Err(Error::unsupported(
                format!("{}: {key} that differs between layers", self.source.path().display()),
                "layers that are all alike",
            )),
        }
    }

    fn elements<T>(
        &self,
        key: &str,
        wanted: &str,
        mut next: impl FnMut(u32, &mut Reader<'_>) -> Option<Result<T>>,
    ) -> Result<Option<Vec<T>>> {
        let Some(array) = self.arrays.get(key) else { return Ok(None) };
        if array.count > LONGEST_ARRAY {
            let reason = format!("{key} has {} elements; at most {LONGEST_ARRAY}", array.count);
            return Err(Error::file(self.source.path(), reason));
        }
        let mut reader = Reader::new(&self.source, array.at);
        let mut elements = Vec::new();
        for _ in 0..array.count {
            elements.push(next(array.kind, &mut reader).unwrap_or_else(|| {
                Err(Error::file(self.source.path(), format!("{key} must hold {wanted}")))
            })?);
        }
        Ok(Some(elements))
    }
}

/// The names, by number, of types that are not supported.
const OTHERS: [(u32, &str); 25] = [
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (36, "IQ4_NL_4_4"),
    (37, "IQ4_NL_4_8"),
    (38, "IQ4_NL_8_8"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

/// The name of a tensor type, and its format if it is supported.
fn tensor_type(number: u32) -> (String, Option<Format>) {
    let format = Format::ALL.into_iter().find(|format| format.info().gguf == number);
    let name = format.map(Format::name_in_files).or_else(|| {
        let other = OTHERS.iter().find(|(known, _)| *known == number);
        other.map(|(_, name)| (*name).to_owned())
    });
    (name.unwrap_or_else(|| format!("number {number}")), format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_known_by_its_name_only_or_has_a_format() {
        for (number, name) in OTHERS {
            assert_eq!(tensor_type(number), (name.to_owned(), None));
        }
        assert_eq!(tensor_type(12), ("Q4_K".to_owned(), Some(Format::Q4_K)));
        assert_eq!(tensor_type(30), ("BF16".to_owned(), Some(Format::Bf16)));
        assert_eq!(tensor_type(1_000), ("number 1000".to_owned(), None));
    }
}
