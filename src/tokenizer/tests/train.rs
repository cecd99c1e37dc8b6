//! What is learned from texts: merges, alphabets, and what cannot be.

use super::*;
use crate::tokenizer::{Encode, Special, Tokenizer};

/// A folder with one file for each text, and their paths.
fn files(texts: &[&[u8]]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let name = |i| folder.path().join(format!("{i}.txt"));
    let paths: Vec<PathBuf> = (0..texts.len()).map(name).collect();
    paths.iter().zip(texts).for_each(|(path, text)| std::fs::write(path, text).unwrap());
    (folder, paths)
}

fn learn(texts: &[&str], kind: Kind, special: &[&str]) -> String {
    let texts: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
    let (_folder, paths) = files(&texts);
    let special = special.iter().map(|name| (*name).to_owned()).collect();
    train(&paths, &Training { kind, special }, &mut |_| {}).unwrap()
}

fn merges_of(json: &str) -> Vec<String> {
    let file: Value = serde_json::from_str(json).unwrap();
    let text = |token: &Value| token.as_str().unwrap().to_owned();
    let pair = |merge: &Value| match merge.as_array() {
        Some(pair) => pair.iter().map(text).collect::<Vec<_>>().join(" "),
        None => text(merge),
    };
    file["model"]["merges"].as_array().unwrap().iter().map(pair).collect()
}

fn read(json: &str) -> Tokenizer {
    let (_folder, paths) = files(&[json.as_bytes()]);
    Tokenizer::from_json(&paths[0]).unwrap()
}

fn all(vocab_size: usize) -> Kind {
    Kind::Merges { vocab_size, min_frequency: 0 }
}

/// The merges that a newer version of the crate and a plain implementation give for these
/// texts.
#[test]
fn golden_merges() {
    let widest = ["low"; 5].into_iter().chain(["lower"; 2]).chain(["newest"; 6]);
    let widest = widest.chain(["widest"; 3]).collect::<Vec<_>>().join(" ");
    for (text, golden) in [
        (
            "bbbaaaddddcccc",
            "c c, d d, a a, b b, a dd, b aa, cc cc, dd cccc, bb baa, add ddcccc, bbbaa addddcccc",
        ),
        ("aaaa aaaa aaa", "a a, Ġ aa, aa aa, Ġaa a, Ġaa aa"),
        (
            "DCBBABCDCBABCD",
            "A B, B AB, C D, BAB CD, B BABCD, C BABCD, C BBABCD, D CBBABCD, DCBBABCD CBABCD",
        ),
        (
            widest.as_str(),
            "e s, es t, l o, lo w, e w, n ew, Ġ low, Ġ new, Ġnew est, d est, i dest, w idest, Ġ widest, e r",
        ),
    ] {
        let found = merges_of(&learn(&[text], all(5000), &[]));
        let golden: Vec<&str> = golden.split(", ").collect();
        assert!(found.len() >= golden.len() && found[..golden.len()] == golden, "{found:?}");
    }
}

/// The order of files and the size of pieces do not matter, nor do threads.
#[test]
fn what_is_learned_depends_on_the_texts_alone() {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/the-function.md"));
    let (_folder, paths) = files(&[text.as_bytes(), b"other words, other words"]);
    let training = Training { kind: all(600), special: vec!["<|end|>".to_owned()] };
    let whole = train(&paths, &training, &mut |_| {}).unwrap();
    assert_eq!(merges_of(&whole).len(), 600 - 257);
    let joined = format!("{text}<|end|>other words, other words");
    assert_eq!(train_text(&joined, &training).unwrap(), whole);
    let reversed: Vec<PathBuf> = paths.iter().rev().cloned().collect();
    for (paths, piece) in [(&paths, 1), (&paths, 1000), (&reversed, 77)] {
        let mut failure = None;
        let mut reported = 0;
        let progress = &mut |bytes| reported = bytes;
        let pieces = Pieces::new(paths, piece, &training.special, &mut failure, progress);
        let material = Material::of(pieces, &training).unwrap();
        let learned = material.learn(&training, &mut |_| {}).unwrap();
        assert_eq!(learned, whole, "pieces of {piece}");
        assert!(failure.is_none());
        assert_eq!(reported, text.len() as u64 + 24);
    }
    let tokenizer = read(&whole);
    for text in [text, "", " a  b\n\n c", "naïve 日本語 🤗\u{0}"] {
        let ids = tokenizer.encode(text, Encode::default()).unwrap();
        assert_eq!(tokenizer.decode(&ids), text);
    }
}

/// A stretch without a blank is one piece; learning from it must not take the square of its length.
#[test]
fn long_stretches_take_time_in_proportion() {
    let mut state = 5_u64;
    let mut letter = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        char::from(b"ACGT"[(state >> 62) as usize])
    };
    let text: String = (0..2 << 20).map(|_| letter()).collect();
    let start = std::time::Instant::now();
    let training = Training { kind: all(320), special: Vec::new() };
    let learned = train_text(&text, &training).unwrap();
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
    let merges = merges_of(&learned);
    assert_eq!(merges.len(), 64);
    assert!(merges[0].len() == 3 && merges[63].len() > 4, "{merges:?}");
}

#[test]
fn what_is_reported_grows() {
    let (_folder, paths) = files(&[b"low low low lower newest newest"]);
    let training = Training { kind: all(262), special: Vec::new() };
    let mut reports = Vec::new();
    train(&paths, &training, &mut |report| reports.push(report)).unwrap();
    let merged: Vec<_> = (257..=262).map(Learning::Merged).collect();
    assert_eq!(reports[0], Learning::Read(31));
    assert_eq!(reports[reports.len() - 6..], merged);
}

#[test]
fn special_tokens_come_first_and_are_not_learned() {
    let text = "ab<|end|>ab<|end|>ab";
    let json = learn(&[text], all(300), &["<|end|>", "<|pad|>"]);
    assert_eq!(merges_of(&json), ["a b"]);
    let tokenizer = read(&json);
    assert_eq!([tokenizer.id("<|end|>"), tokenizer.id("<|pad|>")], [Some(0), Some(1)]);
    assert_eq!(tokenizer.vocab_size(), 259);
    let special = Encode { special: Special::Recognize, ..Encode::default() };
    assert_eq!(tokenizer.encode(text, special).unwrap(), [258, 0, 258, 0, 258]);
}

#[test]
fn bytes_and_characters() {
    let bytes = read(&learn(&["abab"], Kind::Bytes, &["<|end|>"]));
    assert_eq!(bytes.vocab_size(), 257);
    assert_eq!(bytes.encode("é!", Encode::default()).unwrap().len(), 3);
    let text = "To be, or not to be:\nçà";
    let characters = read(&learn(&[text, "xyz"], Kind::Characters, &["<|end|>"]));
    let ids = characters.encode(text, Encode::default()).unwrap();
    assert_eq!(ids.len(), text.chars().count());
    assert_eq!(characters.decode(&ids), text);
    assert_eq!(characters.id("\n"), Some(1));
    let refused = characters.encode("Q", Encode::default()).unwrap_err().to_string();
    assert!(refused.contains("no token"), "{refused}");
}

#[test]
fn what_cannot_be_learned_is_named() {
    let fails = |texts: &[&[u8]], kind, special: &[&str]| {
        let (_folder, paths) = files(texts);
        let special = special.iter().map(|name| (*name).to_owned()).collect();
        train(&paths, &Training { kind, special }, &mut |_| {}).unwrap_err().to_string()
    };
    let bad = [&b"fine"[..], b"not \xff UTF-8"];
    for kind in [all(300), Kind::Characters] {
        let error = fails(&bad, kind, &[]);
        assert!(error.contains("1.txt") && error.contains("not UTF-8 at byte 4"), "{error}");
    }
    assert!(fails(&[b""], all(256), &["<|end|>"]).contains("is too small; it needs at least 257"));
    for (special, reason) in
        [(vec![""], "empty"), (vec!["a b"], "white space"), (vec!["a", "a"], "twice")]
    {
        let error = fails(&[b""], Kind::Bytes, &special);
        assert!(error.contains(reason), "{error}");
    }
    let missing = [PathBuf::from("no such file")];
    let training = Training { kind: all(300), special: Vec::new() };
    let error = train(&missing, &training, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("no such file"), "{error}");
}
