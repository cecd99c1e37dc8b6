//! SentencePiece tokenizers from GGUF metadata, compared with SentencePiece itself.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Dice, ids};
use crate::checkpoint::SentencePiece;
use crate::error::Error;
use crate::tokenizer::{Bos, Encode, Special, Tokenizer};

const FILE: &str = "model.gguf";

/// A model of tests/golden/text/pieces.json.
#[derive(Deserialize)]
struct Golden {
    name: String,
    tokens: Vec<String>,
    scores: Vec<f32>,
    kinds: Vec<i32>,
    space_prefix: bool,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
    decoded: String,
}

fn goldens() -> Vec<Golden> {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/text/pieces.json"));
    serde_json::from_str(text).unwrap()
}

impl Golden {
    fn described(&self) -> SentencePiece {
        SentencePiece {
            tokens: self.tokens.clone(),
            scores: self.scores.clone(),
            kinds: self.kinds.clone(),
            bos: Some(1),
            add_bos: Some(false),
            space_prefix: self.space_prefix,
            ..SentencePiece::default()
        }
    }
}

/// The goldens of byte-pair encoding, which is what GGUF files describe.
fn scored() -> Vec<Golden> {
    goldens().into_iter().filter(|golden| golden.name != "unigram").collect()
}

fn load(described: SentencePiece) -> Result<Tokenizer, Error> {
    Tokenizer::from_sentence_piece(Path::new(FILE), described)
}

#[test]
fn scores_encode_as_sentencepiece_does() {
    for golden in scored() {
        let tokenizer = load(golden.described()).unwrap();
        for Case { text, ids: expected, decoded } in &golden.cases {
            let name = &golden.name;
            assert_eq!(ids(&tokenizer, text), *expected, "{name}: {text:?}");
            // For the unknown token, SentencePiece shows a character of its own.
            if !expected.contains(&0) {
                assert_eq!(tokenizer.decode(expected), *decoded, "{name}: {text:?}");
            }
            let mut stream = tokenizer.stream();
            let mut streamed: String = expected.iter().map(|&id| stream.push(id)).collect();
            streamed.push_str(&stream.finish());
            assert_eq!(streamed, tokenizer.decode(expected));
        }
    }
}

/// A merge for every split of a token into two others, those of the best token first: what
/// converters write into tokenizer.json.
fn merges(golden: &Golden) -> Vec<[&str; 2]> {
    let normal = || golden.tokens.iter().zip(&golden.kinds).zip(&golden.scores);
    let normal = || normal().filter(|((_, kind), _)| **kind == 1);
    let known: HashMap<&str, usize> =
        golden.tokens.iter().zip(0..).map(|(token, id)| (token.as_str(), id)).collect();
    let mut merges = Vec::new();
    for ((token, _), score) in normal() {
        let splits = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
        let mut splits: Vec<_> = splits
            .filter_map(|(left, right)| {
                Some(((*known.get(left)?, *known.get(right)?), [left, right]))
            })
            .collect();
        splits.sort_unstable();
        merges.extend(splits.into_iter().map(|(_, split)| (*score, split)));
    }
    merges.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    merges.into_iter().map(|(_, split)| split).collect()
}

/// The same vocabulary as a tokenizer.json of Llama, of Gemma, or of unigrams.
fn converted(golden: &Golden) -> Value {
    let added = |(id, (token, kind)): (usize, (&String, &i32))| {
        let content = token.replace('▁', " ");
        matches!(kind, 2..=4).then(|| {
            json!({"id": id, "content": content, "special": *kind != 4, "single_word": false,
                "lstrip": false, "rstrip": false, "normalized": false})
        })
    };
    let listed = || golden.tokens.iter().zip(&golden.kinds).enumerate();
    let vocab: Map<String, Value> = listed()
        .map(|(id, (token, kind))| {
            let token = if *kind == 4 { token.replace('▁', " ") } else { token.clone() };
            (token, id.into())
        })
        .collect();
    let model = if golden.name == "unigram" {
        let vocab: Vec<_> = golden.tokens.iter().zip(&golden.scores).collect();
        json!({"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": true})
    } else {
        json!({"type": "BPE", "dropout": null, "unk_token": "<unk>", "fuse_unk": true,
            "byte_fallback": golden.name != "unknown", "vocab": vocab, "merges": merges(golden)})
    };
    let mut normalizers = vec![json!({"type": "Prepend", "prepend": "▁"})];
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
        json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}),
    ];
    if !golden.space_prefix {
        normalizers.clear();
        decoders.truncate(3);
    }
    normalizers.push(json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"}));
    json!({"version": "1.0", "added_tokens": listed().filter_map(added).collect::<Vec<_>>(),
        "normalizer": {"type": "Sequence", "normalizers": normalizers}, "pre_tokenizer": null,
        "post_processor": null, "decoder": {"type": "Sequence", "decoders": decoders},
        "model": model})
}

#[test]
fn a_converted_vocabulary_encodes_as_sentencepiece_does() {
    for golden in goldens() {
        let tokenizer = super::json::load(&converted(&golden)).unwrap();
        for Case { text, ids: expected, decoded } in &golden.cases {
            let name = &golden.name;
            // A sign for the space is not among the user-defined tokens here.
            if name == "gemma" && text.contains('▁') {
                continue;
            }
            assert_eq!(ids(&tokenizer, text), *expected, "{name}: {text:?}");
            if !expected.contains(&0) {
                assert_eq!(tokenizer.decode(expected), *decoded, "{name}: {text:?}");
            }
        }
    }
}

#[test]
fn any_text_comes_back_by_bytes() {
    let mut dice = Dice(5);
    for golden in scored().iter().filter(|golden| golden.name != "unknown") {
        let tokenizer = load(golden.described()).unwrap();
        for _ in 0..100 {
            let text: String = (0..40)
                .map(|_| match dice.roll(3) {
                    0 => ' ',
                    1 => char::from(dice.roll(128) as u8),
                    _ => char::from_u32(dice.roll(0x11_0000) as u32).unwrap_or('x'),
                })
                .collect();
            assert_eq!(tokenizer.decode(&ids(&tokenizer, &text)), text, "{}", golden.name);
        }
    }
}

#[test]
fn the_space_before_a_text_is_dropped_at_its_start_only() {
    let golden = &goldens()[0];
    let tokenizer = load(golden.described()).unwrap();
    let found = ids(&tokenizer, "the license");
    assert_eq!(tokenizer.token(found[0]).as_deref(), Some("▁the"));
    let mut stream = tokenizer.stream();
    assert_eq!(stream.push(found[0]), "the");
    let mut stream = tokenizer.stream_continued();
    assert_eq!(stream.push(found[0]), " the");
    // A character in bytes is returned when it is complete.
    let bytes: Vec<u32> =
        "🤗".bytes().map(|byte| tokenizer.id(&format!("<0x{byte:02X}>")).unwrap()).collect();
    let mut stream = tokenizer.stream_continued();
    let pieces: Vec<String> = bytes.iter().map(|&id| stream.push(id)).collect();
    assert_eq!(pieces, ["", "", "", "🤗"]);
}

#[test]
fn each_stretch_of_text_begins_with_the_space() {
    let golden = &goldens()[0];
    let tokenizer = load(SentencePiece { add_bos: None, ..golden.described() }).unwrap();
    assert_eq!(tokenizer.opening(), [1]);
    let recognize = Encode { bos: Bos::Never, special: Special::Recognize };
    let found = tokenizer.encode("the</s>the", recognize).unwrap();
    let the = tokenizer.id("▁the").unwrap();
    assert_eq!(found, [the, 2, the]);
    assert_eq!(ids(&tokenizer, ""), [1]);
    let silent = SentencePiece { bos: None, add_bos: None, ..golden.described() };
    assert!(load(silent).unwrap().opening().is_empty());
}

#[test]
fn equal_scores_join_leftmost_first() {
    let described = SentencePiece {
        tokens: ["a", "b", "ab", "ba"].map(str::to_owned).to_vec(),
        scores: vec![0.0; 4],
        ..SentencePiece::default()
    };
    let tokenizer = load(described.clone()).unwrap();
    assert_eq!(ids(&tokenizer, "abab"), [2, 2]);
    assert_eq!(ids(&tokenizer, "baba"), [3, 3]);
    assert_eq!(ids(&tokenizer, "aba"), [2, 0]);
    let error = tokenizer.encode("ac", Encode::default()).unwrap_err().to_string();
    assert!(error.contains("no token for \"c\""), "{error}");
    let prefer = SentencePiece { scores: vec![0.0, 0.0, 0.0, 1.0], ..described };
    assert_eq!(ids(&load(prefer).unwrap(), "abab"), [0, 3, 1]);
}

#[test]
fn lists_that_contradict_each_other_are_refused() {
    let good = SentencePiece {
        tokens: vec!["a".to_owned(), "b".to_owned()],
        scores: vec![0.0, 1.0],
        ..SentencePiece::default()
    };
    for (described, expected) in [
        (SentencePiece { scores: vec![0.0], ..good.clone() }, "2 tokens but 1 scores"),
        (SentencePiece { kinds: vec![1; 3], ..good.clone() }, "2 tokens but 3 token types"),
        (SentencePiece { add_bos: Some(true), ..good.clone() }, "does not name one"),
        (SentencePiece { bos: Some(2), ..good.clone() }, "token 2 of 2 tokens"),
        (
            SentencePiece { tokens: vec!["a".to_owned(); 2], ..good.clone() },
            "tokens 0 and 1 are both \"a\"",
        ),
    ] {
        let message = load(described).unwrap_err().to_string();
        assert!(message.starts_with(FILE) && message.contains(expected), "{message}");
    }
    let odd = SentencePiece { scores: vec![f32::NAN, f32::NEG_INFINITY], ..good };
    assert_eq!(ids(&load(odd).unwrap(), "ab"), [0, 1]);
}

#[test]
fn long_runs_are_joined_in_time() {
    const LENGTH: usize = 1 << 17;
    let golden = &goldens()[0];
    let tokenizer = load(golden.described()).unwrap();
    for unit in ["a", " ", "\n", "ab", "語", "the "] {
        let text = unit.repeat(LENGTH / unit.len());
        assert_eq!(tokenizer.decode(&ids(&tokenizer, &text)), text, "{unit:?}");
    }
}
