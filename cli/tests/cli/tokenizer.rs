//! Tokenizers that the program learns, and then reads.

use std::path::Path;

use super::{failure, json, pellucid};

#[test]
fn what_is_learned_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(place("text"), "low low low lower newest newest<|end|>low\n").unwrap();
    let train = |output: &str, options: &[&str]| {
        let output = place(output);
        let mut command = pellucid(&["tokenizer", "train", "--json", "-o", &output]);
        json(&command.arg(place("text")).args(options).output().unwrap())
    };
    let options = ["--vocab-size", "260", "--special-token", "<|end|>"];
    let found = train("a/tokenizer.json", &options);
    assert_eq!((&found["vocab_size"], &found["bytes"]), (&260.into(), &42.into()));
    train("b.json", &["--vocab-size", "260", "--special-token", "<|end|>"]);
    let read = |name: &str| std::fs::read(place(name)).unwrap();
    assert_eq!(read("a/tokenizer.json"), read("b.json"), "the same texts, the same file");
    let tokenize = |file: &str, text: &str| {
        let mut command = pellucid(&["tokenize", "--json", "--model"]);
        json(&command.arg(place(file)).arg(text).output().unwrap())
    };
    // l o, lo w and Ġ low are the most frequent.
    assert_eq!(tokenize("a", "low low!")["tokens"], serde_json::json!(["low", "Ġlow", "!"]));
    train("characters.json", &["--kind", "characters"]);
    let ids = tokenize("characters.json", "wolt")["ids"].as_array().unwrap().len();
    assert_eq!(ids, 4);
    assert_eq!(train("bytes.json", &["--kind", "bytes"])["vocab_size"], 256);
}

#[test]
fn what_cannot_be_learned_is_told_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    std::fs::write(place("text"), b"\xff").unwrap();
    let train = |file: &Path, options: &[&str]| {
        let mut command = pellucid(&["tokenizer", "train", "-o"]);
        command.arg(place("out.json")).arg(file).args(options).output().unwrap()
    };
    for (file, options, reason) in [
        (place("none"), ["--vocab-size", "300"], "none"),
        (place("text"), ["--vocab-size", "300"], "not UTF-8 at byte 0"),
        (place("text"), ["--vocab-size", "200"], "256"),
        (place("text"), ["--vocab-size", "18446744073709551615"], "the most is 16777216"),
    ] {
        let told = failure(&train(&file, &options));
        assert!(told.contains(reason), "{told}");
        assert!(!place("out.json").exists(), "nothing is written");
    }
    let told = failure(&train(&place("text"), &["--kind", "bytes", "--vocab-size", "300"]));
    assert!(told.contains("--vocab-size"), "{told}");
    std::fs::write(place("out.json"), "a text").unwrap();
    let told = failure(&train(&place("out.json"), &["--kind", "bytes"]));
    assert!(told.contains("is one of the texts"), "{told}");
    assert_eq!(std::fs::read(place("out.json")).unwrap(), b"a text");
    let told = failure(&train(&place("text"), &[]));
    assert!(told.contains("--vocab-size"), "{told}");
}
