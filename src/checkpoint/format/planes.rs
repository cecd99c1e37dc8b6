//! The layout of weights in GPU memory: planes of 16-byte words, quants apart from scales.

use super::blocks::{Decoder, decoder};
use super::gather::Gathered;
use crate::format::{Format, Planes, Records, Scales};

/// Repacks whole rows of `columns` values for the GPU; every row is padded to a multiple of 8
/// values.
///
/// - F32, F16, BF16: one plane of the values, each row padded with zeros.
/// - `Q8_0`: the signed bytes, 32 per block; then the f16 scales.
/// - `Q4_0`, `IQ4_NL`: the nibbles, 16 bytes per block; then the f16 scales.
/// - `Q4_1`: the nibbles, 16 bytes per block; then the pairs (f16 d, f16 m), 4 bytes per block.
/// - The others: four bits of each value, row after row, or in `Q2_K` and `Q3_K` two bits, with four
///   rows interleaved; then records of scales and upper bits.
///
/// Scales of four rows are interleaved, block by block, so that a kernel that works on four rows
/// loads them at once; missing rows of the last four have zeros.
///
/// A partial row at the end is ignored.
///
/// # Panics
/// If the format's descriptor row has records, but `gather.rs` has no decoder for it.
pub fn planes(format: Format, columns: usize, bytes: &[u8]) -> Vec<Vec<u8>> {
    let row_bytes = format.row_bytes(columns);
    if row_bytes == 0 {
        return vec![Vec::new(); format.plane_bytes(columns).len()];
    }
    let rows = bytes.chunks_exact(row_bytes);
    match format.info().planes {
        Planes::Values => {
            let padded = format.row_bytes(columns.next_multiple_of(8));
            let mut plane = Vec::with_capacity(rows.len() * padded);
            for (index, row) in rows.enumerate() {
                plane.extend_from_slice(row);
                plane.resize((index + 1) * padded, 0);
            }
            vec![plane]
        }
        Planes::ScalesApart => {
            // A block starts with its scales; the rest are its quants.
            let scale_bytes = format.halves().len();
            let blocks = columns / format.block();
            let quant_row = blocks * (format.block_bytes() - scale_bytes);
            let mut quants = Vec::with_capacity(rows.len() * quant_row);
            let mut scales = vec![0; rows.len().next_multiple_of(4) * blocks * scale_bytes];
            for (row, bytes) in rows.enumerate() {
                for (block, bytes) in bytes.chunks_exact(format.block_bytes()).enumerate() {
                    let at = ((row / 4 * blocks + block) * 4 + row % 4) * scale_bytes;
                    scales[at..at + scale_bytes].copy_from_slice(&bytes[..scale_bytes]);
                    quants.extend_from_slice(&bytes[scale_bytes..]);
                }
            }
            vec![quants, scales]
        }
        Planes::Records(records) => {
            let Decoder::Gathered(gather) = decoder(format) else {
                panic!("{format} has records, but its values lie in order")
            };
            let mut packed = Packed::new(format, records, columns / WORD, rows.len());
            for (row, bytes) in rows.enumerate() {
                for (index, block) in bytes.chunks_exact(format.block_bytes()).enumerate() {
                    let first = index * format.block() / WORD;
                    packed.put(row, first, &block[format.halves()], &gather.order(format, block));
                }
            }
            vec![packed.low, packed.records]
        }
    }
}

/// Values in a word of the formats with records.
const WORD: usize = Records::WORD;

struct Packed {
    layout: Records,
    /// The words that share f16 numbers.
    block: usize,
    /// The words of a row.
    words: usize,
    low: Vec<u8>,
    records: Vec<u8>,
}

impl Packed {
    fn new(format: Format, layout: Records, words: usize, rows: usize) -> Self {
        let block = format.block() / WORD;
        let vec4s = rows.div_ceil(4);
        let low_rows = if layout.low == 4 { rows } else { vec4s * 4 };
        let low = vec![0; low_rows * words * 4 * layout.low];
        let records = vec![0; vec4s * words.div_ceil(layout.words) * layout.bytes()];
        Self { layout, block, words, low, records }
    }

    /// Writes a block to its place: the words of `row` from `first` on.
    fn put(&mut self, row: usize, first: usize, halves: &[u8], block: &Gathered) {
        let Records { low, high, words, scales } = self.layout;
        let (four, within) = (row / 4, row % 4);
        let quants = block.quants.chunks_exact(WORD).zip(block.scales.chunks_exact(2));
        for (word, (quants, pair)) in (first..first + self.block).zip(quants) {
            let at = if low == 4 {
                (row * self.words + word) * 16
            } else {
                (four * self.words + word) * 32 + within * 8
            };
            spread(quants, low, 0, &mut self.low[at..][..4 * low]);

            let size = self.layout.bytes();
            let record = four * self.words.div_ceil(words) + word / words;
            let record = &mut self.records[record * size..][..size];
            let word = word % words;
            let at = (word / self.block * 4 + within) * halves.len();
            record[at..][..halves.len()].copy_from_slice(halves);
            let (s, t) = (pair[0], pair[1]);
            match scales {
                Scales::None => {}
                Scales::Two8 => {
                    record[16 + 8 * word + within] = s;
                    record[20 + 8 * word + within] = t;
                }
                // Four bits of both; then two bits of both, and of both in the neighboring word.
                Scales::Two6 => {
                    record[16 + 4 * word + within] = s & 15 | t << 4;
                    record[16 + 4 * words + word / 2 * 4 + within] |=
                        (s >> 4 | t >> 4 << 2) << (4 * (word % 2));
                }
                // Two bits of four rows in a byte, and four bits of them in two.
                Scales::One6 => {
                    record[8 + word] |= s >> 4 << (2 * within);
                    record[16 + 2 * word + within / 2] |= (s & 15) << (4 * (within % 2));
                }
            }
            if high > 0 {
                let at = self.layout.head() + (word * 4 + within) * 4 * high;
                spread(quants, high, low, &mut record[at..][..4 * high]);
            }
        }
    }
}

/// The bits of 32 values from bit `shift` on, `bits` of each, ordered so that four neighbors are
/// in the four bytes of a u32: a shift and a mask leave each in a byte of its own.
fn spread(quants: &[u8], bits: usize, shift: usize, out: &mut [u8]) {
    let mask = ((1 << bits) - 1) * 0x0101_0101_u32;
    let vec4s = quants.as_chunks::<4>().0;
    for (out, vec4s) in out.as_chunks_mut::<4>().0.iter_mut().zip(vec4s.chunks_exact(8 / bits)) {
        let word = vec4s.iter().enumerate().fold(0, |word, (index, four)| {
            word | (u32::from_le_bytes(*four) >> shift & mask) << (bits * index)
        });
        *out = word.to_le_bytes();
    }
}
