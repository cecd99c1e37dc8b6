//! Files that ask for more than any tokenizer needs are refused, or bounded, in a sentence.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ids;
use super::json::{added, byte_level, load, pieces};
use crate::error::Error;
use crate::tokenizer::{Encode, Tokenizer};

/// The byte-level tokenizer with one part replaced.
fn with(pointer: &str, value: Value) -> Value {
    let mut content = byte_level();
    *content.pointer_mut(pointer).unwrap() = value;
    content
}

fn refusal(content: &Value) -> String {
    let start = Instant::now();
    let error = load(content).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json: "), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5), "{error}");
    error
}

fn failure(tokenizer: &Tokenizer, text: &str) -> String {
    let start = Instant::now();
    let error = tokenizer.encode(text, Encode::default()).unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5), "{error}");
    error.to_string()
}

fn replace(from: &str, to: &str) -> Value {
    json!({"type": "Replace", "pattern": {"String": from}, "content": to})
}

fn sequence(part: &str, steps: &[Value]) -> Value {
    json!({"type": "Sequence", part: steps})
}

#[test]
fn a_normalizer_that_multiplies_is_named() {
    let double = vec![replace("a", "aa"); 40];
    let long = replace("a", &"b".repeat(1 << 20));
    let any = json!({"type": "Replace", "pattern": {"Regex": "a|b"}, "content": "x".repeat(5000)});
    let prepend = json!({"type": "Prepend", "prepend": "a".repeat(5000)});
    for (steps, name) in [
        (double, "Replace \"a\""),
        (vec![long], "Replace \"a\""),
        (vec![any], "Replace \"a|b\""),
        (vec![prepend], "Prepend \"aaa"),
    ] {
        let tokenizer = load(&with("/normalizer", sequence("normalizers", &steps))).unwrap();
        let told = failure(&tokenizer, "ab ab abba");
        assert!(told.contains("the normalizer ") && told.contains(name), "{told}");
        assert!(told.contains("more than this text may gain"), "{told}");
    }
    // What each piece gains counts together.
    let pieces = sequence("normalizers", &[json!({"type": "Prepend", "prepend": "a".repeat(900)})]);
    let tokenizer = load(&with("/normalizer", pieces)).unwrap();
    assert_eq!(ids(&tokenizer, "b").len(), 1 + 900);
    failure(&tokenizer, &"ab ab ".repeat(400));
    let many = sequence("normalizers", &vec![json!({"type": "NFC"}); 65]);
    assert!(refusal(&with("/normalizer", many)).contains("the normalizer has 65 steps of 64"));
    // Added tokens are normalized too, before any text is.
    let mut content = with("/normalizer", sequence("normalizers", &vec![replace("a", "aa"); 40]));
    content["added_tokens"][2]["normalized"] = json!(true);
    assert!(refusal(&content).contains("added tokens: the normalizer Replace"));
}

#[test]
fn ordinary_growth_is_none() {
    let mut content = pieces();
    content["model"]["vocab"]["▁▁"] = json!(11);
    content["model"]["merges"] = json!(["▁ ▁"]);
    let found = ids(&load(&content).unwrap(), &" ".repeat(4095));
    assert_eq!(found, [vec![1], vec![11; 2048]].concat());
    // Eleven bytes from one, the most of any normalizer.
    let mut content = byte_level();
    content["normalizer"] = json!({"type": "NFKC"});
    let tokenizer = load(&content).unwrap();
    let told = tokenizer.encode(&"\u{fdfa}".repeat(1000), Encode::default()).unwrap_err();
    assert!(told.to_string().contains("no token for a part"), "{told}");
}

#[test]
fn a_splitter_that_multiplies_is_named() {
    let bytes = |prefix: bool| json!({"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": false});
    let each = json!({"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": false});
    let meta = |sign: &str| json!({"type": "Metaspace", "replacement": sign, "prepend_scheme": "always", "split": false});
    let rounds: Vec<Value> =
        (0..15).flat_map(|_| [each.clone(), meta("x"), each.clone(), meta("y")]).collect();
    for (steps, name) in [
        (vec![bytes(false); 40], "the pre-tokenizer ByteLevel"),
        (rounds, "the pre-tokenizer Metaspace"),
    ] {
        let content = with("/pre_tokenizer", sequence("pretokenizers", &steps));
        let told = failure(&load(&content).unwrap(), &"é".repeat(500));
        assert!(told.contains(name) && told.contains("may gain"), "{told}");
    }
    let none = json!({"type": "FixedLength", "length": 0});
    let told = refusal(&with("/pre_tokenizer", none.clone()));
    assert!(told.contains("FixedLength has a length of 0"), "{told}");
    refusal(&with("/pre_tokenizer", sequence("pretokenizers", &[none])));
    let fine = with("/pre_tokenizer", json!({"type": "FixedLength", "length": 1}));
    assert_eq!(ids(&load(&fine).unwrap(), "abab"), [5, 0, 1, 0, 1]);
}

/// Otherwise the rest of the text would be one piece, without a word.
#[test]
fn an_expression_that_gives_up_is_an_error() {
    let split = json!({"type": "Split", "behavior": "Isolated", "invert": false,
        "pattern": {"Regex": r"(?:(?:b|b)*(?=z)(?!q)y)|\w| "}});
    let steps = [
        split.clone(),
        json!({"type": "ByteLevel", "add_prefix_space": false,
        "trim_offsets": true, "use_regex": false}),
    ];
    let tokenizer = load(&with("/pre_tokenizer", sequence("pretokenizers", &steps))).unwrap();
    assert_eq!(ids(&tokenizer, "ab bbbbb"), [5, 0, 1, 2, 1, 1, 1, 1, 1]);
    let told = failure(&tokenizer, &format!("ab {}", "b".repeat(22)));
    assert!(told.contains("the pre-tokenizer Split") && told.contains("(?:b|b)*"), "{told}");
    assert!(told.contains("gives up on this text"), "{told}");
    let mut normalizer = split;
    normalizer["type"] = json!("Replace");
    normalizer["content"] = json!("a");
    let tokenizer = load(&with("/normalizer", normalizer)).unwrap();
    assert!(failure(&tokenizer, &"b".repeat(22)).contains("gives up on this text"));
}

#[test]
fn absurd_added_tokens_are_refused() {
    let mut content = byte_level();
    content["added_tokens"][2] = added(7, &"ab".repeat(25_000), false);
    let told = refusal(&content);
    assert!(told.contains("an added token of 50000 bytes (\"ababab"), "{told}");
    let many: Vec<Value> =
        (0..6000).map(|i| added(i, &format!("{}{i}", "b".repeat(900)), true)).collect();
    content["added_tokens"] = many.into();
    assert!(refusal(&content).contains("bytes in all; the most is 4194304"));
}

/// The crate would compile them without a bound, and look up tokens of all lengths at every place.
#[test]
fn absurd_expressions_and_unigrams_are_refused() {
    let split = |source: &str| {
        json!({"type": "Split", "pattern": {"Regex": source}, "behavior": "Isolated",
            "invert": false})
    };
    for source in [r"(?=\p{L}{9}x)".repeat(300), r"(?:\p{L}{1,40}){1,40}".to_owned()] {
        let told = refusal(&with("/pre_tokenizer", split(&source)));
        assert!(told.contains("pre_tokenizer: ") && told.contains("once it is compiled"), "{told}");
    }
    let many = sequence("pretokenizers", &vec![split("a"); 33]);
    assert!(refusal(&with("/pre_tokenizer", many)).contains("more than 32 regular expressions"));
    let unigrams = |lengths: usize| {
        let token = |length: usize| json!(["a".repeat(length), -1.0]);
        let tokens: Vec<Value> = (1..=lengths).map(token).collect();
        with("/model", json!({"type": "Unigram", "unk_id": 0, "vocab": tokens}))
    };
    assert!(load(&unigrams(100)).is_ok());
    let told = refusal(&unigrams(300));
    assert!(told.contains("45150 bytes of tokens that each begin as the next one"), "{told}");
    // A strip that overflows is none.
    let strip = json!({"type": "Strip", "content": " ", "start": u64::MAX, "stop": 0});
    let space = json!({"type": "Metaspace", "replacement": "_", "prepend_scheme": "always"});
    refusal(&with("/decoder", sequence("decoders", &[strip, space])));
}

#[test]
fn absurd_numbers_are_refused() {
    for (pointer, value, reason) in [
        (
            "/model/vocab/ab",
            json!(u32::MAX),
            "\"ab\" has the id 4294967295; the highest is 16777215",
        ),
        ("/model/vocab/ab", json!(1e19), "not a tokenizer"),
        ("/model/vocab/ab", json!(u64::MAX), "not a tokenizer"),
        ("/model/end_of_word_suffix", json!("a".repeat(9000)), "end_of_word_suffix has 9000 bytes"),
        (
            "/decoder",
            sequence("decoders", &vec![replace("a", "aa"); 40]),
            "decoder Replace: tokens may",
        ),
        ("/decoder", replace("", "a"), "decoder Replace: it replaces the empty text"),
        ("/decoder", sequence("decoders", &vec![json!({"type": "Fuse"}); 65]), "one of 65 steps"),
    ] {
        let told = refusal(&with(pointer, value));
        assert!(told.contains(reason), "{pointer}: {told}");
    }
    let words = json!({"type": "WordPiece", "unk_token": "a", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": u64::MAX, "vocab": {"a": 0}});
    assert!(refusal(&with("/model", words)).contains("max_input_chars_per_word is 1844"));
}

/// 8,000 places of 80,000 ids each would be gigabytes.
#[test]
fn a_template_of_very_many_tokens_is_refused() {
    let place = json!({"SpecialToken": {"id": "x", "type_id": 0}});
    let template = |places: usize, ids: usize| {
        let mut single = vec![place.clone(); places];
        single.push(json!({"Sequence": {"id": "A", "type_id": 0}}));
        let ids = vec![1; ids];
        let special = json!({"x": {"id": "x", "ids": ids, "tokens": ["x"]}});
        json!({"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": special})
    };
    for (places, ids) in [(800, 8000), (1, 2000), (2000, 1)] {
        let told = refusal(&with("/post_processor", template(places, ids)));
        assert!(told.contains("post-processor: over 1024 special tokens before a text"), "{told}");
    }
    assert!(load(&with("/post_processor", template(4, 3))).is_ok());
}
