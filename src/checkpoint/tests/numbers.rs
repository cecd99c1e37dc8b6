//! Numbers that no f32 holds, by themselves or in what follows from them, are refused by key.

use serde_json::json;

use super::folders::{llama_config, llama_tensors};
use super::gguf::llama;
use super::llamas::with;
use super::{Meta, counting, folder, refusal, write};
use crate::checkpoint::Checkpoint;

/// How a Llama with these changes is refused.
fn refused(changes: &str) -> String {
    let folder = folder(&llama_config(), &llama_tensors("model."));
    let config = llama_config().to_string();
    // Written as text, since JSON proper holds none of these numbers.
    let text = config.replacen('{', &format!("{{{changes}, "), 1);
    write(folder.path(), "config.json", text);
    refusal(folder.path())
}

#[test]
fn numbers_that_f32_does_not_hold_are_refused_by_field() {
    for (changes, expected) in [
        (
            r#""rms_norm_eps": NaN"#,
            "rms_norm_eps must be a number above 0 and within f32, but is NaN",
        ),
        (
            r#""rms_norm_eps": Infinity"#,
            "rms_norm_eps must be a number above 0 and within f32, but is Inf",
        ),
        (
            r#""rms_norm_eps": 1e-60"#,
            "rms_norm_eps must be a number above 0 and within f32, but is 1",
        ),
        (r#""rms_norm_eps": {"__float__": "NaN"}"#, "rms_norm_eps must be a number above 0"),
        (r#""rope_theta": 1e39"#, "rope_theta must be a number above 0 and within f32, but is 1e"),
        (
            r#""rope_theta": 1e400"#,
            "rope_theta must be a number above 0 and within f32, but is Infinity",
        ),
        (
            r#""rope_parameters": {"rope_theta": NaN}"#,
            "rope_parameters.rope_theta must be a number",
        ),
        (r#""head_dim": Infinity"#, "head_dim must be a whole number"),
        (
            r#""rope_scaling": {"rope_type": "linear", "factor": -Infinity}"#,
            "rope_scaling.factor must be a number above 0 and within f32, but is -Infinity",
        ),
        (
            r#""rope_scaling": {"rope_type": "yarn", "factor": 4, "mscale": 1e300, "mscale_all_dim": 1e-300}"#,
            "rope_scaling.mscale must be a number above 0 and within f32, but is 1e",
        ),
        (
            r#""rope_scaling": {"rope_type": "yarn", "factor": 4, "beta_fast": 1e200}"#,
            "rope_scaling.beta_fast must be a number above 0 and within f32",
        ),
    ] {
        let error = refused(changes);
        assert!(error.contains("config.json") && error.contains(expected), "{changes}: {error}");
    }
}

#[test]
fn rotations_that_f32_does_not_hold_are_refused_by_field() {
    for (changes, expected) in [
        // Each number is a good one.
        (
            json!({"rope_scaling": {"rope_type": "yarn", "factor": 1e9, "mscale": 1e30, "mscale_all_dim": 1e-30}}),
            "rope_scaling scales rotated queries and keys by",
        ),
        (
            json!({"rope_scaling": {"rope_type": "yarn", "factor": 4, "attention_factor": 1e30}}),
            "rope_scaling scales rotated queries and keys by",
        ),
        (
            json!({"rope_scaling": {"rope_type": "linear", "factor": 1e-38}}),
            "rope_scaling rotates pair 0 by",
        ),
        (
            json!({"rope_theta": 1e-38, "max_position_embeddings": 2_000_000_000, "partial_rotary_factor": 1}),
            "",
        ),
    ] {
        let folder = folder(&with(llama_config(), changes.clone()), &llama_tensors("model."));
        match Checkpoint::open(folder.path()) {
            Ok(_) => assert_eq!(expected, "", "{changes}"),
            Err(error) => {
                let error = error.to_string();
                assert!(!expected.is_empty() && error.contains(expected), "{changes}: {error}");
            }
        }
    }
}

#[test]
fn numbers_that_nobody_needs_stop_nobody() {
    let folder = folder(&llama_config(), &llama_tensors("model."));
    let config = llama_config().to_string();
    let more = r#"{"time_step_limit": [0.0, Infinity], "a": -Infinity, "b": NaN, "c": 1e999, "#;
    write(folder.path(), "config.json", config.replacen('{', more, 1));
    write(folder.path(), "generation_config.json", r#"{"eos_token_id": [3], "penalty": NaN}"#);
    let model = Checkpoint::open(folder.path()).unwrap();
    assert_eq!((model.config().width, &model.config().eos[..]), (8, &[3][..]));
    assert!(model.warnings().is_empty(), "{:?}", model.warnings());
}

#[test]
fn gguf_numbers_that_f32_does_not_hold_are_refused_by_key() {
    for (file, expected) in [
        (
            llama().with("llama.rope.freq_base", Meta::F32(f32::NAN)),
            "llama.rope.freq_base must be a number above 0 and within f32, but is NaN",
        ),
        (
            llama().with("llama.rope.freq_base", Meta::F32(f32::INFINITY)),
            "llama.rope.freq_base must be a number above 0 and within f32, but is Infinity",
        ),
        (
            llama().with("llama.rope.scaling.factor", Meta::F32(f32::NAN)),
            "llama.rope.scaling.factor must be a number above 0 and within f32, but is NaN",
        ),
        (
            llama().with("llama.rope.scaling.factor", Meta::F32(1e-38)),
            "llama.rope.scaling.factor rotates pair 0 by",
        ),
        (
            llama().with("llama.block_count", Meta::F32(f32::NAN)),
            "llama.block_count must be a whole number from 1 to 2147483647, but is NaN",
        ),
        (
            llama()
                .with("llama.rope.scaling.type", Meta::Text("yarn"))
                .with("llama.rope.scaling.factor", Meta::F32(4.0))
                .with("llama.rope.scaling.attn_factor", Meta::F32(1e30)),
            "llama.rope.scaling.factor scales rotated queries and keys by",
        ),
    ] {
        let (_folder, path) = file.save();
        let error = refusal(&path);
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let mut tiny = counting("rope_freqs.weight", &[8], 1);
    tiny.bytes[..4].copy_from_slice(&1e-40_f32.to_le_bytes());
    let (_folder, path) = llama().with_tensor(tiny).save();
    assert!(refusal(&path).contains("tensor rope_freqs.weight: rotates pair 0 by"));
    let scores = llama()
        .with("tokenizer.ggml.model", Meta::Text("llama"))
        .with("tokenizer.ggml.scores", Meta::F32s(vec![0.0, f32::NAN, 0.0]));
    let (_folder, path) = scores.save();
    let error = Checkpoint::open(&path).unwrap().sentence_piece().unwrap_err().to_string();
    assert!(error.contains("tokenizer.ggml.scores holds NaN for token 1"), "{error}");
}

#[test]
fn what_is_no_number_or_text_stops_nobody_who_does_not_need_it() {
    let file = llama()
        .with("general.score", Meta::F32(f32::NAN))
        .with("general.author", Meta::Raw(b"caf\xe9"))
        .with("tokenizer.chat_template", Meta::Raw(b"{{ \xff }}"));
    let (_folder, path) = file.save();
    let model = Checkpoint::open(&path).unwrap();
    assert_eq!((model.config().width, model.chat_template()), (32, None));
    let [note] = model.warnings() else { panic!("{:?}", model.warnings()) };
    assert!(note.contains("tokenizer.chat_template text that is not UTF-8 is not used"), "{note}");
    let (_folder, path) = llama().with("general.architecture", Meta::Raw(b"\xff")).save();
    let error = refusal(&path);
    assert!(error.contains("must be a string, but is text that is not UTF-8"), "{error}");
}
