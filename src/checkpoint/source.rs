//! Reading headers by position, and the place of each tensor in its file. Every buffer's size is
//! checked against the length of the file first.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
pub(super) use crate::files::Source;
use crate::format::Format;

/// `count` times `size` zeroed bytes, or an error if they do not fit into memory.
pub(super) fn room(count: usize, size: usize, path: &Path, tensor: &str) -> Result<Vec<u8>> {
    let mut buffer = Vec::new();
    let bytes = count.checked_mul(size);
    match bytes.filter(|&bytes| buffer.try_reserve_exact(bytes).is_ok()) {
        Some(bytes) => buffer.resize(bytes, 0),
        None => {
            let reason = format!("{count} times {size} bytes do not fit into memory");
            return Err(Error::tensor(path, tensor, reason));
        }
    }
    Ok(buffer)
}

/// Reads a file's header from start to end, little-endian.
pub(super) struct Reader<'a> {
    source: &'a Source,
    at: u64,
    window: Vec<u8>,
    window_start: u64,
}

/// Bytes fetched at once while a header is read.
const WINDOW: u64 = 1 << 16;

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source, at: u64) -> Self {
        Self { source, at, window: Vec::new(), window_start: at }
    }

    /// The next byte's offset in the file.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Bytes from here to the end of the file.
    pub(super) fn left(&self) -> u64 {
        self.source.length().saturating_sub(self.at)
    }

    fn truncated(&self) -> Error {
        let reason =
            format!("is truncated: the header continues after byte {}", self.source.length());
        Error::file(self.source.path(), reason)
    }

    /// Skips `count` bytes.
    pub(super) fn skip(&mut self, count: u64) -> Result<()> {
        if count > self.left() {
            return Err(self.truncated());
        }
        self.at += count;
        Ok(())
    }

    /// The next `count` bytes; the caller bounds `count`.
    pub(super) fn bytes(&mut self, count: usize) -> Result<&[u8]> {
        let wanted = count as u64;
        if wanted > self.left() {
            return Err(self.truncated());
        }
        let window_end = self.window_start + self.window.len() as u64;
        if self.at < self.window_start || self.at + wanted > window_end {
            let fetched = wanted.max(WINDOW).min(self.left());
            self.window.resize(usize::try_from(fetched).map_err(|_| self.truncated())?, 0);
            self.source.read_at(self.at, &mut self.window)?;
            self.window_start = self.at;
        }
        let start = usize::try_from(self.at - self.window_start).map_err(|_| self.truncated())?;
        self.at += wanted;
        Ok(&self.window[start..start + count])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }
}

/// The place of one tensor, from the header of its file.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) source: Arc<Source>,
    /// The name in the file, if it is another than the one under which the tensor is known.
    pub(super) stored_as: Option<String>,
    /// The name of the type in the file; only tensors with a type in `Format` can be used.
    pub(super) kind: String,
    pub(super) format: Option<Format>,
    /// Slowest dimension first.
    pub(super) shape: Vec<u64>,
    /// Offset from the start of the file, in bytes.
    pub(super) offset: u64,
    /// Length in the file, in bytes; 0 if the size of the type is unknown.
    pub(super) bytes: u64,
}

/// Tensors by their names in the files.
pub(super) type Entries = HashMap<String, Entry>;

/// The size in bytes of a tensor of this shape, or what is wrong with the shape.
pub(super) fn size(format: Format, shape: &[u64]) -> Result<u64, String> {
    let block = format.block() as u64;
    let columns = shape.last().copied().unwrap_or(1);
    if columns % block != 0 {
        return Err(format!("rows of {columns} values are not a multiple of {format}'s {block}"));
    }
    shape[..shape.len().saturating_sub(1)]
        .iter()
        .try_fold(columns / block, |product, &n| product.checked_mul(n))
        .and_then(|blocks| blocks.checked_mul(format.block_bytes() as u64))
        .ok_or_else(|| format!("shape {shape:?} is too large for any file"))
}

/// Checks that every tensor is inside the data of its file, and that no two overlap.
pub(super) fn check_places(source: &Source, entries: &Entries) -> Result<()> {
    let mut places: Vec<(u64, u64, &str)> = Vec::with_capacity(entries.len());
    for (name, entry) in entries {
        let bad = |reason| Err(Error::tensor(source.path(), name, reason));
        match entry.offset.checked_add(entry.bytes) {
            Some(end) if end <= source.length() => places.push((entry.offset, end, name)),
            Some(end) => {
                return bad(format!(
                    "its data ends at byte {end}, but the file has {}: truncated?",
                    source.length()
                ));
            }
            None => return bad(format!("its offset {} is beyond any file", entry.offset)),
        }
    }
    places.sort_unstable();
    let mut previous: Option<(u64, &str)> = None;
    for (start, end, name) in places {
        if start == end {
            continue;
        }
        if let Some((_, other)) = previous.filter(|(previous_end, _)| start < *previous_end) {
            return Err(Error::tensor(
                source.path(),
                name,
                format!("its data overlaps tensor {other}'s"),
            ));
        }
        previous = Some((end, name));
    }
    Ok(())
}
