//! The formats that store the bits of a value in several places of a block: reordering and
//! decoding.
//!
//! A block of 32 (`Q5_0`, `Q5_1`) or 256 values holds numbers q of 2 to 6 bits, whose lower and
//! upper bits are apart; f16 numbers d and, in some formats, m; and, in blocks of 256, for each
//! sub-block a scale s and, if there is an m, a minimum t. The value is d s n − m t, where n is the
//! number that q stands for:
//!
//! | format | q | n | sub-block | s, t |
//! |---|---|---|---|---|
//! | `Q5_0` | 4 + 1 bits | q − 16 | 32 | s is 1 |
//! | `Q5_1` | 4 + 1 bits | q | 32 | s is 1, t is −1 |
//! | `IQ4_XS` | 4 bits | `CODEBOOK_IQ4[q]` | 32 | 6 bits minus 32 |
//! | `Q2_K` | 2 bits | q | 16 | 4 bits each |
//! | `Q3_K` | 2 + 1 bits | q − 4 | 16 | 6 bits minus 32 |
//! | `Q4_K` | 4 bits | q | 32 | 6 bits each |
//! | `Q5_K` | 4 + 1 bits | q | 32 | 6 bits each |
//! | `Q6_K` | 4 + 2 bits | q − 32 | 16 | 8 bits, signed |
//!
//! Products of d and s are exact in f32, and so are those with n except in `IQ4_XS`, which is rounded
//! there; otherwise only the difference is.

use half::f16;

use crate::format::Format;

/// The numbers of one block, in order.
pub(in crate::checkpoint) struct Gathered {
    /// The numbers q; a block of 32 uses the first 32.
    pub(in crate::checkpoint) quants: [u8; 256],
    /// Two numbers for each 32 values, as in the file: s and t, or s of the first sixteen and s of
    /// the second. In `IQ4_XS` the second number is 0; in `Q2_K` each number has s in its lower four
    /// bits and t in the upper.
    pub(in crate::checkpoint) scales: [u8; 16],
}

/// How a format of the table is read.
#[derive(Clone, Copy)]
pub(in crate::checkpoint) struct Gather {
    /// Reorders a block, given its bytes without the f16 numbers.
    order: fn(&[u8], &mut Gathered),
    /// n, from q.
    number: fn(u8) -> f32,
    /// s and t of a sub-block of sixteen values, from its index and the file's scales.
    scales: fn(&[u8; 16], usize) -> (f32, f32),
}

pub(in crate::checkpoint) const Q5_0: Gather =
    Gather { order: fives, number: |q| f32::from(q) - 16.0, scales: |_, _| (1.0, 0.0) };

pub(in crate::checkpoint) const Q5_1: Gather =
    Gather { order: fives, number: f32::from, scales: |_, _| (1.0, -1.0) };

/// The numbers that the nibbles of `IQ4_NL` and `IQ4_XS` stand for, closer to each other around zero.
pub(super) const CODEBOOK_IQ4: [i8; 16] =
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

pub(in crate::checkpoint) const IQ4_XS: Gather = Gather {
    order: |bytes, block| {
        // Two bits of each scale, then four of each, then the nibbles.
        let mut scales = [0; 8];
        fields::<2, 1>(&bytes[..2], 4, &mut scales);
        fields::<4, 1>(&bytes[2..6], 0, &mut scales);
        for (pair, scale) in block.scales.chunks_exact_mut(2).zip(scales) {
            pair[0] = scale;
        }
        fields::<4, 16>(&bytes[6..], 0, &mut block.quants);
    },
    number: |q| f32::from(CODEBOOK_IQ4[usize::from(q & 15)]),
    scales: |scales, index| (f32::from(scales[index & !1]) - 32.0, 0.0),
};

pub(in crate::checkpoint) const Q2_K: Gather = Gather {
    order: |bytes, block| {
        block.scales.copy_from_slice(&bytes[..16]);
        fields::<2, 32>(&bytes[16..80], 0, &mut block.quants);
    },
    number: f32::from,
    scales: |scales, index| (f32::from(scales[index] & 15), f32::from(scales[index] >> 4)),
};

pub(in crate::checkpoint) const Q3_K: Gather = Gather {
    order: |bytes, block| {
        fields::<1, 32>(&bytes[..32], 2, &mut block.quants);
        fields::<2, 32>(&bytes[32..96], 0, &mut block.quants);
        fields::<4, 8>(&bytes[96..104], 0, &mut block.scales);
        fields::<2, 4>(&bytes[104..108], 4, &mut block.scales);
    },
    number: |q| f32::from(q) - 4.0,
    scales: |scales, index| (f32::from(scales[index]) - 32.0, 0.0),
};

pub(in crate::checkpoint) const Q4_K: Gather = Gather {
    order: |bytes, block| {
        block.scales = scales6(&bytes[..12]);
        fields::<4, 32>(&bytes[12..], 0, &mut block.quants);
    },
    number: f32::from,
    scales: pairs,
};

pub(in crate::checkpoint) const Q5_K: Gather = Gather {
    order: |bytes, block| {
        block.scales = scales6(&bytes[..12]);
        fields::<1, 32>(&bytes[12..44], 4, &mut block.quants);
        fields::<4, 32>(&bytes[44..], 0, &mut block.quants);
    },
    number: f32::from,
    scales: pairs,
};

pub(in crate::checkpoint) const Q6_K: Gather = Gather {
    order: |bytes, block| {
        fields::<4, 64>(&bytes[..128], 0, &mut block.quants);
        fields::<2, 32>(&bytes[128..192], 4, &mut block.quants);
        block.scales.copy_from_slice(&bytes[192..208]);
    },
    number: |q| f32::from(q) - 32.0,
    scales: |scales, index| (f32::from(scales[index].cast_signed()), 0.0),
};

impl Gather {
    /// Reorders a block.
    pub(in crate::checkpoint) fn order(self, format: Format, block: &[u8]) -> Gathered {
        // The f16 numbers are the first or the last bytes of a block.
        let halves = format.halves();
        let rest = if halves.start == 0 { &block[halves.end..] } else { &block[..halves.start] };
        let mut gathered = Gathered { quants: [0; 256], scales: [0; 16] };
        (self.order)(rest, &mut gathered);
        gathered
    }

    /// Appends the values of a block.
    pub(in crate::checkpoint) fn push_values(
        self,
        format: Format,
        block: &[u8],
        values: &mut Vec<f32>,
    ) {
        let half = |bytes: &[u8]| f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
        let halves = &block[format.halves()];
        let (d, m) = (half(halves), if halves.len() == 4 { half(&halves[2..]) } else { 0.0 });
        let Gathered { quants, scales } = self.order(format, block);
        for (index, quants) in quants[..format.block()].chunks_exact(16).enumerate() {
            let (s, t) = (self.scales)(&scales, index);
            let (scale, least) = (d * s, m * t);
            values.extend(quants.iter().map(|&q| scale * (self.number)(q) - least));
        }
    }
}

/// The bits of `Q5_0` and `Q5_1`.
fn fives(bytes: &[u8], block: &mut Gathered) {
    fields::<1, 1>(&bytes[..4], 4, &mut block.quants);
    fields::<4, 16>(&bytes[4..], 0, &mut block.quants);
}

/// s and t of `Q4_K` and `Q5_K`, which two neighboring runs of sixteen values share.
fn pairs(scales: &[u8; 16], index: usize) -> (f32, f32) {
    (f32::from(scales[index & !1]), f32::from(scales[index | 1]))
}

/// Fields of `BITS` bits: a run of `GROUP` bytes holds the first `GROUP` of them in its lowest
/// bits, the next in the bits above, and so on. They are added to `out`, shifted left by `shift`.
fn fields<const BITS: usize, const GROUP: usize>(bytes: &[u8], shift: usize, out: &mut [u8]) {
    let mask = (1 << BITS) - 1;
    let runs = out.chunks_exact_mut(GROUP * 8 / BITS).zip(bytes.chunks_exact(GROUP));
    for (out, bytes) in runs {
        for (index, out) in out.chunks_exact_mut(GROUP).enumerate() {
            for (out, byte) in out.iter_mut().zip(bytes) {
                *out |= (byte >> (BITS * index) & mask) << shift;
            }
        }
    }
}

/// The pairs (s, t) of six bits each of `Q4_K` and `Q5_K`: the first four are in the lower bits of
/// bytes 0 to 3 and 4 to 7; the last four have four bits in bytes 8 to 11, and two on top of the
/// first.
fn scales6(bytes: &[u8]) -> [u8; 16] {
    let mut pairs = [0; 16];
    for i in 0..4 {
        let (s, t, both) = (bytes[i], bytes[i + 4], bytes[i + 8]);
        pairs[2 * i] = s & 63;
        pairs[2 * i + 1] = t & 63;
        pairs[2 * i + 8] = both & 15 | s >> 6 << 4;
        pairs[2 * i + 9] = both >> 4 | t >> 6 << 4;
    }
    pairs
}
