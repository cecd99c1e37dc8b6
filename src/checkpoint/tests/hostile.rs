//! Invalid files: each gives an error that names file and tensor.

use std::fs::{self, File};

use super::folders::{gpt2_config, llama_config, llama_tensors};
use super::gguf::llama;
use super::{Gguf, Meta, Tensor, as_kind, counting, folder, refusal, write};
use crate::checkpoint::{Checkpoint, Param};
use crate::format::Format;

#[test]
fn wrong_tensors_are_refused_by_name() {
    let name = "model.layers.1.mlp.up_proj.weight";
    let change = |change: fn(Tensor) -> Option<Tensor>| -> Vec<Tensor> {
        let tensors = llama_tensors("model.").into_iter();
        tensors
            .filter_map(|tensor| if tensor.name == name { change(tensor) } else { Some(tensor) })
            .collect()
    };
    let cases = [
        (change(|_| None), "is missing"),
        (
            change(|tensor| Some(counting(tensor.name, &[8, 12], 0))),
            "its shape is [8, 12], but the configuration asks for [12, 8]",
        ),
        (change(|tensor| Some(counting(tensor.name, &[96], 0))), "its shape is [96]"),
        (
            change(|tensor| Some(Tensor { kind: "F64", bytes: tensor.bytes.repeat(2), ..tensor })),
            "its type F64 is not supported",
        ),
        (change(|tensor| Some(Tensor { kind: "I32", ..tensor })), "its type I32 is not supported"),
    ];
    for (tensors, expected) in cases {
        let folder = folder(&llama_config(), &tensors);
        let error = refusal(folder.path());
        assert!(error.contains(&format!("tensor {name}: {expected}")), "{error}");
    }
    let folder = folder(&gpt2_config(), &[counting("transformer.wte.weight", &[5, 4], 0)]);
    assert!(refusal(folder.path()).contains("tensor transformer.wpe.weight: is missing"));
}

#[test]
fn values_that_a_format_cannot_hold_are_refused_when_quantized() {
    // A q4_0 block's scale is an eighth of its largest value, a q8_0 block's a 127th.
    for (format, fits, beyond) in [
        (Format::F16, 65_519.0, 65_520.0),
        (Format::Q4_0, 8.0 * 65_504.0, -8.0 * 65_520.0),
        (Format::Q4_1, 65_504.0, -65_520.0),
        (Format::Q8_0, 127.0 * 65_504.0, -127.0 * 65_530.0),
        (Format::Bf16, 3e38, f32::MAX),
    ] {
        let quantized = |value: f32| {
            let mut tensors = llama_tensors("model.");
            tensors[0].bytes[20..24].copy_from_slice(&value.to_le_bytes());
            let folder = folder(&llama_config(), &tensors);
            let matrix = Checkpoint::open(folder.path()).unwrap().matrix(Param::Embed, 0).unwrap();
            matrix.quantized(&matrix.read(0..6).unwrap(), format)
        };
        assert!(quantized(fits).is_ok(), "{format}");
        let error = quantized(beyond).unwrap_err().to_string();
        let expected = format!(
            "tensor model.embed_tokens.weight: holds values up to {:e}, which are too large for \
             {format}; load it in its own format, f32",
            beyond.abs()
        );
        assert!(error.contains(&expected), "{error}");
    }
}

#[test]
fn values_that_are_not_finite_are_refused_when_read() {
    for (kind, value) in [("F32", f32::NAN), ("F16", f32::INFINITY), ("BF16", f32::NEG_INFINITY)] {
        let mut tensors = llama_tensors("model.");
        let embed = &mut tensors[0];
        embed.bytes[20..24].copy_from_slice(&value.to_le_bytes());
        tensors[0] = as_kind(embed, kind);
        let folder = folder(&llama_config(), &tensors);
        let matrix = Checkpoint::open(folder.path()).unwrap().matrix(Param::Embed, 0).unwrap();
        let error = matrix.read(0..6).unwrap_err().to_string();
        assert!(
            error.contains("tensor model.embed_tokens.weight: holds a value"),
            "{kind}: {error}"
        );
        assert!(matrix.read(1..6).is_ok(), "{kind}");
    }
    for (kind, at, size) in [
        ("Q8_0", 0, 34),
        ("Q4_0", 0, 18),
        ("Q4_1", 2, 20),
        ("Q5_0", 0, 22),
        ("Q5_1", 0, 24),
        ("Q5_1", 2, 24),
        ("IQ4_NL", 0, 18),
    ] {
        let mut bytes = vec![0; 3 * size];
        bytes[size + at..][..2].copy_from_slice(&[0, 0x7c]);
        let embed =
            Tensor { name: "token_embd.weight".to_owned(), shape: vec![3, 32], kind, bytes };
        let (_folder, path) = llama().with_tensor(embed).save();
        let matrix = Checkpoint::open(&path).unwrap().matrix(Param::Embed, 0).unwrap();
        assert!(
            matrix.read(1..2).unwrap_err().to_string().contains("tensor token_embd.weight: holds")
        );
        assert!(matrix.read(2..3).is_ok());
    }
    for (kind, at, size) in [
        ("IQ4_XS", 0, 136),
        ("Q2_K", 80, 84),
        ("Q2_K", 82, 84),
        ("Q3_K", 108, 110),
        ("Q4_K", 0, 144),
        ("Q4_K", 2, 144),
        ("Q5_K", 0, 176),
        ("Q5_K", 2, 176),
        ("Q6_K", 208, 210),
    ] {
        let mut bytes = vec![0; 32 * size];
        bytes[5 * size + at..][..2].copy_from_slice(&[1, 0xfc]);
        let (_folder, path) = hidden_256(kind, bytes.clone()).save();
        let matrix = Checkpoint::open(&path).unwrap().matrix(Param::Down, 0).unwrap();
        let error = matrix.read(5..6).unwrap_err().to_string();
        assert!(error.contains("tensor blk.0.ffn_down.weight: holds"), "{kind}: {error}");
        assert!(matrix.read(0..5).is_ok() && matrix.read(6..32).is_ok(), "{kind}");

        bytes.pop();
        let (_folder, path) = hidden_256(kind, bytes).save();
        let error = refusal(&path);
        assert!(error.contains("tensor blk.0.ffn_down.weight: its data ends"), "{kind}: {error}");
    }
}

/// A Llama with F 256, whose down projection, (32, 256), consists of these bytes.
fn hidden_256(kind: &'static str, bytes: Vec<u8>) -> Gguf {
    let name = "blk.0.ffn_down.weight".to_owned();
    llama()
        .with("llama.feed_forward_length", Meta::U32(256))
        .with_tensor(counting("blk.0.ffn_gate.weight", &[256, 32], 0))
        .with_tensor(counting("blk.0.ffn_up.weight", &[256, 32], 0))
        .with_tensor(Tensor { name, shape: vec![32, 256], kind, bytes })
}

#[test]
fn a_file_cut_short_after_it_was_opened_is_an_error() {
    let folder = folder(&llama_config(), &llama_tensors("model."));
    let model = Checkpoint::open(folder.path()).unwrap();
    let path = folder.path().join("model.safetensors");
    let half = fs::metadata(&path).unwrap().len() / 4;
    File::options().write(true).open(&path).unwrap().set_len(half).unwrap();
    let error = model.matrix(Param::Down, 1).unwrap().read(0..8).unwrap_err().to_string();
    assert!(error.contains("model.safetensors: ends while"), "{error}");
}

#[test]
fn every_cut_of_a_gguf_file_is_an_error() {
    let bytes = llama().bytes();
    let (folder, path) = llama().save();
    let header = bytes.windows(4).rposition(|window| window == b"blk.").unwrap();
    for length in (0..header + 120).chain([bytes.len() / 2, bytes.len() - 1]) {
        write(folder.path(), "model.gguf", &bytes[..length]);
        let error = refusal(&path);
        assert!(error.contains("model.gguf"), "{length}: {error}");
    }
}

#[test]
fn every_flipped_byte_of_a_gguf_header_is_survived() {
    let good = llama().bytes();
    let (folder, path) = llama().save();
    for at in 0..good.len().min(1_800) {
        for flip in [0xff, 0x80] {
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            write(folder.path(), "model.gguf", &bytes);
            if let Ok(model) = Checkpoint::open(&path) {
                // Whatever this finds, it must not panic.
                drop((model.bpe(), model.matrix(Param::Q, 0).map(|matrix| matrix.values(0..32))));
            }
        }
    }
}

#[test]
fn lying_gguf_files_are_refused() {
    let u64s = |numbers: &[u64]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>();
    let header = |version: u32, tensors: u64, pairs: u64, rest: &[u8]| {
        [b"GGUF".as_slice(), &version.to_le_bytes(), &u64s(&[tensors, pairs]), rest].concat()
    };
    let key = |kind: &[u32], rest: &[u8]| {
        let kinds: Vec<u8> = kind.iter().flat_map(|n| n.to_le_bytes()).collect();
        [&u64s(&[1]), b"k".as_slice(), &kinds, rest, &[0; 64]].concat()
    };
    let tensor = |shape: &[u64], kind: u32, offset: u64| {
        let dimensions = (shape.len() as u32).to_le_bytes();
        let start = [&u64s(&[1]), b"t".as_slice(), &dimensions, &u64s(shape)].concat();
        [start.as_slice(), &kind.to_le_bytes(), &u64s(&[offset]), &[0; 256]].concat()
    };
    let huge = 1 << 60;
    let twin = [key(&[4, 7], &[])[..17].to_vec(), key(&[4, 7], &[])].concat();
    let cases = [
        ("another format", b"PK\x03\x04 and so on".to_vec(), "is not a GGUF file"),
        ("version 1", header(1, 0, 0, &[]), "GGUF version 1 is not supported"),
        ("big-endian", header(0x0300_0000, 0, 0, &[]), "big-endian GGUF is not supported"),
        ("2^60 tensors", header(3, huge, 0, &[]), "claims 1152921504606846976 tensors"),
        ("2^60 pairs", header(3, 0, huge, &[]), "metadata entries"),
        ("a key of 2^60 bytes", header(3, 0, 1, &u64s(&[huge, 0, 0])), "claims a string of"),
        ("a key past the end", header(3, 0, 1, &u64s(&[1 << 20, 0])), "is truncated"),
        (
            "a key that is not UTF-8, which nobody needs",
            header(3, 0, 1, &[&u64s(&[2]), [0xff, 0xfe].as_slice(), &[0; 9]].concat()),
            "general.architecture is missing",
        ),
        ("an unknown type", header(3, 0, 1, &key(&[99], &[])), "k is of the unknown type 99"),
        (
            "2^60 strings",
            header(3, 0, 1, &key(&[9, 8], &u64s(&[huge]))),
            "k claims 1152921504606846976 elements",
        ),
        ("2^60 bytes", header(3, 0, 1, &key(&[9, 0], &u64s(&[huge]))), "k claims"),
        ("2^62 doubles", header(3, 0, 1, &key(&[9, 12], &u64s(&[1 << 62]))), "k claims"),
        (
            "a string of 2^60 in an array",
            header(3, 0, 1, &key(&[9, 8], &u64s(&[1, huge]))),
            "is truncated",
        ),
        (
            "arrays of arrays",
            header(3, 0, 1, &key(&[9, 9], &u64s(&[1]))),
            "k is an array of the unknown type 9",
        ),
        ("a repeated key", header(3, 0, 2, &twin), "k is listed twice"),
        ("no dimensions", header(3, 1, 0, &tensor(&[], 0, 0)), "tensor t: has 0 dimensions"),
        ("nine dimensions", header(3, 1, 0, &tensor(&[1; 9], 0, 0)), "tensor t: has 9 dimensions"),
        (
            "an overflowing shape",
            header(3, 1, 0, &tensor(&[huge, 1 << 10], 0, 0)),
            "tensor t: shape",
        ),
        (
            "a shape beyond the file",
            header(3, 1, 0, &tensor(&[1 << 40], 0, 0)),
            "tensor t: its data ends at byte",
        ),
        ("half a block", header(3, 1, 0, &tensor(&[48], 8, 0)), "tensor t: rows of 48 values"),
        ("an odd offset", header(3, 1, 0, &tensor(&[1], 0, 8)), "tensor t: its offset 8"),
        (
            "an offset of 2^64 less 32",
            header(3, 1, 0, &tensor(&[1], 0, u64::MAX - 31)),
            "tensor t: its offset",
        ),
        (
            "an offset beyond the file",
            header(3, 1, 0, &tensor(&[1], 0, 1 << 50)),
            "tensor t: its data ends",
        ),
        (
            "a repeated tensor",
            header(3, 2, 0, &[&tensor(&[1], 0, 0)[..33], &tensor(&[1], 0, 32)].concat()),
            "tensor t: is listed twice",
        ),
    ];
    let (folder, path) = llama().save();
    for (what, bytes, expected) in cases {
        write(folder.path(), "model.gguf", bytes);
        let error = refusal(&path);
        assert!(error.contains(expected) && error.contains("model.gguf"), "{what}: {error}");
    }
}

#[test]
fn wrong_gguf_tensors_are_refused_by_name() {
    let embed = |kind, bytes: Vec<u8>| {
        let name = "token_embd.weight".to_owned();
        llama().with_tensor(Tensor { name, shape: vec![3, 32], kind, bytes })
    };
    let norm =
        Tensor { kind: "Q8_0", bytes: vec![0; 34], ..counting("output_norm.weight", &[32], 0) };
    let cases: [(Gguf, &str); 6] = [
        (
            embed("IQ2_XS", vec![0; 51]),
            "tensor token_embd.weight: its type IQ2_XS is not supported",
        ),
        (
            embed("Q4_K", vec![0; 54]),
            "tensor token_embd.weight: rows of 32 values are not a multiple of q4_k's 256",
        ),
        (llama().without_tensor("blk.0.ffn_up.weight"), "tensor blk.0.ffn_up.weight: is missing"),
        (
            llama().with_tensor(norm),
            "tensor output_norm.weight: its type is Q8_0, but it must be a float",
        ),
        (
            llama().with_tensor(counting("blk.0.attn_k.weight", &[32, 16], 0)),
            "tensor blk.0.attn_k.weight: its shape is [32, 16]",
        ),
        (
            llama().with("llama.attention.key_length", Meta::U32(8)),
            "tensor blk.0.attn_q.weight: its shape is [32, 32], but the configuration asks for [16, 32]",
        ),
    ];
    for (file, expected) in cases {
        let (_folder, path) = file.save();
        let error = refusal(&path);
        assert!(error.contains(expected), "{error}");
    }
    let overlapping = {
        let mut bytes = llama().bytes();
        // The second tensor's offset, after its name, dimensions and type, becomes the first's.
        let name = b"output_norm.weight";
        let at = bytes.windows(name.len()).position(|window| window == name).unwrap();
        bytes[at + name.len() + 16..][..8].fill(0);
        bytes
    };
    let (folder, path) = llama().save();
    write(folder.path(), "model.gguf", overlapping);
    assert!(refusal(&path).contains("overlaps tensor"), "{}", refusal(&path));
}
