//! The formats whose values lie in bits here and there of a block: put in order, and their values.
//!
//! A block of 32 (`Q5_0`, `Q5_1`) or 256 values holds numbers q of 2 to 6 bits, whose lower and upper
//! bits lie apart; f16 numbers d and, in some formats, m; and, in blocks of 256, for each sub-block a
//! scale s and, where there is an m, a t. The value is d s (q − z) − m t, where
//!
//! | format | q | z | sub-block | s, t |
//! |---|---|---|---|---|
//! | `Q5_0` | 4 + 1 bits | 16 | 32 | s is 1 |
//! | `Q5_1` | 4 + 1 bits | 0 | 32 | s is 1, t is −1 |
//! | `Q2_K` | 2 bits | 0 | 16 | 4 bits each |
//! | `Q3_K` | 2 + 1 bits | 4 | 16 | 6 bits less 32 |
//! | `Q4_K` | 4 bits | 0 | 32 | 6 bits each |
//! | `Q5_K` | 4 + 1 bits | 0 | 32 | 6 bits each |
//! | `Q6_K` | 4 + 2 bits | 32 | 16 | 8 bits with a sign |
//!
//! Products of d, s and q are exact in f32, so only the difference is ever rounded.

use half::f16;

use crate::names::Format;

/// One block in order.
pub(super) struct Gathered {
    /// The numbers q; a block of 32 uses the first 32.
    pub(super) quants: [u8; 256],
    /// Two numbers for each 32 values, as they are in the file: s and t, or s of the first and of the
    /// second sixteen. In `Q2_K` each is s in the lower four bits and t in the upper.
    pub(super) scales: [u8; 16],
}

/// Puts a block in order.
///
/// # Panics
/// If the format is none of the table's.
pub(super) fn gather(format: Format, block: &[u8]) -> Gathered {
    let mut quants = [0; 256];
    let mut scales = [0; 16];
    let rest = &block[if format.halves().start == 0 { format.halves().end } else { 0 }..];
    match format {
        Format::Q5_0 | Format::Q5_1 => {
            fields::<1, 1>(&rest[..4], 4, &mut quants);
            fields::<4, 16>(&rest[4..], 0, &mut quants);
        }
        Format::Q2_K => {
            scales.copy_from_slice(&rest[..16]);
            fields::<2, 32>(&rest[16..80], 0, &mut quants);
        }
        Format::Q3_K => {
            fields::<1, 32>(&rest[..32], 2, &mut quants);
            fields::<2, 32>(&rest[32..96], 0, &mut quants);
            fields::<4, 8>(&rest[96..104], 0, &mut scales);
            fields::<2, 4>(&rest[104..108], 4, &mut scales);
        }
        Format::Q4_K => {
            scales = sixes(&rest[..12]);
            fields::<4, 32>(&rest[12..], 0, &mut quants);
        }
        Format::Q5_K => {
            scales = sixes(&rest[..12]);
            fields::<1, 32>(&rest[12..44], 4, &mut quants);
            fields::<4, 32>(&rest[44..], 0, &mut quants);
        }
        Format::Q6_K => {
            fields::<4, 64>(&rest[..128], 0, &mut quants);
            fields::<2, 32>(&rest[128..192], 4, &mut quants);
            scales.copy_from_slice(&rest[192..208]);
        }
        _ => unreachable!("{format} has its values in order"),
    }
    Gathered { quants, scales }
}

/// Fields of `BITS` bits: a run of `GROUP` bytes holds the first `GROUP` of them in its lowest bits,
/// the next in the bits above, and so on. They come into `out` shifted up by `shift`.
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

/// The pairs (s, t) of six bits each of `Q4_K` and `Q5_K`: the first four keep theirs in the lower
/// bits of bytes 0 to 3 and 4 to 7; the last four, four bits in bytes 8 to 11 and two on top of those.
fn sixes(bytes: &[u8]) -> [u8; 16] {
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

/// Writes a block's values after those that are there.
pub(super) fn push_values(format: Format, block: &[u8], values: &mut Vec<f32>) {
    let half = |bytes: &[u8]| f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
    let halves = &block[format.halves()];
    let (d, m) = (half(halves), if halves.len() == 4 { half(&halves[2..]) } else { 0.0 });
    let Gathered { quants, scales } = gather(format, block);
    let zero = match format {
        Format::Q5_0 => 16.0,
        Format::Q3_K => 4.0,
        Format::Q6_K => 32.0,
        _ => 0.0,
    };
    for (index, quants) in quants[..format.block()].chunks_exact(16).enumerate() {
        let number = |index: usize| f32::from(scales[index]);
        let (scale, least) = match format {
            Format::Q2_K => {
                let both = scales[index];
                (d * f32::from(both & 15), m * f32::from(both >> 4))
            }
            Format::Q3_K => (d * (number(index) - 32.0), 0.0),
            Format::Q4_K | Format::Q5_K => (d * number(index & !1), m * number(index | 1)),
            Format::Q6_K => (d * f32::from(scales[index].cast_signed()), 0.0),
            Format::Q5_1 => (d, -m),
            _ => (d, 0.0),
        };
        values.extend(quants.iter().map(|&q| scale * (f32::from(q) - zero) - least));
    }
}
