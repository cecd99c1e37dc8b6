//! Tokenizers from GGUF metadata.

use std::path::Path;

use super::ids;
use crate::checkpoint::{Bpe, Swallows};
use crate::error::Error;
use crate::tokenizer::{Bos, Encode, Special, Tokenizer};

const FILE: &str = "model.gguf";

/// Every byte in id order, then `tokens` with a merge for each pair in `merges`.
fn bpe(pattern: &str, tokens: &[&str], merges: &[&str]) -> Bpe {
    let printable = |byte: &u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut shifted = (0x100..).filter_map(char::from_u32);
    let bytes = (0..=255u8)
        .filter_map(|byte| if printable(&byte) { Some(char::from(byte)) } else { shifted.next() });
    let tokens = bytes.map(String::from).chain(tokens.iter().map(|&token| token.into()));
    Bpe {
        tokens: tokens.collect(),
        merges: merges.iter().map(|&merge| merge.into()).collect(),
        pattern: pattern.into(),
        ..Bpe::default()
    }
}

fn load(bpe: Bpe) -> Result<Tokenizer, Error> {
    Tokenizer::from_bpe(Path::new(FILE), bpe)
}

/// The pieces that a pattern cuts a text into, seen through a vocabulary that merges only digits
/// and spaces.
fn pieces(pattern: &str, text: &str) -> Vec<String> {
    let tokens = ["11", "111", "1111", "ĠĠ", "Ġ1", "'S", "ĠĊ", "!Ċ", "éx"];
    let merges = ["1 1", "11 1", "11 11", "Ġ Ġ", "Ġ 1", "' S", "Ġ Ċ", "! Ċ"];
    let tokenizer = load(bpe(pattern, &tokens, &merges)).unwrap();
    ids(&tokenizer, text).iter().filter_map(|&id| tokenizer.token(id)).collect()
}

#[test]
fn each_pattern_splits_in_its_way() {
    let numbers = "1111   1";
    assert_eq!(pieces("gpt-2", numbers), ["1111", "ĠĠ", "Ġ1"]);
    assert_eq!(pieces("default", numbers), ["1111", "ĠĠ", "Ġ1"]);
    assert_eq!(pieces("llama-bpe", numbers), ["111", "1", "ĠĠ", "Ġ", "1"]);
    assert_eq!(pieces("qwen2", numbers), ["1", "1", "1", "1", "ĠĠ", "Ġ", "1"]);
    assert_eq!(pieces("smollm", numbers), ["1", "1", "1", "1", "ĠĠ", "Ġ", "1"]);

    assert_eq!(pieces("dbrx", numbers), ["111", "1", "ĠĠ", "Ġ", "1"]);
    assert_eq!(pieces("gpt-4o", numbers), ["111", "1", "ĠĠ", "Ġ", "1"]);
    assert_eq!(pieces("tekken", numbers), ["1", "1", "1", "1", "ĠĠ", "Ġ", "1"]);

    let lines = "A'S!\n \n";
    assert_eq!(pieces("gpt-2", lines), ["A", "'", "S", "!", "Ċ", "ĠĊ"]);
    assert_eq!(pieces("llama3", lines), ["A", "'S", "!Ċ", "ĠĊ"]);
}

#[test]
fn later_patterns_split_where_capitals_begin() {
    let cut = |pattern: &str, text: &str| {
        let merges = ["a A", "A a", "' s", "a 's", "/ /"];
        let tokens = ["aA", "Aa", "'s", "a's", "//"];
        let tokenizer = load(bpe(pattern, &tokens, &merges)).unwrap();
        let found = ids(&tokenizer, text);
        found.iter().filter_map(|&id| tokenizer.token(id)).collect::<Vec<_>>().join("|")
    };
    assert_eq!(cut("dbrx", "aAaa's!//"), "aA|a|a|'s|!|//");
    assert_eq!(cut("gpt-4o", "aAaa's!//"), "a|Aa|a's|!|//");
    assert_eq!(cut("tekken", "aAaa's!//"), "a|Aa|a|'s|!|//");
}

#[test]
fn tokenizers_made_of_ranks_add_bos_unless_disabled() {
    for (pattern, opens) in [("llama-bpe", true), ("tekken", true), ("dbrx", false)] {
        let described = Bpe { bos: Some(0), ..bpe(pattern, &[], &[]) };
        let disabled = Bpe { add_bos: Some(false), ..described.clone() };
        assert_eq!(!load(described).unwrap().opening().is_empty(), opens, "{pattern}");
        assert!(load(disabled).unwrap().opening().is_empty());
    }
}

#[test]
fn qwen2_composes_characters() {
    let found = load(bpe("qwen2", &[], &[])).unwrap();
    assert_eq!(ids(&found, "e\u{301}"), [0xc3, 0xa9]);
    let found = load(bpe("llama3", &[], &[])).unwrap();
    assert_eq!(ids(&found, "e\u{301}"), [0x65, 0xcc, 0x81]);
}

#[test]
fn llama3_takes_whole_tokens_that_no_merge_reaches() {
    let tokenizer = load(bpe("llama3", &["abc"], &[])).unwrap();
    assert_eq!(ids(&tokenizer, "abc"), [256]);
    let tokenizer = load(bpe("gpt-2", &["abc"], &[])).unwrap();
    assert_eq!(ids(&tokenizer, "abc"), [0x61, 0x62, 0x63]);
}

#[test]
fn kinds_and_the_opening_token_are_honored() {
    let mut described = bpe("gpt-2", &["<s>", "<|user|>", "\u{e9} "], &[]);
    described.kinds = vec![1; 256];
    described.kinds.extend([3, 3, 4]);
    described.bos = Some(256);
    let silent = load(described.clone()).unwrap();
    described.add_bos = Some(true);
    let tokenizer = load(described).unwrap();

    assert_eq!((ids(&silent, "a"), ids(&tokenizer, "a")), (vec![0x61], vec![256, 0x61]));
    assert_eq!(ids(&tokenizer, ""), [256]);
    let options = Encode { bos: Bos::Never, special: Special::Recognize };
    assert_eq!(tokenizer.encode("<|user|>a<s>", options).unwrap(), [257, 0x61, 256]);
    // User-defined tokens have no control over the model, so text may always name them.
    assert_eq!(ids(&silent, "é <s>"), [258, 0x3c, 0x73, 0x3e]);
    assert_eq!(tokenizer.decode(&[256, 258, 257]), "<s>é <|user|>");
    assert_eq!(tokenizer.vocab_size(), 259);
}

/// As `transformers` reads Phi-4's own files, and Phi-4-mini's.
#[test]
fn tokens_of_phi_4_swallow_blanks() {
    for (swallows, expected) in [
        (Swallows::Nothing, [0x20, 256, 0x20, 0x0a, 0x61, 0x20, 257, 0x20].as_slice()),
        (Swallows::Both, &[256, 0x61, 257]),
        (Swallows::AfterTurns, &[0x20, 256, 0x20, 0x0a, 0x61, 0x20, 257]),
    ] {
        let mut described = bpe("gpt-2", &["<|im_sep|>", "<|end|>"], &[]);
        described.kinds = vec![1; 256];
        described.kinds.extend([3, 3]);
        described.swallows = swallows;
        let options = Encode { bos: Bos::Never, special: Special::Recognize };
        let found = load(described).unwrap().encode(" <|im_sep|> \na <|end|> ", options).unwrap();
        assert_eq!(found, expected, "{swallows:?}");
    }
}

#[test]
fn a_description_that_contradicts_itself_is_refused() {
    let bos = |bos| Bpe { bos, add_bos: Some(true), ..bpe("gpt-2", &[], &[]) };
    for (described, expected) in [
        (bpe("gpt-2", &["aa"], &["a a", "aa a"]), "merge 1: \"aaa\" is not in the vocabulary"),
        (bpe("gpt-2", &["aa"], &["a"]), "merge 0: \"a\" is not two tokens"),
        (bpe("gpt-2", &["aa"], &["a a a"]), "merge 0: \"a a a\" is not two tokens"),
        (bpe("gpt-2", &["a"], &[]), "tokens 97 and 256 are both \"a\""),
        (Bpe { kinds: vec![1], ..bpe("gpt-2", &[], &[]) }, "256 tokens but 1 token types"),
        (bos(None), "does not name one"),
        (bos(Some(256)), "beginning-of-text token 256 of 256 tokens"),
        (bpe("viking", &[], &[]), "pre-tokenizer \"viking\" is not supported; supported: gpt-2,"),
    ] {
        let message = load(described).unwrap_err().to_string();
        assert!(message.starts_with(FILE) && message.contains(expected), "{message}");
    }
}

#[test]
fn a_text_that_the_vocabulary_cannot_spell_is_an_error() {
    let mut described = bpe("gpt-2", &[], &[]);
    described.tokens.truncate(128);
    let tokenizer = load(described).unwrap();
    assert_eq!(ids(&tokenizer, "abc"), [0x61, 0x62, 0x63]);
    let error = tokenizer.encode("abc é", Encode::default()).unwrap_err();
    assert!(error.to_string().contains("no token for a part of the text"), "{error}");
}

#[test]
fn long_runs_encode_under_every_pattern() {
    const LENGTH: usize = 1 << 17;
    for pattern in ["gpt-2", "smollm", "llama3", "qwen2"] {
        let tokenizer = load(bpe(pattern, &["ĠĠ", "aa"], &["Ġ Ġ", "a a"])).unwrap();
        for unit in ["a", " ", "\n", "1", "!", "\u{301}", " \n", "'s"] {
            let text = format!("{}z", unit.repeat(LENGTH / unit.len()));
            assert_eq!(tokenizer.decode(&ids(&tokenizer, &text)), text, "{pattern} {unit:?}");
        }
    }
}
