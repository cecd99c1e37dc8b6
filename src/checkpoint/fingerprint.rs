//! A name that tells models apart without reading all of their weights.

use super::opened::Checkpoint;
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
