//! GGUF files: tiny ones, and a real one.

use std::path::Path;

use super::{Gguf, Meta, Tensor, counting, refusal};
use crate::checkpoint::{Checkpoint, Param, dequantize, quantize};
use crate::config::{Config, LayerKind, Mlp, Nonlinearity, Norm, Position, Rope, RopeScaling};
use crate::format::Format;
use crate::tokenizer::{Encode, Tokenizer};

/// A Llama of one layer: C 32, H 2, K 1, D 16, F 32, V 3, with a quantized query projection.
pub(super) fn llama() -> Gguf {
    let quantized: Vec<f32> = (0..32 * 32).map(|i| (i / 32) as f32).collect();
    let query = Tensor {
        name: "blk.0.attn_q.weight".to_owned(),
        shape: vec![32, 32],
        kind: "Q8_0",
        bytes: quantize(Format::Q8_0, &quantized).unwrap(),
    };
    Gguf {
        version: 3,
        pairs: vec![
            ("general.architecture", Meta::Text("llama")),
            ("llama.block_count", Meta::U32(1)),
            ("llama.context_length", Meta::U32(64)),
            ("llama.embedding_length", Meta::U32(32)),
            ("llama.feed_forward_length", Meta::U32(32)),
            ("llama.attention.head_count", Meta::U32(2)),
            ("llama.attention.head_count_kv", Meta::U32(1)),
            ("llama.attention.layer_norm_rms_epsilon", Meta::F32(0.5)),
            ("tokenizer.ggml.model", Meta::Text("gpt2")),
            ("tokenizer.ggml.pre", Meta::Text("smollm")),
            ("tokenizer.ggml.tokens", Meta::Texts(vec!["a", "Ġb", "<end>"])),
            ("tokenizer.ggml.token_type", Meta::U32s(vec![1, 1, 3])),
            ("tokenizer.ggml.merges", Meta::Texts(vec!["Ġ b"])),
            ("tokenizer.ggml.bos_token_id", Meta::U32(1)),
            ("tokenizer.ggml.eos_token_id", Meta::U32(2)),
            ("tokenizer.chat_template", Meta::Text("{{ x }}")),
        ],
        tensors: vec![
            counting("token_embd.weight", &[3, 32], 0),
            counting("output_norm.weight", &[32], 0),
            counting("blk.0.attn_norm.weight", &[32], 0),
            query,
            counting("blk.0.attn_k.weight", &[16, 32], 0),
            counting("blk.0.attn_v.weight", &[16, 32], 0),
            counting("blk.0.attn_output.weight", &[32, 32], 0),
            counting("blk.0.ffn_norm.weight", &[32], 0),
            counting("blk.0.ffn_gate.weight", &[32, 32], 0),
            counting("blk.0.ffn_up.weight", &[32, 32], 0),
            counting("blk.0.ffn_down.weight", &[32, 32], 0),
        ],
    }
}

fn open(file: &Gguf) -> (tempfile::TempDir, Checkpoint) {
    let (folder, path) = file.save();
    (folder, Checkpoint::open(&path).unwrap())
}

/// The first value of each row.
fn first_values(model: &Checkpoint, part: Param) -> Vec<f32> {
    let matrix = model.matrix(part, 0).unwrap();
    let values = matrix.values(0..matrix.rows).unwrap();
    values.chunks(matrix.columns).map(|row| row[0]).collect()
}

#[test]
fn llamas_heads_are_put_back_in_order() {
    let (_folder, model) = open(
        &llama()
            .with_tensor(counting("blk.0.attn_q.bias", &[32], 0))
            .with_tensor(counting("blk.0.attn_k.bias", &[16], 0))
            .with_tensor(counting("blk.0.attn_v.bias", &[16], 0)),
    );
    // The value (j, i) of a head is at 2 i + j in the file, where each value is a row.
    let halves = |head: usize| (0..16).map(move |r| (16 * head + 2 * (r % 8) + r / 8) as f32);
    let expected: Vec<f32> = halves(0).chain(halves(1)).collect();
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.05);
    assert!(close(&first_values(&model, Param::Q), &expected));
    let query = model.matrix(Param::Q, 0).unwrap();
    let some = dequantize(Format::Q8_0, &query.read(13..19).unwrap());
    assert!(close(&some.chunks(32).map(|row| row[9]).collect::<Vec<_>>(), &expected[13..19]));
    let keys: Vec<f32> = halves(0).map(|row| row * 32.0).collect();
    assert_eq!(first_values(&model, Param::K), keys);
    let values: Vec<f32> = (0..16).map(|row| row as f32 * 32.0).collect();
    assert_eq!(first_values(&model, Param::V), values);
    let bias = model.matrix(Param::QBias, 0).unwrap();
    assert_eq!((bias.rows, bias.columns), (1, 32));
    assert_eq!(bias.values(0..1).unwrap(), expected);
}

#[test]
fn only_the_rotated_values_of_a_head_are_moved() {
    let (_folder, model) = open(&llama().with("llama.rope.dimension_count", Meta::U32(4)));
    let order = [0, 2, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    assert_eq!(first_values(&model, Param::K), order.map(|row| row as f32 * 32.0));
}

#[test]
fn llamas_metadata_becomes_its_configuration() {
    let (_folder, model) = open(&llama());
    let expected = Config {
        architecture: "llama".to_owned(),
        vocab: 3,
        layers: 1,
        width: 32,
        heads: 2,
        kv_heads: 1,
        head_width: 16,
        context: 64,
        norm: Norm::RmsNorm,
        norm_eps: 0.5,
        position: Position::Rope(Rope { base: 1e4, rotated: 16, scaling: RopeScaling::None }),
        mlp: Mlp::Gated { hidden: 32, function: Nonlinearity::Silu },
        kinds: vec![LayerKind::default()],
        tied_head: true,
        bos: Some(1),
        eos: vec![2],
        ..Config::default()
    };
    assert_eq!(*model.config(), expected);
    assert_eq!(model.chat_template(), Some("{{ x }}"));
    let bpe = model.bpe().unwrap().unwrap();
    assert_eq!(bpe.tokens, ["a", "Ġb", "<end>"]);
    assert_eq!((bpe.merges, bpe.kinds), (vec!["Ġ b".to_owned()], vec![1, 1, 3]));
    assert_eq!((bpe.pattern.as_str(), bpe.bos, bpe.add_bos), ("smollm", Some(1), None));
}

#[test]
fn metadata_varies() {
    let file = llama()
        .with("llama.attention.head_count_kv", Meta::U32s(vec![1]))
        .with("llama.attention.sliding_window", Meta::U32(7))
        .with("llama.rope.scaling.type", Meta::Text("linear"))
        .with("llama.rope.scaling.factor", Meta::F32(4.0))
        .with("tokenizer.ggml.eot_token_id", Meta::U32(0))
        .with("tokenizer.ggml.add_bos_token", Meta::Bool(true))
        .with_tensor(counting("output.weight", &[3, 32], 0));
    let file = Gguf { version: 2, ..file };
    let (_folder, model) = open(&file);
    let config = model.config();
    assert_eq!(
        (config.windows().as_slice(), config.eos.as_slice()),
        ([None].as_slice(), [0, 2].as_slice())
    );
    assert!(!config.tied_head && model.bpe().unwrap().unwrap().add_bos == Some(true));
    let scaling = RopeScaling::Linear { factor: 4.0 };
    assert_eq!(config.position, Position::Rope(Rope { base: 1e4, rotated: 16, scaling }));

    let (_folder, model) = open(&llama().with_tensor(counting("rope_freqs.weight", &[8], 1)));
    let scaling = RopeScaling::Factors((1..9u8).map(f32::from).collect());
    assert_eq!(model.config().position, Position::Rope(Rope { base: 1e4, rotated: 16, scaling }));

    let (_folder, model) = open(&llama().without("tokenizer.ggml.model"));
    assert!(
        model.bpe().unwrap().is_none() && Tokenizer::from_checkpoint(&model).unwrap().is_none()
    );
    let (_folder, model) = open(&llama().with("tokenizer.ggml.model", Meta::Text("t5")));
    assert!(model.bpe().unwrap_err().to_string().contains("tokenizer t5 is not supported"));
}

#[test]
fn sentence_pieces_are_read() {
    let file = llama()
        .with("tokenizer.ggml.model", Meta::Text("llama"))
        .with("tokenizer.ggml.tokens", Meta::Texts(vec!["▁", "b", "▁b"]))
        .with("tokenizer.ggml.token_type", Meta::U32s(vec![1, 1, 1]));
    let (_folder, model) = open(&file);
    let error = Tokenizer::from_checkpoint(&model).unwrap_err().to_string();
    assert!(error.contains("tokenizer.ggml.scores is missing"), "{error}");

    let file = file.with("tokenizer.ggml.scores", Meta::F32s(vec![-3.0, -2.0, -1.0]));
    let (_folder, model) = open(&file);
    let pieces = model.sentence_piece().unwrap().unwrap();
    assert!(model.bpe().unwrap().is_none());
    assert_eq!((pieces.scores, pieces.bos), (vec![-3.0, -2.0, -1.0], Some(1)));
    assert_eq!((pieces.add_bos, pieces.space_prefix), (None, true));
    let tokenizer = Tokenizer::from_checkpoint(&model).unwrap().unwrap();
    assert_eq!(tokenizer.encode("b", Encode::default()).unwrap(), [1, 2]);

    let file = file
        .with("tokenizer.ggml.add_space_prefix", Meta::Bool(false))
        .with("tokenizer.ggml.add_bos_token", Meta::Bool(false));
    let (_folder, model) = open(&file);
    let tokenizer = Tokenizer::from_checkpoint(&model).unwrap().unwrap();
    assert_eq!(tokenizer.encode("b b", Encode::default()).unwrap(), [1, 2]);

    let (_folder, model) = open(&file.with("tokenizer.ggml.scores", Meta::F32s(vec![0.0])));
    let error = Tokenizer::from_checkpoint(&model).unwrap_err().to_string();
    assert!(error.contains("tokenizer.ggml.scores has 1 entries for 3 tokens"), "{error}");
}

#[test]
fn gpt2s_joined_rows_are_split() {
    let mut file = Gguf {
        version: 3,
        pairs: vec![("general.architecture", Meta::Text("gpt2"))],
        tensors: Vec::new(),
    };
    for (key, value) in [
        ("gpt2.block_count", 1),
        ("gpt2.context_length", 5),
        ("gpt2.embedding_length", 4),
        ("gpt2.feed_forward_length", 16),
        ("gpt2.attention.head_count", 2),
    ] {
        file = file.with(key, Meta::U32(value));
    }
    file = file.with("gpt2.attention.layer_norm_epsilon", Meta::F32(1e-5));
    for (name, shape) in [
        ("token_embd.weight", [7, 4].as_slice()),
        ("position_embd.weight", &[5, 4]),
        ("output_norm.weight", &[4]),
        ("output_norm.bias", &[4]),
        ("blk.0.attn_norm.weight", &[4]),
        ("blk.0.attn_norm.bias", &[4]),
        ("blk.0.attn_qkv.weight", &[12, 4]),
        ("blk.0.attn_qkv.bias", &[12]),
        ("blk.0.attn_output.weight", &[4, 4]),
        ("blk.0.attn_output.bias", &[4]),
        ("blk.0.ffn_norm.weight", &[4]),
        ("blk.0.ffn_norm.bias", &[4]),
        ("blk.0.ffn_up.weight", &[16, 4]),
        ("blk.0.ffn_up.bias", &[16]),
        ("blk.0.ffn_down.weight", &[4, 16]),
        ("blk.0.ffn_down.bias", &[4]),
    ] {
        file = file.with_tensor(counting(name, shape, 0));
    }
    let (_folder, model) = open(&file);
    assert_eq!((model.config().vocab, model.config().context), (7, 5));
    assert_eq!(first_values(&model, Param::Q), [0.0, 4.0, 8.0, 12.0]);
    assert_eq!(first_values(&model, Param::V), [32.0, 36.0, 40.0, 44.0]);
    let bias = model.matrix(Param::KBias, 0).unwrap();
    assert_eq!(bias.values(0..1).unwrap(), [4.0, 5.0, 6.0, 7.0]);
}

#[test]
fn qwens_heads_stay_as_they_are() {
    let mut file = llama().with("general.architecture", Meta::Text("qwen3"));
    file = Gguf {
        pairs: file
            .pairs
            .into_iter()
            .map(|(key, value)| match key.strip_prefix("llama.") {
                Some(rest) => (&*Box::leak(format!("qwen3.{rest}").into_boxed_str()), value),
                None => (key, value),
            })
            .collect(),
        ..file
    };
    for name in ["blk.0.attn_q_norm.weight", "blk.0.attn_k_norm.weight"] {
        file = file.with_tensor(counting(name, &[16], 0));
    }
    let (_folder, model) = open(&file);
    assert!(model.config().qk_norm);
    let rows: Vec<f32> = (0..16).map(|row| row as f32 * 32.0).collect();
    assert_eq!(first_values(&model, Param::K), rows);
}

#[test]
fn impossible_metadata_is_refused_by_key() {
    let cases = [
        (llama().without("general.architecture"), "general.architecture is missing"),
        (
            llama().with("general.architecture", Meta::Text("rwkv")),
            "architecture rwkv is not supported; supported: gpt2,",
        ),
        (llama().without("llama.block_count"), "llama.block_count is missing"),
        (llama().with("llama.block_count", Meta::U32(u32::MAX)), "llama.block_count must be"),
        (llama().with("llama.block_count", Meta::U32(1 << 30)), "llama.block_count is 1073741824"),
        (llama().with("llama.context_length", Meta::U32(0)), "llama.context_length must be"),
        (
            llama().with("llama.attention.head_count", Meta::U32(3)),
            "llama.attention.head_count of 3",
        ),
        (
            llama().with("llama.attention.head_count_kv", Meta::U32(3)),
            "llama.attention.head_count_kv of 3",
        ),
        (
            llama().with("llama.attention.head_count", Meta::U32s(vec![2, 4])),
            "differs between layers",
        ),
        (
            llama().with("llama.attention.layer_norm_rms_epsilon", Meta::F32(f32::NAN)),
            "llama.attention.layer_norm_rms_epsilon must be a number above 0 and within f32, but is NaN",
        ),
        (llama().with("llama.rope.freq_base", Meta::F32(-1.0)), "llama.rope.freq_base must be"),
        (
            llama().with("llama.rope.dimension_count", Meta::U32(17)),
            "llama.rope.dimension_count rotates 17 of 16",
        ),
        (
            llama().with("llama.rope.scaling.type", Meta::Text("proportional")),
            "rotary scaling proportional is not supported; supported: none, linear, yarn",
        ),
        (
            llama().with("llama.attention.value_length", Meta::U32(8)),
            "llama.attention.value_length differs",
        ),
        (llama().with("llama.vocab_size", Meta::U32(4)), "token_embd.weight: its shape is [3, 32]"),
        (
            llama().with("general.alignment", Meta::U32(24)),
            "general.alignment must be a power of two",
        ),
        (llama().with_tensor(counting("rope_freqs.weight", &[8], 0)), "rope_freqs.weight: holds 0"),
        (llama().with_tensor(counting("rope_freqs.weight", &[4], 1)), "rope_freqs.weight: is [4]"),
    ];
    for (file, expected) in cases {
        let (_folder, path) = file.save();
        let error = refusal(&path);
        assert!(error.contains(expected) && error.contains("model.gguf"), "{expected}: {error}");
    }
    let (_folder, model) = open(&llama().with("tokenizer.ggml.token_type", Meta::U32s(vec![1])));
    let error = model.bpe().unwrap_err().to_string();
    assert!(error.contains("tokenizer.ggml.token_type has 1 entries for 3 tokens"), "{error}");
    let (_folder, model) = open(&llama().without("tokenizer.ggml.merges"));
    assert!(model.bpe().unwrap_err().to_string().contains("tokenizer.ggml.merges is missing"));
}

#[test]
fn smollm2_opens() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/models/SmolLM2-135M-Instruct.Q4_1.gguf");
    assert!(path.exists(), "{} is missing: run `cargo xtask models`", path.display());
    let model = Checkpoint::open(&path).unwrap();
    let expected = Config {
        architecture: "llama".to_owned(),
        vocab: 49_152,
        layers: 30,
        width: 576,
        heads: 9,
        kv_heads: 3,
        head_width: 64,
        context: 8_192,
        norm: Norm::RmsNorm,
        norm_eps: f64::from(1e-5_f32),
        position: Position::Rope(Rope { base: 1e5, rotated: 64, scaling: RopeScaling::None }),
        mlp: Mlp::Gated { hidden: 1_536, function: Nonlinearity::Silu },
        kinds: vec![LayerKind::default(); 30],
        tied_head: true,
        bos: Some(1),
        eos: vec![2],
        ..Config::default()
    };
    assert_eq!(*model.config(), expected);
    let embed = model.matrix(Param::Embed, 0).unwrap();
    assert_eq!((embed.format, embed.rows, embed.columns), (Format::Q8_0, 49_152, 576));
    assert_eq!(embed.read(0..embed.rows).unwrap().len(), 30_081_024);
    for layer in [0, 29] {
        for (part, rows, columns) in
            [(Param::Q, 576, 576), (Param::K, 192, 576), (Param::Down, 576, 1_536)]
        {
            let matrix = model.matrix(part, layer).unwrap();
            assert_eq!((matrix.format, matrix.rows, matrix.columns), (Format::Q4_1, rows, columns));
            let values = matrix.values(0..rows).unwrap();
            let square: f32 = values.iter().map(|x| x * x).sum();
            let root = (square / values.len() as f32).sqrt();
            assert!((0.01..1.0).contains(&root), "{part:?} of layer {layer}: {root}");
        }
    }
    let bpe = model.bpe().unwrap().unwrap();
    assert_eq!((bpe.tokens.len(), bpe.merges.len(), bpe.kinds.len()), (49_152, 48_900, 49_152));
    assert_eq!((bpe.tokens[2].as_str(), bpe.kinds[2], bpe.add_bos), ("<|im_end|>", 3, Some(false)));
    assert!(model.chat_template().unwrap().contains("<|im_start|>"));
}
