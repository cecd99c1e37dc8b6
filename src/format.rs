//! The weight formats: one descriptor row each.
//!
//! A row is all that the rest of the program knows of a format, except for two things: the WGSL
//! part that the row names, and the twin decoder in `checkpoint/format`.

use std::fmt;
use std::ops::Range;

/// Makes the enum, [`Format::ALL`] and [`Format::info`] from the rows below.
macro_rules! formats {
    ($($(#[$doc:meta])* $format:ident { $($field:ident: $value:expr),* $(,)? })*) => {
        /// How a weight tensor's numbers are stored.
        #[allow(non_camel_case_types, reason = "GGUF's own names, by which people know their files")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Format {
            $($(#[$doc])* $format,)*
        }

        impl Format {
            /// All formats.
            pub const ALL: [Self; [$(stringify!($format)),*].len()] = [$(Self::$format),*];

            /// The descriptor row.
            pub const fn info(self) -> &'static FormatInfo {
                match self {
                    $(Self::$format => {
                        const INFO: &FormatInfo = &FormatInfo { $($field: $value),* };
                        INFO
                    })*
                }
            }
        }
    };
}

/// The description of a weight format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatInfo {
    /// Its name in options and in messages.
    pub name: &'static str,
    /// The number of the type in GGUF, where its name is this one in capitals.
    pub gguf: u32,
    /// Whether safetensors has the type too, under the name in capitals.
    pub safetensors: bool,
    /// How many consecutive values of a row one block holds.
    pub block: usize,
    /// The bytes of one block in the file.
    pub block_bytes: usize,
    /// Which bytes of a block are f16 numbers: the scale, then the minimum where there is one. Empty
    /// only for floats whose sign and exponent are those of f32.
    pub halves: Range<usize>,
    /// Whether values can be written in it; other formats are only read.
    pub quantizes: bool,
    /// Its layout in GPU memory.
    pub planes: Planes,
    /// How many values a kernel decodes at once: `WORD` of the WGSL part.
    pub word: usize,
    /// The WGSL part that decodes it, then the parts that this one calls.
    pub parts: &'static [&'static str],
}

/// The layout of a format in GPU memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planes {
    /// One plane: the values, each row padded to a multiple of eight.
    Values,
    /// Two planes: the quants of each block, then the f16 numbers at its start in the file.
    ScalesApart,
    /// Two planes: the lower bits of each value, then records with the rest.
    Records(Records),
}

/// How the bits of a value are split over two planes.
///
/// A record serves some words of four rows; its length is a multiple of 16 bytes. It holds 16 bytes
/// of f16 numbers, those of four rows together; the scales of the sub-blocks; and the upper bits of
/// the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Records {
    /// Bits of a value in the first plane.
    pub low: usize,
    /// Bits of a value in the records.
    pub high: usize,
    /// The words that a record serves.
    pub words: usize,
    /// The scales of a word.
    pub scales: Scales,
}

/// The whole numbers that scale the values of a word, and where a record holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scales {
    /// There are none.
    None,
    /// One of 6 bits: the upper two in the half of the first 16 bytes that f16 numbers leave.
    One6,
    /// Two of 6 bits, for example for the halves of the word.
    Two6,
    /// Two of 8 bits.
    Two8,
}

impl Scales {
    /// The bytes for a word of four rows, after the first 16 bytes of the record.
    const fn bytes(self) -> usize {
        match self {
            Self::None => 0,
            Self::One6 => 2,
            Self::Two6 => 6,
            Self::Two8 => 8,
        }
    }
}

impl Records {
    /// Values in a word.
    pub const WORD: usize = 32;

    /// The bytes of a record before the upper bits.
    pub const fn head(self) -> usize {
        16 + self.words * self.scales.bytes()
    }

    /// The bytes of a record.
    pub const fn bytes(self) -> usize {
        self.head() + self.words * 16 * self.high
    }
}

formats! {
    /// 32-bit floats.
    F32 {
        name: "f32", gguf: 0, safetensors: true, quantizes: true,
        block: 1, block_bytes: 4, halves: 0..0,
        planes: Planes::Values, word: 4, parts: &["weight_f32"],
    }
    /// IEEE 16-bit floats.
    F16 {
        name: "f16", gguf: 1, safetensors: true, quantizes: true,
        block: 1, block_bytes: 2, halves: 0..2,
        planes: Planes::Values, word: 8, parts: &["weight_f16"],
    }
    /// bfloat16: the upper 16 bits of 32-bit floats.
    Bf16 {
        name: "bf16", gguf: 30, safetensors: true, quantizes: true,
        block: 1, block_bytes: 2, halves: 0..0,
        planes: Planes::Values, word: 8, parts: &["weight_bf16"],
    }
    /// GGUF: 32 signed bytes and an f16 scale.
    Q8_0 {
        name: "q8_0", gguf: 8, safetensors: false, quantizes: true,
        block: 32, block_bytes: 34, halves: 0..2,
        planes: Planes::ScalesApart, word: 16, parts: &["weight_q8_0"],
    }
    /// GGUF: 32 nibbles minus 8, and an f16 scale.
    Q4_0 {
        name: "q4_0", gguf: 2, safetensors: false, quantizes: true,
        block: 32, block_bytes: 18, halves: 0..2,
        planes: Planes::ScalesApart, word: 32, parts: &["weight_q4_0"],
    }
    /// GGUF: 32 nibbles, an f16 scale and an f16 minimum.
    Q4_1 {
        name: "q4_1", gguf: 3, safetensors: false, quantizes: true,
        block: 32, block_bytes: 20, halves: 0..4,
        planes: Planes::ScalesApart, word: 32, parts: &["weight_q4_1"],
    }
    /// GGUF: 32 values of 5 bits minus 16, and an f16 scale.
    Q5_0 {
        name: "q5_0", gguf: 6, safetensors: false, quantizes: false,
        block: 32, block_bytes: 22, halves: 0..2,
        // Two words fill 16 bytes of f16 numbers; half of a row's last record may stay empty.
        planes: Planes::Records(Records { low: 4, high: 1, words: 2, scales: Scales::None }),
        word: 32, parts: &["weight_q5_0"],
    }
    /// GGUF: 32 values of 5 bits, an f16 scale and an f16 minimum.
    Q5_1 {
        name: "q5_1", gguf: 7, safetensors: false, quantizes: false,
        block: 32, block_bytes: 24, halves: 0..4,
        planes: Planes::Records(Records { low: 4, high: 1, words: 1, scales: Scales::None }),
        word: 32, parts: &["weight_q5_1"],
    }
    /// GGUF: 32 nibbles, each of which stands for one of sixteen numbers, and an f16 scale.
    Iq4_Nl {
        name: "iq4_nl", gguf: 20, safetensors: false, quantizes: false,
        block: 32, block_bytes: 18, halves: 0..2,
        planes: Planes::ScalesApart, word: 32, parts: &["weight_iq4_nl", "codebook_iq4"],
    }
    /// GGUF: 256 such nibbles; every 32 have a scale of 6 bits.
    Iq4_Xs {
        name: "iq4_xs", gguf: 23, safetensors: false, quantizes: false,
        block: 256, block_bytes: 136, halves: 0..2,
        planes: Planes::Records(Records { low: 4, high: 0, words: 8, scales: Scales::One6 }),
        word: 32, parts: &["weight_iq4_xs", "codebook_iq4"],
    }
    /// GGUF: 256 values of 2 bits; every 16 have a scale and a minimum of 4 bits.
    Q2_K {
        name: "q2_k", gguf: 10, safetensors: false, quantizes: false,
        block: 256, block_bytes: 84, halves: 80..84,
        planes: Planes::Records(Records { low: 2, high: 0, words: 8, scales: Scales::Two8 }),
        word: 32, parts: &["weight_q2_k"],
    }
    /// GGUF: 256 values of 3 bits minus 4; every 16 have a scale of 6 bits.
    Q3_K {
        name: "q3_k", gguf: 11, safetensors: false, quantizes: false,
        block: 256, block_bytes: 110, halves: 108..110,
        planes: Planes::Records(Records { low: 2, high: 1, words: 8, scales: Scales::Two6 }),
        word: 32, parts: &["weight_q3_k", "scales6"],
    }
    /// GGUF: 256 values of 4 bits; every 32 have a scale and a minimum of 6 bits.
    Q4_K {
        name: "q4_k", gguf: 12, safetensors: false, quantizes: false,
        block: 256, block_bytes: 144, halves: 0..4,
        planes: Planes::Records(Records { low: 4, high: 0, words: 8, scales: Scales::Two6 }),
        word: 32, parts: &["weight_q4_k", "scales6"],
    }
    /// GGUF: 256 values of 5 bits; every 32 have a scale and a minimum of 6 bits.
    Q5_K {
        name: "q5_k", gguf: 13, safetensors: false, quantizes: false,
        block: 256, block_bytes: 176, halves: 0..4,
        planes: Planes::Records(Records { low: 4, high: 1, words: 8, scales: Scales::Two6 }),
        word: 32, parts: &["weight_q5_k", "scales6"],
    }
    /// GGUF: 256 values of 6 bits minus 32; every 16 have a scale of 8 bits.
    Q6_K {
        name: "q6_k", gguf: 14, safetensors: false, quantizes: false,
        block: 256, block_bytes: 210, halves: 208..210,
        planes: Planes::Records(Records { low: 4, high: 2, words: 8, scales: Scales::Two8 }),
        word: 32, parts: &["weight_q6_k"],
    }
}

impl Format {
    /// How many consecutive values of a row one block holds.
    pub fn block(self) -> usize {
        self.info().block
    }

    /// The bytes of one block in the file.
    pub fn block_bytes(self) -> usize {
        self.info().block_bytes
    }

    /// The bytes of one row of `columns` values in the file; `columns` is a multiple of the block.
    pub fn row_bytes(self, columns: usize) -> usize {
        columns / self.block() * self.block_bytes()
    }

    /// Which bytes of a block are f16 numbers: the scale, then the minimum where there is one.
    pub fn halves(self) -> Range<usize> {
        self.info().halves.clone()
    }

    /// The name of the type in files, in capitals.
    pub fn name_in_files(self) -> String {
        self.info().name.to_ascii_uppercase()
    }

    /// The bytes of one row of `columns` values in each plane; planes hold a multiple of four rows.
    pub fn plane_bytes(self, columns: usize) -> Vec<usize> {
        match self.info().planes {
            Planes::Values => vec![self.row_bytes(columns.next_multiple_of(8))],
            Planes::ScalesApart => {
                let scales = columns / self.block() * self.info().halves.len();
                vec![self.row_bytes(columns) - scales, scales]
            }
            Planes::Records(records) => {
                let count = (columns / Records::WORD).div_ceil(records.words);
                vec![columns * records.low / 8, count * records.bytes() / 4]
            }
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.info().name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_contradict_neither_themselves_nor_each_other() {
        for format in Format::ALL {
            let info = format.info();
            assert!(info.halves.end <= info.block_bytes, "{format}");
            assert!(
                info.planes == Planes::Values || info.block.is_multiple_of(info.word),
                "{format}"
            );
            assert_eq!(info.planes == Planes::Values, info.block == 1, "{format}");
            assert!(info.block == 1 || !info.halves.is_empty(), "{format}: blocks have a scale");
            assert_eq!(info.parts[0], format!("weight_{format}"));
            if let Planes::Records(records) = info.planes {
                assert_eq!(info.word, Records::WORD, "{format}");
                assert!(records.bytes().is_multiple_of(16), "{format}");
            }
            for other in Format::ALL.into_iter().filter(|other| *other != format) {
                let other = other.info();
                assert!(info.name != other.name && info.gguf != other.gguf, "{format}");
            }
        }
    }
}
