//! Blocks compared with the Python package gguf (`tests/golden/weights/make.py`), and the planes.

use crate::checkpoint::planes;
use crate::checkpoint::{dequantize, quantize};
use crate::format::Format;

struct Golden {
    format: Format,
    blocks: &'static [u8],
    values: &'static [u8],
    /// For the formats that can be written.
    quantized: Option<&'static [u8]>,
}

macro_rules! file {
    ($name:literal, $kind:literal) => {
        include_bytes!(concat!("../../../tests/golden/weights/", $name, $kind))
    };
}

macro_rules! golden {
    ($format:ident, $name:literal $(, $quantized:literal)?) => {
        Golden {
            format: Format::$format,
            blocks: file!($name, ".blocks"),
            values: file!($name, ".values"),
            quantized: [$(file!($name, $quantized) as &[u8])?].first().copied(),
        }
    };
}

fn golden() -> [Golden; 14] {
    [
        golden!(F16, "f16", ".quantized"),
        golden!(Bf16, "bf16", ".quantized"),
        golden!(Q8_0, "q8_0", ".quantized"),
        golden!(Q4_0, "q4_0", ".quantized"),
        golden!(Q4_1, "q4_1", ".quantized"),
        golden!(Q5_0, "q5_0"),
        golden!(Q5_1, "q5_1"),
        golden!(Iq4_Nl, "iq4_nl"),
        golden!(Iq4_Xs, "iq4_xs"),
        golden!(Q2_K, "q2_k"),
        golden!(Q3_K, "q3_k"),
        golden!(Q4_K, "q4_k"),
        golden!(Q5_K, "q5_k"),
        golden!(Q6_K, "q6_k"),
    ]
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

#[test]
fn every_format_but_the_plainest_is_compared() {
    let judged = golden().map(|golden| golden.format);
    let all: Vec<_> = Format::ALL.into_iter().filter(|format| *format != Format::F32).collect();
    assert_eq!(judged.as_slice(), all);
}

#[test]
fn dequantized_blocks_equal_ggufs() {
    for golden in golden() {
        let values = dequantize(golden.format, golden.blocks);
        assert!(!values.is_empty(), "{}", golden.format);
        assert!(bytes_of(&values) == golden.values, "{}", golden.format);
    }
}

#[test]
fn quantized_blocks_equal_ggufs() {
    let values = include_bytes!("../../../tests/golden/weights/values.f32");
    let values = dequantize(Format::F32, values);
    for golden in golden() {
        let quantizes = golden.format.info().quantizes;
        assert_eq!(golden.quantized.is_some(), quantizes, "{}", golden.format);
        match (golden.quantized, quantize(golden.format, &values)) {
            (Some(expected), found) => assert_eq!(found.unwrap(), expected, "{}", golden.format),
            (None, found) => {
                let error = found.unwrap_err().to_string();
                let expected = format!("quantizing to {} is not supported", golden.format);
                assert!(error.starts_with(&expected), "{error}");
            }
        }
    }
}

#[test]
fn quantizing_what_was_dequantized_changes_nothing() {
    for (format, quantized) in golden().map(|golden| (golden.format, golden.quantized)) {
        let Some(quantized) = quantized else { continue };
        // Block scales are not unique, so the second pass starts from the values of the first.
        let once = dequantize(format, quantized);
        let twice = dequantize(format, &quantize(format, &once).unwrap());
        for (a, b) in once.iter().zip(&twice) {
            assert!((a - b).abs() <= a.abs() * 2e-3 + 1e-6, "{format}: {a} became {b}");
        }
    }
}

#[test]
fn a_last_block_is_filled_with_zeros() {
    let bytes = quantize(Format::Q8_0, &[127.0, -1.0]).unwrap();
    let mut values = vec![127.0, -1.0];
    values.resize(32, 0.0);
    assert_eq!(dequantize(Format::Q8_0, &bytes), values);
}

#[test]
fn float_rows_are_padded_to_eight_values() {
    let values: Vec<f32> = (0..10u8).map(f32::from).collect();
    let planes_of = planes(Format::F32, 5, &bytes_of(&values));
    let expected = [0.0, 1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 5.0, 6.0, 7.0, 8.0, 9.0, 0.0, 0.0, 0.0];
    assert_eq!(planes_of, [bytes_of(&expected)]);
    for format in [Format::F16, Format::Bf16] {
        let planes_of = planes(format, 5, &quantize(format, &values).unwrap());
        assert_eq!(planes_of, [quantize(format, &expected).unwrap()], "{format}");
    }
}

#[test]
fn block_rows_are_split_into_quants_and_scales() {
    // Six rows of three blocks: the second four of rows is half empty.
    for (format, scale, quants) in
        [(Format::Q8_0, 2_usize, 32), (Format::Q4_0, 2, 16), (Format::Q4_1, 4, 16)]
    {
        let size = format.block_bytes();
        let bytes: Vec<u8> = (0..18 * size).map(|i| (i % 251) as u8).collect();
        let parted = planes(format, 96, &bytes);
        assert_eq!(parted[0].len(), 18 * quants, "{format}");
        assert_eq!(parted[1].len(), 8 * 3 * scale, "{format}");
        for index in 0..18 {
            let (row, block) = (index / 3, index % 3);
            let from = &bytes[index * size..][..size];
            assert_eq!(&parted[0][index * quants..][..quants], &from[scale..], "{format}");
            let scale_at = ((row / 4 * 3 + block) * 4 + row % 4) * scale;
            assert_eq!(&parted[1][scale_at..][..scale], &from[..scale], "{format}");
        }
        let empty = &parted[1][(4 * 3 + 2) * scale..][..2 * scale];
        assert!(empty.iter().all(|byte| *byte == 0), "{format}");
    }
}

/// Planes hold every bit of a file once: they have as many bits, and flipping a bit in the file
/// flips one in the planes. The tests of the kernels check that it is the right one.
#[test]
fn planes_hold_every_bit_once() {
    let count = |bytes: &[u8]| bytes.iter().map(|byte| byte.count_ones()).sum::<u32>();
    for Golden { format, blocks, .. } in golden() {
        let rows = 5;
        for columns in [format.block(), 3 * format.block()] {
            let bytes: Vec<u8> =
                blocks.iter().copied().cycle().take(rows * format.row_bytes(columns)).collect();
            let packed = planes(format, columns, &bytes).concat();
            assert_eq!(count(&packed), count(&bytes), "{format}, {columns} columns");
            for bit in (0..8 * bytes.len()).step_by(7) {
                let mut turned = bytes.clone();
                turned[bit / 8] ^= 1 << (bit % 8);
                let turned = planes(format, columns, &turned).concat();
                let differing: Vec<u8> = packed.iter().zip(&turned).map(|(a, b)| a ^ b).collect();
                assert_eq!(count(&differing), 1, "{format}, {columns} columns, bit {bit}");
            }
        }
    }
}
