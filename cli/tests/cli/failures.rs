//! How failures end: an exit code, and one sentence that names what is at fault.

use crate::{failure, on_cpu, pellucid, stderr, usage_error, with_input};

#[test]
fn failures_are_one_sentence_that_names_what_is_at_fault() {
    let sentence = |args: &[&str]| failure(&on_cpu("gpt2", args));
    for (args, names) in [
        (&["generate", "--tokens", "501"][..], "token 501 is outside the vocabulary of 501"),
        (&["generate", "some text"], "no tokenizer; give token ids with --tokens"),
        (&["generate", "--tokens", "1", "--context", "38"], "the context must be from 1 to"),
        (
            &["generate", "--tokens", "1,2,3", "--context", "2"],
            "shorten the text or raise --context",
        ),
        (&["generate", "--tokens", "1", "--temperature", "-1"], "temperature must be 0 or more"),
        (&["generate", "--tokens", "1", "--top-p", "0"], "top-p must be above 0"),
        (&["generate", "--tokens", "1", "--logprobs", "502"], "--logprobs 502 is more than"),
        (&["generate", "--tokens", "1", "--adapter", "0"], "--adapter names a GPU"),
        (&["score", "--tokens", "1,2,3", "--context", "2"], "3 tokens do not fit"),
        (&["score", "--tokens", "1,2", "--top", "502"], "--top 502 is more than"),
        (&["score", "no/such/file.txt"], "no/such/file.txt"),
    ] {
        let found = sentence(args);
        assert!(found.contains(names), "{args:?}: {found}");
    }
    let output = |args: &[&str]| failure(&pellucid(args).output().unwrap());
    let found = output(&["generate", "--tokens", "1024", "--backend", "cpu"]);
    assert!(found.contains("token 1024 is outside the vocabulary of 1024"), "{found}");
    let found = output(&["generate", "--tokens", "1", "--model", "no/such/folder/model.gguf"]);
    assert!(found.starts_with("no/such/folder/model.gguf: "), "{found}");
    let found = output(&["score", "--tokens", "1,2", "--model", "an-owner/a-model"]);
    assert!(found.starts_with("an-owner/a-model is not in the cache "), "{found}");
}

#[test]
fn wrong_usage_ends_with_two() {
    for (args, names) in [
        (&["generate"][..], "PROMPT"),
        (&["generate", "text", "--tokens", "1"], "cannot be used with"),
        (&["generate", "--tokens", "1,x"], "\"x\" is not a token id"),
        (&["generate", "--tokens", ""], "there are no token ids"),
        (&["generate", "--tokens", "1", "--backend", "cuda"], "vulkan"),
        (&["generate", "--tokens", "1", "--max-new-tokens", "many"], "--max-new-tokens"),
        (&["generate", "--tokens", "1", "--quantize", "q2"], "q8_0"),
        (&["score", "--tokens", "1", "--top", "0"], "--top"),
        (&["bench", "--only", "everything"], "tg64_context_4096"),
        (&["paint"], "paint"),
    ] {
        let found = usage_error(&pellucid(args).output().unwrap());
        assert!(found.contains(names), "{args:?}: {found}");
    }
}

#[test]
fn a_file_that_is_no_text_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("song.txt");
    std::fs::write(&path, b"la la \xff la").unwrap();
    let found = failure(&on_cpu("gpt2", &["score", path.to_str().unwrap()]));
    assert!(found.contains("song.txt") && found.contains("UTF-8 at byte 6"), "{found}");
}

#[test]
fn emptiness_is_refused_before_a_model_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.txt");
    std::fs::write(&empty, "").unwrap();
    let empty = empty.to_str().unwrap();
    let sentence = |args: &[&str]| {
        let output = with_input(pellucid(args), b"");
        assert!(!stderr(&output).contains("loading"), "{}", stderr(&output));
        failure(&output)
    };
    for args in [
        &["generate", ""][..],
        &["generate", "-"],
        &["generate", "--prompt-file", empty],
        &["generate", "", "--no-bos"],
    ] {
        assert_eq!(sentence(args), "the prompt is empty: give some text to continue", "{args:?}");
    }
    assert!(sentence(&["score", empty]).ends_with("empty.txt: holds no text to score"));
    assert_eq!(sentence(&["score", "-"]), "standard input: holds no text to score");
    assert_eq!(sentence(&["generate", "--tokens", "-"]), "standard input: holds no token ids");
}
