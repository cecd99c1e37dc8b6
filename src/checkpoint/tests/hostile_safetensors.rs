//! Invalid safetensors files: each gives an error that names file and tensor.

use super::folders::{llama_config, llama_tensors};
use super::{folder, refusal, safetensors, with_header, write};
use crate::checkpoint::{Checkpoint, Param};

#[test]
fn lying_safetensors_are_refused() {
    let good = safetensors(&llama_tensors("model."));
    let entry = |shape: &str, offsets: &str| {
        format!(r#"{{"dtype": "F32", "shape": {shape}, "data_offsets": {offsets}}}"#)
    };
    let one = |shape: &str, offsets: &str| {
        with_header(&format!(r#"{{"x.y": {}}}"#, entry(shape, offsets)), &[0; 16])
    };
    let two = |names: [&str; 2], offsets: [&str; 2]| {
        let [a, b] = offsets.map(|offsets| entry("[2]", offsets));
        with_header(&format!(r#"{{"{}": {a}, "{}": {b}}}"#, names[0], names[1]), &[0; 16])
    };
    let cases = [
        ("empty", Vec::new(), "is truncated"),
        ("half a length", good[..5].to_vec(), "is truncated"),
        (
            "a header of 2^62 bytes",
            (1u64 << 62).to_le_bytes().to_vec(),
            "claims a header of 4611686018427387904 bytes",
        ),
        ("a cut header", good[..200].to_vec(), "claims a header"),
        (
            "cut data",
            good[..good.len() - 1].to_vec(),
            "tensor model.layers.1.mlp.down_proj.weight: its data ends at byte",
        ),
        ("no JSON", with_header("nonsense", &[]), "not valid JSON"),
        ("a nesting bomb", with_header(&"{\"a\":".repeat(50_000), &[]), "not valid JSON"),
        ("a list", with_header("[]", &[]), "not valid JSON"),
        ("a negative dimension", one("[-1]", "[0, 4]"), "tensor x.y"),
        ("a dimension of 2^64", one("[18446744073709551616]", "[0, 4]"), "tensor x.y"),
        ("an overflowing shape", one("[4294967296, 4294967296, 4]", "[0, 4]"), "tensor x.y: shape"),
        ("backward offsets", one("[1]", "[8, 4]"), "tensor x.y: its data ends before"),
        (
            "an offset at the end of the world",
            one("[1]", "[18446744073709551611, 18446744073709551615]"),
            "tensor x.y: its data ends at byte 18446744073709551615",
        ),
        ("offsets past the data", one("[1]", "[16, 20]"), "tensor x.y: its data ends at byte"),
        (
            "a size that does not fit",
            one("[3]", "[0, 16]"),
            "tensor x.y: shape [3] in F32 takes 12 bytes, but 16",
        ),
        (
            "overlapping tensors",
            two(["a", "b"], ["[0, 8]", "[4, 12]"]),
            "tensor b: its data overlaps tensor a's",
        ),
        ("a repeated name", two(["a", "a"], ["[0, 8]", "[8, 16]"]), "tensor a: is listed twice"),
        ("a repeated tensor", two(["a", "a"], ["[0, 8]", "[0, 8]"]), "tensor a: is listed twice"),
        (
            "a hole between tensors",
            with_header(
                r#"{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                    "b": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}"#,
                &[0; 16],
            ),
            "tensor b: no tensor has the 4 bytes before its data",
        ),
        (
            "a hole before the first tensor",
            one("[2]", "[8, 16]"),
            "tensor x.y: no tensor has the 8 bytes before its data",
        ),
        (
            "bytes that no tensor has",
            one("[2]", "[0, 8]"),
            "has 8 bytes after those of its tensors",
        ),
        (
            "an unknown type",
            with_header(
                r#"{"x.y": {"dtype": "Q9", "shape": [4], "data_offsets": [0, 16]}}"#,
                &[0; 16],
            ),
            "tensor x.y: unknown variant `Q9`",
        ),
        (
            "a type of half bytes",
            with_header(r#"{"x.y": {"dtype": "F4", "shape": [3], "data_offsets": [0, 1]}}"#, &[0]),
            "tensor x.y: shape [3] in F4 takes 2 bytes, but 1",
        ),
        (
            "a size that does not fit, in a type that models do not have",
            with_header(
                r#"{"x.y": {"dtype": "I64", "shape": [1], "data_offsets": [0, 4]}}"#,
                &[0; 4],
            ),
            "tensor x.y: shape [1] in I64 takes 8 bytes, but 4",
        ),
        (
            "words that are no strings",
            with_header(r#"{"__metadata__": {"format": 1}}"#, &[]),
            "__metadata__: invalid type",
        ),
        (
            "words twice",
            with_header(r#"{"__metadata__": {}, "__metadata__": {}}"#, &[]),
            "duplicate field `__metadata__`",
        ),
    ];
    let folder = folder(&llama_config(), &[]);
    for (what, bytes, expected) in cases {
        write(folder.path(), "model.safetensors", bytes);
        let error = refusal(folder.path());
        assert!(error.contains(expected), "{what}: {error}");
        assert!(error.contains("model.safetensors"), "{what}: {error}");
    }
}

#[test]
fn every_flipped_byte_of_a_safetensors_header_is_survived() {
    let good = safetensors(&llama_tensors("model."));
    let folder = folder(&llama_config(), &[]);
    let header = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let mut refused = 0;
    for at in 0..8 + header {
        for flip in [0xff, 0x80, 0x01] {
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            write(folder.path(), "model.safetensors", &bytes);
            match Checkpoint::open(folder.path()) {
                Ok(model) => drop(model.matrix(Param::Q, 0).map(|matrix| matrix.values(0..8))),
                Err(_) => refused += 1,
            }
        }
    }
    // Spaces, and the names of tensors that the model does not need, may change.
    assert!(refused > 2 * header, "{refused} of {} were refused", 3 * header);
}
