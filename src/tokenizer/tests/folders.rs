//! Tokenizers in several files, compared with `transformers`.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::tokenizer::{Bos, Encode, Special, Tokenizer};

/// tests/golden/text/folders.json.
#[derive(Deserialize)]
struct Golden {
    merges: Vec<(String, String)>,
    byte_level: Vec<Folder>,
    /// Those with a tokenizer.json.
    whole: Vec<Folder>,
    /// SentencePiece's file, as hexadecimal digits.
    model: String,
    pieces: Vec<Folder>,
}

#[derive(Deserialize)]
struct Folder {
    name: String,
    #[serde(default)]
    extra: Vec<String>,
    /// What tokenizer.json itself lists.
    #[serde(default)]
    added: Vec<Value>,
    files: Map<String, Value>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
}

fn golden() -> Golden {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/text/folders.json"));
    serde_json::from_str(text).unwrap()
}

/// The 256 bytes by GPT-2's table, the merges and what comes after them.
fn vocabulary(merges: &[(String, String)], extra: &[String]) -> Value {
    let bytes = (0..=u8::MAX).map(|byte| crate::tokenizer::decode::letter(byte).to_string());
    let merged = merges.iter().map(|(left, right)| format!("{left}{right}"));
    let tokens = bytes.chain(merged).chain(extra.iter().cloned());
    tokens
        .zip(0..)
        .map(|(token, id): (String, u32)| (token, id.into()))
        .collect::<Map<_, _>>()
        .into()
}

fn merges_file(merges: &[(String, String)]) -> String {
    let lines = merges.iter().map(|(left, right)| format!("{left} {right}\n"));
    format!("#version: 0.2\n{}", lines.collect::<String>())
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    fs::write(folder.join(name), content).unwrap();
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let recognize = Encode { special: Special::Recognize, ..Encode::default() };
    tokenizer.encode(text, recognize).unwrap()
}

#[test]
fn files_are_read_together_as_transformers_does() {
    let golden = golden();
    let lengths = [golden.byte_level.len(), golden.whole.len(), golden.pieces.len()];
    assert_eq!(lengths, [12, 6, 7]);
    let model: Vec<u8> = (0..golden.model.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&golden.model[at..at + 2], 16).unwrap())
        .collect();
    let all = golden.byte_level.iter().chain(&golden.whole).chain(&golden.pieces);
    for (number, described) in all.enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let vocab = vocabulary(&golden.merges, &described.extra);
        match number {
            0..12 => {
                write(folder.path(), "vocab.json", vocab.to_string());
                write(folder.path(), "merges.txt", merges_file(&golden.merges));
            }
            12..18 => {
                let file = json!({"version": "1.0", "added_tokens": described.added,
                    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false,
                        "trim_offsets": true, "use_regex": true},
                    "decoder": {"type": "ByteLevel"},
                    "model": {"type": "BPE", "vocab": vocab, "merges": golden.merges}});
                write(folder.path(), "tokenizer.json", file.to_string());
            }
            _ => write(folder.path(), "tokenizer.model", &model),
        }
        for (name, content) in &described.files {
            write(folder.path(), name, content.to_string());
        }
        let tokenizer = Tokenizer::from_folder(folder.path()).unwrap().unwrap();
        for Case { text, ids: expected } in &described.cases {
            assert_eq!(ids(&tokenizer, text), *expected, "{}: {text:?}", described.name);
        }
    }
}

/// Numbers that JSON does not have stop nobody who does not need them.
#[test]
fn infinity_in_a_field_that_nobody_reads_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let whole = super::json::byte_level().to_string();
    let with = |fields: &str| format!("{{{fields}, {}", &whole[1..]);
    write(folder.path(), "tokenizer.json", with(r#""note": [NaN, -Infinity, 1e999]"#));
    write(
        folder.path(),
        "tokenizer_config.json",
        r#"{"model_max_length": Infinity, "x": NaN, "added_tokens_decoder": {"8": {"content": "<x>"}}}"#,
    );
    let tokenizer = Tokenizer::from_folder(folder.path()).unwrap().unwrap();
    assert_eq!(ids(&tokenizer, "ab<x>"), [5, 3, 8]);
    write(folder.path(), "tokenizer_config.json", r#"{"add_bos_token": NaN}"#);
    let told = Tokenizer::from_folder(folder.path()).unwrap_err().to_string();
    assert!(told.contains("tokenizer_config.json: add_bos_token is"), "{told}");
    fs::remove_file(folder.path().join("tokenizer_config.json")).unwrap();
    write(folder.path(), "special_tokens_map.json", r#"{"score": Infinity, "pad_token": "<x>"}"#);
    write(folder.path(), "added_tokens.json", r#"{"<x>": 8}"#);
    let tokenizer = Tokenizer::from_folder(folder.path()).unwrap().unwrap();
    assert!(tokenizer.is_special(8));
    // Where a number is needed, it is named.
    write(folder.path(), "added_tokens.json", r#"{"<x>": Infinity}"#);
    let told = Tokenizer::from_folder(folder.path()).unwrap_err().to_string();
    assert!(told.contains("added_tokens.json: \"<x>\" has the id"), "{told}");
}

/// What `tokenizer_config.json` says is added to what `tokenizer.json` says.
#[test]
fn settings_beside_a_tokenizer_json_add_tokens() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "tokenizer.json", super::json::byte_level().to_string());
    let load = || Tokenizer::from_folder(folder.path()).map(Option::unwrap);
    let never = |special| Encode { bos: Bos::Never, special };
    let plain = load().unwrap();
    assert!(plain.encode("a<x>", never(Special::Recognize)).is_err(), "no token for <");
    let added = json!({
        "8": {"content": "<x>", "special": true, "rstrip": true, "normalized": false},
        "9": {"content": "<y>", "special": false, "normalized": false},
    });
    let config = json!({"added_tokens_decoder": added, "eos_token": "ab", "add_bos_token": true});
    write(folder.path(), "tokenizer_config.json", config.to_string());
    let tokenizer = load().unwrap();
    assert_eq!(tokenizer.vocab_size(), 10);
    assert_eq!(tokenizer.encode("a<x> b", never(Special::Recognize)).unwrap(), [0, 8, 1]);
    assert_eq!(tokenizer.encode("a<y>b", never(Special::AsText)).unwrap(), [0, 9, 1]);
    // `ab` is a token of the vocabulary that now means something, so text is not encoded as it.
    assert_eq!(tokenizer.encode("ab", never(Special::Recognize)).unwrap(), [3]);
    assert_eq!(tokenizer.encode("ab", never(Special::AsText)).unwrap(), [0, 1]);

    for (file, content, reason) in [
        (
            "tokenizer_config.json",
            json!({"added_tokens_decoder": {"x": "a"}}),
            "\"x\" is not a token",
        ),
        ("tokenizer_config.json", json!({"added_tokens_decoder": [1]}), "is not an object"),
        ("tokenizer_config.json", json!({"eos_token": 5}), "eos_token: 5 is not a token"),
        ("tokenizer_config.json", json!({"add_bos_token": 1}), "add_bos_token is 1, not true or"),
        ("added_tokens.json", json!({"<z>": -1}), "\"<z>\" has the id -1"),
    ] {
        write(folder.path(), "tokenizer_config.json", "{}");
        write(folder.path(), file, content.to_string());
        let error = load().unwrap_err().to_string();
        assert!(error.contains(file) && error.contains(reason), "{error}");
    }
}

#[test]
fn a_damaged_model_file_is_refused() {
    let golden = golden();
    let model: Vec<u8> = (0..golden.model.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&golden.model[at..at + 2], 16).unwrap())
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let refusal = |bytes: &[u8]| {
        write(folder.path(), "tokenizer.model", bytes);
        Tokenizer::from_folder(folder.path()).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(refusal(&model), Ok(()));
    assert!(refusal(b"").unwrap_err().contains("tokenizer.model: is not a SentencePiece model"));
    assert!(refusal(b"\xff\xff\xff").unwrap_err().contains("is not a SentencePiece model"));
    for end in 0..model.len() {
        // Whatever remains, reading returns; few cuts leave whole fields.
        let _ = refusal(&model[..end]);
    }
    // A unigram model: field 3 of the trainer's settings, which are field 2, is 1.
    let unigram = [&[0x12, 2, 0x18, 1, 0x0a, 3, 0x0a, 1][..], b"a"].concat();
    assert!(refusal(&unigram).unwrap_err().contains("not byte-pair encoding"));
}
