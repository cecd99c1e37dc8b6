//! Names that tell models apart: one without reading all of their weights, and one from every byte.

use std::collections::HashMap;

use twox_hash::xxhash3_128::Hasher;

use super::matrix::Matrix;
use super::opened::Checkpoint;
use super::params::Param;
use crate::error::Result;

/// Bytes of each tensor that are hashed: enough for two training runs to differ.
const SAMPLE: u64 = 64;

/// FNV-1a over 64 bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    pub(crate) fn value(self) -> u64 {
        self.0
    }
}

/// A hash of every byte of a model's weights, taken while they are read for another purpose. It does
/// not depend on the order of the tensors, nor on the pieces in which the rows of each are read in
/// turn.
#[derive(Default)]
pub(crate) struct WeightsHash(HashMap<(String, Param), Hasher>);

impl WeightsHash {
    /// Adds the next rows of a weight.
    pub(crate) fn add(&mut self, matrix: &Matrix, bytes: &[u8]) {
        self.0.entry((matrix.name.clone(), matrix.param)).or_default().write(bytes);
    }

    /// The hash of all that was added, in hexadecimal.
    pub(crate) fn value(&self) -> String {
        let mut all: Vec<String> = self.0.iter().map(tensor_line).collect();
        all.sort_unstable();
        format!("{:032x}", Hasher::oneshot(all.concat().as_bytes()))
    }
}

fn tensor_line(((name, param), hash): (&(String, Param), &Hasher)) -> String {
    format!("{name} {param:?} {:032x}\n", hash.finish_128())
}

impl Checkpoint {
    /// A hexadecimal name for the model. Files with the same configuration, the same tensors and
    /// the same first bytes of each have the same name.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if a file cannot be read.
    pub fn fingerprint(&self) -> Result<String> {
        let mut hash = Hash::default();
        hash.add(format!("{:?}", self.config()).as_bytes());
        let mut names: Vec<&String> = self.entries().keys().collect();
        names.sort_unstable();
        for name in names {
            let entry = &self.entries()[name];
            hash.add(format!("{name} {} {:?}", entry.kind, entry.shape).as_bytes());
            let mut sample = vec![0; entry.bytes.min(SAMPLE) as usize];
            entry.source.read_at(entry.offset, &mut sample)?;
            hash.add(&sample);
        }
        Ok(format!("{:016x}", hash.value()))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_byte_counts_and_pieces_do_not() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models/llama");
        let model = Checkpoint::open(&folder).unwrap();
        let hash = |step: usize, flipped: Option<(Param, usize)>| {
            let mut hash = WeightsHash::default();
            for param in [Param::Up, Param::Q, Param::Norm1] {
                let matrix = model.matrix(param, 0).unwrap();
                let last = matrix.rows * matrix.row_bytes() - 1;
                for start in (0..matrix.rows).step_by(step) {
                    let rows = start..(start + step).min(matrix.rows);
                    let from = start * matrix.row_bytes();
                    let mut bytes = matrix.read(rows).unwrap();
                    if let Some((_, back)) = flipped.filter(|(of, _)| *of == param)
                        && let Some(byte) = (last - back).checked_sub(from)
                        && byte < bytes.len()
                    {
                        bytes[byte] ^= 1;
                    }
                    hash.add(&matrix, &bytes);
                }
            }
            hash.value()
        };
        let whole = hash(usize::MAX / 2, None);
        assert_eq!(whole.len(), 32);
        for step in [1, 3, 8] {
            assert_eq!(hash(step, None), whole);
        }
        let flipped = [(Param::Up, 0), (Param::Up, 100), (Param::Q, 0), (Param::Norm1, 1)];
        let mut all: Vec<String> = flipped.map(|flip| hash(8, Some(flip))).to_vec();
        all.push(whole);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 5, "each of them is another model");
    }
}
