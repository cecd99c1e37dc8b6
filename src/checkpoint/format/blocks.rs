//! Block formats: decoding and encoding.
//!
//! A block of 32 values is, in the file:
//!
//! | format | bytes | a value |
//! |---|---|---|
//! | `Q8_0` | f16 d, 32 signed bytes q | d q |
//! | `Q4_0` | f16 d, 16 bytes | d (q − 8) |
//! | `Q4_1` | f16 d, f16 m, 16 bytes | d q + m |
//! | `IQ4_NL` | f16 d, 16 bytes | d `CODEBOOK_IQ4[q]` |
//!
//! Byte j of the sixteen holds value j in its low nibble and value j + 16 in its high one.
//! `gather.rs` has the other formats.

use std::slice::ChunksExact;

use half::{bf16, f16};

use super::gather;
use super::gather::{CODEBOOK_IQ4, Gather};
use crate::error::{Error, Result};
use crate::format::Format;

/// Values in a block of these formats.
const BLOCK: usize = 32;

fn half_at(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

/// How the blocks of a format are decoded: the twin of its WGSL part.
pub(in crate::checkpoint) enum Decoder {
    /// The values of a block are stored in order.
    InOrder(fn(ChunksExact<'_, u8>) -> Vec<f32>),
    /// The bits of a value are stored apart.
    Gathered(Gather),
}

/// The decoder of a format.
pub(in crate::checkpoint) fn decoder(format: Format) -> Decoder {
    match format {
        Format::F32 => Decoder::InOrder(floats),
        Format::F16 => Decoder::InOrder(|blocks| blocks.map(half_at).collect()),
        Format::Bf16 => Decoder::InOrder(brain_floats),
        Format::Q8_0 => Decoder::InOrder(q8_0),
        Format::Q4_0 => Decoder::InOrder(q4_0),
        Format::Q4_1 => Decoder::InOrder(q4_1),
        Format::Q5_0 => Decoder::Gathered(gather::Q5_0),
        Format::Q5_1 => Decoder::Gathered(gather::Q5_1),
        Format::Iq4_Nl => Decoder::InOrder(iq4_nl),
        Format::Iq4_Xs => Decoder::Gathered(gather::IQ4_XS),
        Format::Q2_K => Decoder::Gathered(gather::Q2_K),
        Format::Q3_K => Decoder::Gathered(gather::Q3_K),
        Format::Q4_K => Decoder::Gathered(gather::Q4_K),
        Format::Q5_K => Decoder::Gathered(gather::Q5_K),
        Format::Q6_K => Decoder::Gathered(gather::Q6_K),
    }
}

/// The values of whole blocks, in order; a partial block at the end is ignored.
pub fn dequantize(format: Format, bytes: &[u8]) -> Vec<f32> {
    let blocks = bytes.chunks_exact(format.block_bytes());
    match decoder(format) {
        Decoder::InOrder(values) => values(blocks),
        Decoder::Gathered(gather) => {
            let mut values = Vec::with_capacity(blocks.len() * format.block());
            blocks.for_each(|block| gather.push_values(format, block, &mut values));
            values
        }
    }
}

fn floats(blocks: ChunksExact<'_, u8>) -> Vec<f32> {
    blocks.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn brain_floats(blocks: ChunksExact<'_, u8>) -> Vec<f32> {
    blocks.map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
}

fn q8_0(blocks: ChunksExact<'_, u8>) -> Vec<f32> {
    let values = blocks.flat_map(|b| {
        let d = half_at(b);
        b[2..].iter().map(move |&q| d * f32::from(q.cast_signed()))
    });
    values.collect()
}

fn q4_0(blocks: ChunksExact<'_, u8>) -> Vec<f32> {
    let values = blocks.flat_map(|b| {
        let d = half_at(b);
        nibbles(&b[2..]).map(move |q| d * (f32::from(q) - 8.0))
    });
    values.collect()
}

fn q4_1(blocks: ChunksExact<'_, u8>) -> Vec<f32> {
    let values = blocks.flat_map(|b| {
        let (d, m) = (half_at(b), half_at(&b[2..]));
        nibbles(&b[4..]).map(move |q| d * f32::from(q) + m)
    });
    values.collect()
}

fn iq4_nl(blocks: ChunksExact<'_, u8>) -> Vec<f32> {
    let values = blocks.flat_map(|b| {
        let d = half_at(b);
        nibbles(&b[2..]).map(move |q| d * f32::from(CODEBOOK_IQ4[usize::from(q)]))
    });
    values.collect()
}

/// The low nibbles of sixteen bytes, then the high ones.
fn nibbles(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.iter().map(|b| b & 15).chain(bytes.iter().map(|b| b >> 4))
}

/// The bytes of values in a format, rounded as in ggml's reference quantizer.
///
/// A last block that is not full is padded with zeros.
///
/// # Errors
/// [`Error::Unsupported`] for formats that are only read.
pub fn quantize(format: Format, values: &[f32]) -> Result<Vec<u8>> {
    Ok(match format {
        Format::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Format::F16 => values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
        Format::Bf16 => values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect(),
        Format::Q8_0 => blockwise(format, values, quantize_q8_0),
        Format::Q4_0 => blockwise(format, values, quantize_q4_0),
        Format::Q4_1 => blockwise(format, values, quantize_q4_1),
        Format::Q5_0
        | Format::Q5_1
        | Format::Iq4_Nl
        | Format::Iq4_Xs
        | Format::Q2_K
        | Format::Q3_K
        | Format::Q4_K
        | Format::Q5_K
        | Format::Q6_K => return Err(only_read(format)),
    })
}

fn only_read(format: Format) -> Error {
    let formats = Format::ALL.into_iter().filter(|format| format.info().quantizes);
    let names: Vec<&str> = formats.map(|format| format.info().name).collect();
    Error::unsupported(format!("quantizing to {format}"), names.join(", "))
}

fn blockwise(
    format: Format,
    values: &[f32],
    quantize: impl Fn(&[f32; BLOCK], &mut Vec<u8>),
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len().div_ceil(BLOCK) * format.block_bytes());
    for chunk in values.chunks(BLOCK) {
        let mut block = [0.0; BLOCK];
        block[..chunk.len()].copy_from_slice(chunk);
        quantize(&block, &mut bytes);
    }
    bytes
}

fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

fn push_half(value: f32, bytes: &mut Vec<u8>) {
    bytes.extend(f16::from_f32(value).to_le_bytes());
}

/// Sixteen bytes of nibbles. The cast from float saturates, and values that round up to 16 become
/// 15.
fn push_nibbles(block: &[f32; BLOCK], nibble: impl Fn(f32) -> f32, bytes: &mut Vec<u8>) {
    let (low, high) = block.split_at(BLOCK / 2);
    let nibble = |x| (nibble(x) as u8).min(15);
    bytes.extend(low.iter().zip(high).map(|(&low, &high)| nibble(low) | nibble(high) << 4));
}

fn quantize_q8_0(block: &[f32; BLOCK], bytes: &mut Vec<u8>) {
    let d = block.iter().fold(0.0, |largest: f32, x| largest.max(x.abs())) / 127.0;
    let inverse = inverse(d);
    push_half(d, bytes);
    bytes.extend(block.iter().map(|x| ((x * inverse).round() as i8).cast_unsigned()));
}

fn quantize_q4_0(block: &[f32; BLOCK], bytes: &mut Vec<u8>) {
    // The first value of the largest magnitude, with its sign, becomes nibble 0, which is −8.
    let extreme = block.iter().fold(block[0], |a, &x| if x.abs() > a.abs() { x } else { a });
    let d = extreme / -8.0;
    let inverse = inverse(d);
    push_half(d, bytes);
    push_nibbles(block, |x| x * inverse + 8.5, bytes);
}

fn quantize_q4_1(block: &[f32; BLOCK], bytes: &mut Vec<u8>) {
    let least = block.iter().copied().fold(f32::INFINITY, f32::min);
    let most = block.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let d = (most - least) / 15.0;
    let inverse = inverse(d);
    push_half(d, bytes);
    push_half(least, bytes);
    push_nibbles(block, |x| (x - least) * inverse + 0.5, bytes);
}

/// Whether every value is finite; for blocks, every scale and minimum.
pub(in crate::checkpoint) fn finite(format: Format, bytes: &[u8]) -> bool {
    const HALF: u16 = 0x7c00;
    const BRAIN: u16 = 0x7f80;
    // A float is infinite or NaN if all bits of its exponent are set.
    let word = |b: &[u8]| u16::from_le_bytes([b[0], b[1]]);
    let mut blocks = bytes.chunks_exact(format.block_bytes());
    let halves = format.halves();
    if halves.is_empty() {
        // Without f16 numbers it is a plain format, whose last two bytes hold the exponent.
        blocks.all(|b| word(&b[b.len() - 2..]) & BRAIN != BRAIN)
    } else {
        blocks.all(|b| b[halves.clone()].chunks_exact(2).all(|half| word(half) & HALF != HALF))
    }
}
