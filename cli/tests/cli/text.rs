//! Text in and out: tokenizers, standard input, streaming.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::{failure, json, model, pellucid, stderr, with_input};

/// A tokenizer with a token for each byte of ASCII, and one special token after them.
fn byte_tokenizer(folder: &Path) {
    // GPT-2's spelling: printable bytes are themselves, the others follow from U+0100 on.
    let spelt = |byte: u8| match byte {
        b'!'..=b'~' => char::from(byte),
        0..=b' ' => char::from_u32(0x100 + u32::from(byte)).unwrap(),
        _ => char::from_u32(0x100 + 33).unwrap(),
    };
    let vocab: serde_json::Map<String, Value> =
        (0..=127).map(|byte| (spelt(byte).to_string(), Value::from(byte))).collect();
    let tokenizer = serde_json::json!({
        "version": "1.0",
        "added_tokens": [{
            "id": 128, "content": "<end>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true
        }],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocab, "merges": []}
    });
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
}

/// A golden model with a tokenizer beside it.
fn model_with_text(folder: &Path) -> PathBuf {
    for item in model("llama").read_dir().unwrap() {
        let path = item.unwrap().path();
        std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    byte_tokenizer(folder);
    folder.to_path_buf()
}

#[test]
fn tokenize_needs_only_a_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    byte_tokenizer(folder.path());
    let tokenize = |args: &[&str], path: &Path| {
        let mut command = pellucid(&["tokenize", "--json"]);
        command.args(args).arg("--model").arg(path).output().unwrap()
    };
    let found = json(&tokenize(&["a b"], folder.path()));
    assert_eq!(found["ids"], serde_json::json!([97, 32, 98]));
    assert_eq!(found["tokens"], serde_json::json!(["a", "Ġ", "b"]));
    let file = folder.path().join("tokenizer.json");
    assert_eq!(json(&tokenize(&["a b"], &file)), found);
    let special = json(&tokenize(&["<end>", "--special"], folder.path()));
    assert_eq!(special["ids"], serde_json::json!([128]));
    assert_eq!(json(&tokenize(&["<end>"], folder.path()))["ids"].as_array().unwrap().len(), 5);

    let mut command = pellucid(&["tokenize", "-", "--model"]);
    command.arg(folder.path());
    let table = with_input(command, b"hi");
    assert_eq!(String::from_utf8(table.stdout).unwrap(), "   104  h\n   105  i\n");
    let found = failure(&tokenize(&["a"], &model("gpt2")));
    assert!(found.contains("has no tokenizer"), "{found}");
}

#[test]
fn prompts_are_read_alike_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = model_with_text(folder.path());
    let run = |args: &[&str]| {
        let mut command = pellucid(args);
        command.args(["--json", "--backend", "cpu", "--model"]).arg(&path);
        command
    };
    let given = json(&run(&["generate", "ab", "--max-new-tokens", "3"]).output().unwrap());
    let piped = run(&["generate", "-", "--max-new-tokens", "3"]);
    let piped = json(&with_input(piped, b"ab"));
    assert_eq!(given["prompt_tokens"], serde_json::json!([97, 98]));
    assert!(given["text"].is_string());
    assert_eq!((&given["tokens"], &given["text"]), (&piped["tokens"], &piped["text"]));
    assert_eq!(json(&with_input(run(&["score", "-"]), b"ab"))["tokens"], given["prompt_tokens"]);

    // The context is 37: a text is scored in windows, ids are not.
    let long = "abcdefgh".repeat(10);
    let file = path.join("long.txt");
    std::fs::write(&file, &long).unwrap();
    let found = json(&run(&["score", file.to_str().unwrap(), "--top", "1"]).output().unwrap());
    assert_eq!(found["logprobs"].as_array().unwrap().len(), 79);
    assert_eq!(found["top"].as_array().unwrap().len(), 80);
    assert!(failure(&run(&["generate", &long]).output().unwrap()).contains("80 tokens do not fit"));

    let found = failure(&run(&["generate", ""]).output().unwrap());
    assert!(found.contains("the prompt is empty"), "{found}");
    let found = failure(&with_input(run(&["generate", "-"]), b"\xff"));
    assert!(found.starts_with("standard input: "), "{found}");
    std::fs::write(&file, "").unwrap();
    let found = failure(&run(&["score", file.to_str().unwrap()]).output().unwrap());
    assert!(found.contains("long.txt: holds no text"), "{found}");
}

#[test]
fn text_streams_and_a_reader_may_leave() {
    let folder = tempfile::tempdir().unwrap();
    let path = model_with_text(folder.path());
    let mut command = pellucid(&["generate", "ab", "--ignore-eos", "--backend", "cpu", "--model"]);
    command.arg(&path).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
}
