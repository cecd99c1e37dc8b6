//! Words that all floors share: the names of activations, the formats of weights.

mod hook;
mod sampling;

use std::fmt;
use std::ops::Range;

pub use hook::{Hook, Need, Point, Size};
pub use sampling::Sampling;

/// How a weight tensor's numbers are stored.
#[allow(non_camel_case_types, reason = "GGUF's own names, by which people know their files")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// IEEE half floats.
    F16,
    /// The upper half of 32-bit floats.
    Bf16,
    /// GGUF: 32 signed bytes and an f16 scale.
    Q8_0,
    /// GGUF: 32 nibbles less 8 and an f16 scale.
    Q4_0,
    /// GGUF: 32 nibbles, an f16 scale and an f16 minimum.
    Q4_1,
    /// GGUF: 32 values of 5 bits less 16 and an f16 scale.
    Q5_0,
    /// GGUF: 32 values of 5 bits, an f16 scale and an f16 minimum.
    Q5_1,
    /// GGUF: 256 values of 2 bits; every 16 have a scale and a minimum of 4 bits.
    Q2_K,
    /// GGUF: 256 values of 3 bits less 4; every 16 have a scale of 6 bits.
    Q3_K,
    /// GGUF: 256 values of 4 bits; every 32 have a scale and a minimum of 6 bits.
    Q4_K,
    /// GGUF: 256 values of 5 bits; every 32 have a scale and a minimum of 6 bits.
    Q5_K,
    /// GGUF: 256 values of 6 bits less 32; every 16 have a scale of 8 bits.
    Q6_K,
}

impl Format {
    /// All of them.
    #[rustfmt::skip]
    pub const ALL: [Self; 13] = [
        Self::F32, Self::F16, Self::Bf16, Self::Q8_0, Self::Q4_0, Self::Q4_1, Self::Q5_0, Self::Q5_1,
        Self::Q2_K, Self::Q3_K, Self::Q4_K, Self::Q5_K, Self::Q6_K,
    ];

    /// How many consecutive values of a row one block holds.
    pub fn block(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q8_0 | Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 => 32,
            Self::Q2_K | Self::Q3_K | Self::Q4_K | Self::Q5_K | Self::Q6_K => 256,
        }
    }

    /// The bytes of one block in the file.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q8_0 => 34,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q2_K => 84,
            Self::Q3_K => 110,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
        }
    }

    /// The bytes of one row of `columns` values in the file; `columns` is a multiple of the block.
    pub fn row_bytes(self, columns: usize) -> usize {
        columns / self.block() * self.block_bytes()
    }

    /// Which bytes of a block are f16 numbers: the scale, then the minimum where there is one.
    pub fn halves(self) -> Range<usize> {
        match self {
            Self::F32 | Self::Bf16 => 0..0,
            Self::F16 | Self::Q8_0 | Self::Q4_0 | Self::Q5_0 => 0..2,
            Self::Q4_1 | Self::Q5_1 | Self::Q4_K | Self::Q5_K => 0..4,
            Self::Q2_K => 80..84,
            Self::Q3_K => 108..110,
            Self::Q6_K => 208..210,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
            Self::Q4_1 => "q4_1",
            Self::Q5_0 => "q5_0",
            Self::Q5_1 => "q5_1",
            Self::Q2_K => "q2_k",
            Self::Q3_K => "q3_k",
            Self::Q4_K => "q4_k",
            Self::Q5_K => "q5_k",
            Self::Q6_K => "q6_k",
        })
    }
}
