//! Tokenizers from tokenizer.json and from folders.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::ids;
use crate::tokenizer::{Bos, Encode, Special, Tokenizer};

/// A byte-level tokenizer.json of a few tokens, with everything that must not be applied.
pub(super) fn byte_level() -> Value {
    json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>"},
        "added_tokens": [added(5, "<s>", true), added(6, "</s>", true), added(7, "ab ab", false)],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
            "use_regex": true},
        "post_processor": {"type": "Sequence", "processors": [
            {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true},
            {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                    {"Sequence": {"id": "A", "type_id": 0}},
                    {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                "pair": [],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [5], "tokens": ["<s>"]},
                    "</s>": {"id": "</s>", "ids": [6], "tokens": ["</s>"]}}}]},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
            "use_regex": true},
        "model": {"type": "BPE", "dropout": 0.9, "unk_token": null,
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
            "byte_fallback": false, "ignore_merges": false,
            "vocab": {"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ġab": 4}, "merges": [["a", "b"], ["Ġ", "ab"]]}
    })
}

pub(super) fn added(id: u32, content: &str, special: bool) -> Value {
    json!({"id": id, "content": content, "special": special, "single_word": false,
        "lstrip": false, "rstrip": false, "normalized": false})
}

/// A SentencePiece-style tokenizer.json, with Llama 2's normalizer and decoder.
pub(super) fn pieces() -> Value {
    let mut vocab =
        json!({"<unk>": 0, "<s>": 1, "▁": 2, "a": 3, "b": 4, "▁a": 5, "▁b": 6, "ab": 7});
    for (id, byte) in [0xe2, 0x82, 0xac].into_iter().enumerate() {
        vocab[format!("<0x{byte:02X}>")] = json!(id + 8);
    }
    json!({
        "version": "1.0",
        "added_tokens": [added(0, "<unk>", true), added(1, "<s>", true)],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": null,
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "fuse_unk": true,
            "byte_fallback": true, "vocab": vocab, "merges": ["▁ a", "▁ b", "a b"]}
    })
}

/// Writes `content` where a folder keeps its tokenizer, and reads it back.
pub(super) fn load(content: &Value) -> crate::error::Result<Tokenizer> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tokenizer.json"), content.to_string()).unwrap();
    Tokenizer::from_folder(folder.path()).map(Option::unwrap)
}

#[test]
fn the_template_opens_a_text_and_nothing_else_is_applied() {
    let tokenizer = load(&byte_level()).unwrap();
    assert_eq!(ids(&tokenizer, "ab  abab"), [5, 3, 2, 4, 3]);
    assert_eq!(ids(&tokenizer, ""), [5]);
    let never = Encode { bos: Bos::Never, ..Encode::default() };
    assert_eq!(tokenizer.encode("ab", never).unwrap(), [3]);
    assert_eq!(tokenizer.vocab_size(), 8);
}

#[test]
fn added_tokens_are_recognized_and_special_ones_on_request() {
    let mut content = byte_level();
    for (id, token) in ["<", "s", ">"].into_iter().enumerate() {
        content["model"]["vocab"][token] = json!(5 + id);
        content["added_tokens"][id]["id"] = json!(8 + id);
    }
    let tokenizer = load(&content).unwrap();
    let never = Encode { bos: Bos::Never, ..Encode::default() };
    let recognize = Encode { special: Special::Recognize, ..never };
    let text = "<s>ab abab";
    assert_eq!(tokenizer.encode(text, never).unwrap(), [5, 6, 7, 10, 3]);
    assert_eq!(tokenizer.encode(text, recognize).unwrap(), [8, 10, 3]);
    assert_eq!(tokenizer.decode(&[8, 10, 3]), text);
}

#[test]
fn pieces_encode_and_decode() {
    let tokenizer = load(&pieces()).unwrap();
    assert_eq!(ids(&tokenizer, "a bab"), [1, 5, 6, 7]);
    assert_eq!(ids(&tokenizer, "€x"), [1, 2, 8, 9, 10, 0]);
    assert_eq!(tokenizer.decode(&[5, 6, 7, 8, 9, 10]), "a bab€");
    assert_eq!(tokenizer.decode(&[1, 5, 6]), "<s> a b");
    assert_eq!(tokenizer.decode(&[2, 5, 8, 9, 3]), " a\u{fffd}a");
    assert_eq!(tokenizer.token_bytes(9), Some(vec![0x82]));
    assert_eq!(tokenizer.token_bytes(5), Some(b" a".to_vec()));

    let mut stream = tokenizer.stream();
    assert_eq!([5, 8, 9, 10, 6].map(|id| stream.push(id)), ["a", "", "", "€", " b"]);
    let mut stream = tokenizer.stream_continued();
    assert_eq!([5, 8].map(|id| stream.push(id)), [" a", ""]);
    assert_eq!(stream.finish(), "\u{fffd}");
}

#[test]
fn metaspace_strips_as_its_scheme_says() {
    let mut content = pieces();
    for (scheme, expected) in [("always", "a b"), ("first", "a b"), ("never", " a b")] {
        content["decoder"] = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": true});
        assert_eq!(load(&content).unwrap().decode(&[5, 6]), expected);
    }
}

#[test]
fn a_missing_decoder_is_guessed_from_the_pre_tokenizer() {
    let mut content = byte_level();
    content["decoder"] = Value::Null;
    assert_eq!(load(&content).unwrap().decode(&[3, 4]), "ab ab");
    content["pre_tokenizer"] = json!({"type": "WhitespaceSplit"});
    let tokenizer = load(&content).unwrap();
    assert_eq!(tokenizer.decode(&[3, 0, 1]), "ab a b");
    let mut stream = tokenizer.stream_continued();
    assert_eq!(stream.push(3), " ab");
}

#[test]
fn a_folder_offers_its_best_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let load = || Tokenizer::from_folder(folder.path());
    assert!(load().unwrap().is_none());
    assert!(Tokenizer::from_folder(Path::new("no/such/folder")).unwrap().is_none());

    write("encoder.json", &json!({"#": 0, "##": 1}).to_string());
    let error = load().unwrap_err().to_string();
    assert!(error.contains("vocab.bpe"), "{error}");
    write("vocab.bpe", "# #\n");
    assert_eq!(ids(&load().unwrap().unwrap(), "###"), [1, 0]);

    write("vocab.json", &json!({"#": 5, "##": 6, "<|endoftext|>": 7}).to_string());
    write("merges.txt", "#version: 0.2\r\n# #\r\n\r\n");
    let tokenizer = load().unwrap().unwrap();
    assert_eq!(ids(&tokenizer, "###"), [6, 5]);
    assert_eq!(tokenizer.vocab_size(), 8);

    write("tokenizer.json", &byte_level().to_string());
    assert_eq!(ids(&load().unwrap().unwrap(), "a"), [5, 0]);
}
