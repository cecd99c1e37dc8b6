//! Files of token ids.

use std::path::Path;

use crate::error::{Error, Result};
use crate::files;

/// The magic numbers of token files, and how many bytes an id takes in each kind.
const HEADERS: [(u32, usize); 2] = [(20_240_520, 2), (20_240_801, 4)];

/// The version of both.
const VERSION: u32 = 1;

/// The 32-bit words of such a header.
const HEADER_WORDS: usize = 256;

/// Ids of 32 bits that show their width: a half of them is zero by chance in no other file.
const CERTAIN: usize = 8;

/// The tokens of a file for a vocabulary of this size: little-endian ids of 16 bits or of 32, or
/// llm.c's format, whose header of 1,024 bytes says how many ids there are and how long they are.
///
/// Ids of 64 bits are refused. Without a header the width is that in which the vocabulary has every id. A file of 32-bit ids is
/// also one of 16-bit ids of which every other one is 0 or close to it; it is read as the former, with
/// a warning, if it is long enough to tell.
///
/// # Errors
/// [`Error::Io`], and [`Error::File`] where header and length disagree, or where the vocabulary does
/// not have an id, or the width cannot be told.
pub fn read_tokens(path: &Path, vocab: usize) -> Result<Vec<u32>> {
    let bytes = files::read(path)?;
    let word = |at: usize| bytes.get(4 * at..4 * at + 4).map(bytemuck::pod_read_unaligned::<u32>);
    let known = HEADERS.iter().find(|(magic, _)| word(0).map(u32::from_le) == Some(*magic));
    let Some(&(_, size)) = known else {
        return without_header(path, &bytes, vocab);
    };
    let version = word(1).map_or(0, u32::from_le);
    if version != VERSION {
        return Err(Error::file(
            path,
            format!("has llm.c's header in version {version}, of which only {VERSION} is known"),
        ));
    }
    let ids = bytes.get(4 * HEADER_WORDS..).unwrap_or_default();
    let count = word(2).map_or(0, |count| u32::from_le(count) as usize);
    if bytes.len() < 4 * HEADER_WORDS || ids.len() != count * size {
        return Err(Error::file(
            path,
            format!(
                "its header says {count} ids of {size} bytes, but it has {} bytes after 1,024: \
                 truncated?",
                ids.len()
            ),
        ));
    }
    let ids = read(ids, size);
    match outside(&ids, vocab) {
        None => Ok(ids),
        Some(id) => Err(Error::file(path, other(id, vocab))),
    }
}

/// The ids of a file that does not say how long they are.
fn without_header(path: &Path, bytes: &[u8], vocab: usize) -> Result<Vec<u32>> {
    let wrong = |reason: String| Err(Error::file(path, reason));
    if !bytes.len().is_multiple_of(2) {
        return wrong(format!("{} bytes do not divide into ids of 2 or of 4", bytes.len()));
    }
    let short = read(bytes, 2);
    let long = if bytes.len().is_multiple_of(4) { read(bytes, 4) } else { Vec::new() };
    let fits = |ids: &[u32]| !ids.is_empty() && outside(ids, vocab).is_none();
    if fits(&long) && are_halves(&long) {
        return wrong(format!(
            "seems to hold {} ids of 64 bits, since every other id of 32 bits is 0; write them with 16 or \
             32 bits, or with llm.c's header, which says which",
            long.len() / 2
        ));
    }
    match (fits(&short), fits(&long)) {
        (true, false) => {
            if vocab > 1 << 16 {
                log::warn!(
                    "{}: read as ids of 16 bits, which cannot name the tokens above 65,535 of this \
                     vocabulary of {vocab}",
                    path.display()
                );
            }
            Ok(short)
        }
        (false, true) => Ok(long),
        (true, true) if long.iter().filter(|id| **id > 0).count() >= CERTAIN => {
            log::warn!(
                "{}: read as {} ids of 32 bits, since every other id of 16 bits would be 0 or close \
                 to it",
                path.display(),
                long.len()
            );
            Ok(long)
        }
        (true, true) => wrong(format!(
            "may hold {} ids of 16 bits or {} of 32; give it llm.c's header, which says which",
            short.len(),
            long.len()
        )),
        (false, false) => match outside(&short, vocab) {
            Some(id) => wrong(other(id, vocab)),
            None => Ok(short),
        },
    }
}

/// Whether these may be the halves of ids of 64 bits: every other one is 0, and hardly another.
fn are_halves(ids: &[u32]) -> bool {
    let [low, high] =
        [0, 1].map(|first| ids.iter().skip(first).step_by(2).filter(|id| **id > 0).count());
    ids.len().is_multiple_of(2) && high == 0 && low >= CERTAIN
}

/// The ids, each of so many bytes.
fn read(bytes: &[u8], size: usize) -> Vec<u32> {
    let id = |bytes: &[u8]| bytes.iter().rev().fold(0, |id, byte| id << 8 | u32::from(*byte));
    bytes.chunks_exact(size).map(id).collect()
}

/// The first id that the vocabulary does not have.
fn outside(ids: &[u32], vocab: usize) -> Option<u32> {
    ids.iter().copied().find(|id| *id as usize >= vocab)
}

fn other(id: u32, vocab: usize) -> String {
    format!("holds token {id}, but the model's vocabulary has {vocab}: its tokenizer is another")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read_bytes(bytes: &[u8], vocab: usize) -> Result<Vec<u32>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.bin");
        fs::write(&path, bytes).unwrap();
        read_tokens(&path, vocab)
    }

    fn bytes(ids: &[u32], size: usize) -> Vec<u8> {
        ids.iter().flat_map(|id| id.to_le_bytes()[..size].to_vec()).collect()
    }

    #[test]
    fn token_files_of_either_kind() {
        assert_eq!(read_bytes(&[1, 0, 2, 1], 300).unwrap(), [1, 258]);
        assert_eq!(read_bytes(&[], 300).unwrap(), [0; 0]);
        assert!(read_bytes(&[1, 0, 2], 300).is_err());
        for (magic, size) in HEADERS {
            let mut header = [0_u32; HEADER_WORDS];
            header[..3].copy_from_slice(&[magic, 1, 2]);
            let mut all = bytes(&header, 4);
            all.extend(bytes(&[7, 300], size));
            assert_eq!(read_bytes(&all, 301).unwrap(), [7, 300]);
            let error = read_bytes(&all, 300).unwrap_err().to_string();
            assert!(error.contains("token 300, but the model's vocabulary has 300"), "{error}");
            all.pop();
            assert!(read_bytes(&all, 301).unwrap_err().to_string().contains("truncated"));
            let error = read_bytes(&all[..600], 301).unwrap_err().to_string();
            assert!(error.contains("truncated"), "{error}");
            all[4] = 9;
            let error = read_bytes(&all, 301).unwrap_err().to_string();
            assert!(error.contains("version 9"), "{error}");
        }
    }

    #[test]
    fn ids_of_32_bits_are_never_read_as_twice_as_many() {
        let ids: Vec<u32> = (0..40).map(|i| i * 7 % 50).collect();
        assert_eq!(read_bytes(&bytes(&ids, 4), 50).unwrap(), ids);
        assert_eq!(read_bytes(&bytes(&ids, 2), 50).unwrap(), ids);
        // In a large vocabulary the upper halves are not 0.
        let high: Vec<u32> = ids.iter().map(|id| id * 3_000).collect();
        assert_eq!(read_bytes(&bytes(&high, 4), 150_000).unwrap(), high);
        // One that holds an id over 65,535 only fits in one way.
        let error = read_bytes(&bytes(&[70_000, 1], 4), 100).unwrap_err().to_string();
        assert!(error.contains("token 4464, but the model's vocabulary has 100"), "{error}");
        assert_eq!(read_bytes(&bytes(&[2, 0x0001_0003], 4), 100).unwrap(), [2, 0, 3, 1]);
        // Nor those of 64 bits.
        let long: Vec<u32> = ids.iter().flat_map(|id| [*id, 0]).collect();
        let error = read_bytes(&bytes(&long, 4), 50).unwrap_err().to_string();
        assert!(error.contains("40 ids of 64 bits"), "{error}");
        let large: Vec<u32> = high.iter().flat_map(|id| [*id, 0]).collect();
        let error = read_bytes(&bytes(&large, 4), 150_000).unwrap_err().to_string();
        assert!(error.contains("40 ids of 64 bits"), "{error}");
        // Too short to tell.
        for ids in [&[5, 6][..], &[0; 20]] {
            let error = read_bytes(&bytes(ids, 4), 50).unwrap_err().to_string();
            assert!(error.contains("16 bits or"), "{error}");
        }
    }
}
