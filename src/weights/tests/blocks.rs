//! Blocks against the Python package gguf (`tests/golden/weights/make.py`), and the planes.

use super::super::{dequantize, planes, quantize};
use crate::names::Format;

struct Golden {
    format: Format,
    blocks: &'static [u8],
    values: &'static [u8],
    quantized: &'static [u8],
}

macro_rules! golden {
    ($format:ident, $name:literal) => {
        Golden {
            format: Format::$format,
            blocks: include_bytes!(concat!("../../../tests/golden/weights/", $name, ".blocks")),
            values: include_bytes!(concat!("../../../tests/golden/weights/", $name, ".values")),
            quantized: include_bytes!(concat!(
                "../../../tests/golden/weights/",
                $name,
                ".quantized"
            )),
        }
    };
}

const GOLDEN: [Golden; 5] = [
    golden!(F16, "f16"),
    golden!(Bf16, "bf16"),
    golden!(Q8_0, "q8_0"),
    golden!(Q4_0, "q4_0"),
    golden!(Q4_1, "q4_1"),
];

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

#[test]
fn dequantised_blocks_equal_ggufs() {
    for golden in GOLDEN {
        let values = dequantize(golden.format, golden.blocks);
        assert_eq!(bytes_of(&values), golden.values, "{}", golden.format);
    }
}

#[test]
fn quantised_blocks_equal_ggufs() {
    let values = include_bytes!("../../../tests/golden/weights/values.f32");
    let values = dequantize(Format::F32, values);
    for golden in GOLDEN {
        assert_eq!(quantize(golden.format, &values), golden.quantized, "{}", golden.format);
    }
}

#[test]
fn quantising_what_was_dequantised_changes_nothing() {
    for golden in GOLDEN {
        // Block scales are not unique, so the second round starts from the first one's values.
        let once = dequantize(golden.format, golden.quantized);
        let twice = dequantize(golden.format, &quantize(golden.format, &once));
        for (a, b) in once.iter().zip(&twice) {
            assert!((a - b).abs() <= a.abs() * 2e-3 + 1e-6, "{}: {a} became {b}", golden.format);
        }
    }
}

#[test]
fn a_last_block_is_filled_with_zeros() {
    let bytes = quantize(Format::Q8_0, &[127.0, -1.0]);
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
        let planes_of = planes(format, 5, &quantize(format, &values));
        assert_eq!(planes_of, [quantize(format, &expected)], "{format}");
    }
}

#[test]
fn block_rows_are_parted_into_quants_and_scales() {
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
