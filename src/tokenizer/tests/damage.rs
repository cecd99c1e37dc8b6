//! Damaged files give errors that name the file and say what is wrong; none crashes the program.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Dice;
use super::json::{byte_level, pieces};
use crate::tokenizer::{Encode, Tokenizer};

/// A file of its own folder, which lives as long as the returned guard.
fn file(name: &str, content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    (folder, path)
}

/// The message of a tokenizer.json that cannot be read.
fn refusal(content: &[u8]) -> String {
    let (_folder, path) = file("tokenizer.json", content);
    let message = Tokenizer::from_json(&path).unwrap_err().to_string();
    assert!(message.starts_with(&path.display().to_string()), "{message}");
    message
}

#[test]
fn damaged_json_is_refused() {
    assert!(refusal(b"\xff\xfe").contains("not UTF-8 at byte 0"));
    assert!(refusal(b"{").contains("not valid JSON"));
    assert!(refusal(b"[]").contains("not a JSON object"));
    assert!(refusal(b"{}").contains("not a tokenizer"));
    let whole = byte_level().to_string();
    for end in (0..whole.len()).filter(|&end| whole.is_char_boundary(end)) {
        refusal(&whole.as_bytes()[..end]);
    }
}

#[test]
fn contradictory_json_is_refused() {
    for (pointer, value, expected) in [
        ("/model/merges/0", json!("a c"), "not a tokenizer"),
        ("/model/merges/0", json!("ab"), "not a tokenizer"),
        ("/model/vocab/a", json!(-1), "not a tokenizer"),
        ("/model/continuing_subword_prefix", json!("####"), "does not continue with \"####\""),
        ("/model/type", json!("Hidden"), "not a tokenizer"),
        ("/decoder/type", json!("CTC"), "decoder \"CTC\" is not supported"),
        ("/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "A"}), "Precompiled"),
        ("/post_processor/processors/1/special_tokens", json!({}), "\"<s>\" has no ids"),
        ("/post_processor/type", json!("Magic"), "post-processor \"Magic\" is not supported"),
        (
            "/pre_tokenizer",
            json!({"type": "Split", "pattern": {"Regex": "("},
            "behavior": "Isolated", "invert": false}),
            "pre_tokenizer: \"(\": Parsing error",
        ),
    ] {
        let mut content = byte_level();
        *content.pointer_mut(pointer).unwrap() = value;
        let message = refusal(content.to_string().as_bytes());
        assert!(message.contains(expected), "{pointer}: {message}");
    }
}

/// Whatever replaces a value, loading and encoding return.
#[test]
fn no_single_change_ends_the_program() {
    let mut dice = Dice(4);
    let others = [
        json!(null),
        json!(0),
        json!(-1),
        json!(u32::MAX),
        json!(""),
        json!("a"),
        json!([]),
        json!({}),
        json!([["a", "b"]]),
        json!(true),
        json!(1e300),
    ];
    for round in 0..3000 {
        let mut content = if round % 2 == 0 { byte_level() } else { pieces() };
        let mut value = &mut content;
        loop {
            // Walk down a random path, and stop at a random depth.
            let length = match &*value {
                Value::Array(items) => items.len(),
                Value::Object(fields) => fields.len(),
                _ => 0,
            };
            if length == 0 || dice.roll(5) == 0 {
                break;
            }
            let at = dice.roll(length);
            value = match value {
                Value::Array(items) => &mut items[at],
                Value::Object(fields) => fields.values_mut().nth(at).unwrap(),
                _ => break,
            };
        }
        *value = others[dice.roll(others.len())].clone();
        let (_folder, path) = file("tokenizer.json", content.to_string().as_bytes());
        if let Ok(tokenizer) = Tokenizer::from_json(&path) {
            let found = tokenizer.encode("ab ab <s> abba", Encode::default()).unwrap_or_default();
            tokenizer.decode(&found);
            tokenizer.decode(&[0, 5, u32::MAX]);
        }
    }
}

#[test]
fn damaged_vocabularies_and_merges_are_refused() {
    for (vocab, merges, at_fault, expected) in [
        ("{", "", "vocab.json", "not a map from token to id"),
        (r#"{"a": -1}"#, "", "vocab.json", "not a map from token to id"),
        (r#"{"a": 0, "b": 0}"#, "", "vocab.json", "share the id 0"),
        (r#"{"a": 0}"#, "#version: 0.2\n\na b\n", "merges.txt", "line 3: \"b\" is not in"),
        (r#"{"a": 0, "b": 1}"#, "a b\n", "merges.txt", "line 1: \"ab\" is not in"),
        (r#"{"a": 0}"#, "aa\n", "merges.txt", "line 1: \"aa\" is not two tokens"),
        (r#"{"a": 0}"#, "a  a\n", "merges.txt", "is not two tokens"),
    ] {
        let (folder, vocab) = file("vocab.json", vocab.as_bytes());
        let path = folder.path().join("merges.txt");
        fs::write(&path, merges).unwrap();
        let message = Tokenizer::from_vocab_and_merges(&vocab, &path).unwrap_err().to_string();
        assert!(message.contains(at_fault) && message.contains(expected), "{message}");
    }
}
