//! Texts to learn from: special tokens where they count, and the tokens before each document.

use std::path::Path;

use serde_json::{Value, json};

use super::json::{byte_level, load};
use crate::tokenizer::{Bos, Encode, Names, Special, Tokenizer, without_opening};

const END: Option<u32> = Some(6);

#[test]
fn each_document_has_the_tokens_of_a_text_of_its_own() {
    let tokenizer = load(&byte_level()).unwrap();
    assert_eq!(tokenizer.end_of_text(), END);
    let ids = |text: &str, names| tokenizer.encode_documents(text, names, END).unwrap().ids;
    let alone = |text: &str| {
        let special = Special::Recognize;
        tokenizer.encode(text, Encode { special, ..Encode::default() }).unwrap()
    };
    let text = "a</s> ab</s>b";
    let expected = [alone("a</s>"), alone(" ab</s>"), alone("b")].concat();
    assert_eq!(ids(text, Names::End), expected);
    assert_eq!(expected, [5, 0, 6, 5, 4, 6, 5, 1]);
    assert_eq!(ids(text, Names::All), expected);
    // What begins as it should is left as it is, and a blank after the last document is none.
    assert_eq!(ids("<s>a</s> ", Names::All), [5, 0, 6, 2]);
    assert_eq!(ids("", Names::End), [0; 0]);
    let found = tokenizer.encode_documents("a</s>b</s>ab", Names::End, END).unwrap();
    assert_eq!((found.count, found.found["</s>"]), (3, 2));
}

/// Names that do not count are text, also next to one that does, and inside of it.
#[test]
fn a_name_that_does_not_count_is_text() {
    let mut content = byte_level();
    let names = [("<s>", 5), ("</s>", 6), ("ab ab", 7), ("/s", 12)];
    for (spelled, id) in [("<", 8), (">", 9), ("s", 10), ("/", 11)].into_iter().chain(names) {
        content["model"]["vocab"][spelled] = json!(id);
    }
    let mut inner = content["added_tokens"][0].clone();
    (inner["id"], inner["content"]) = (json!(12), json!("/s"));
    content["added_tokens"].as_array_mut().unwrap().push(inner);
    let tokenizer = load(&content).unwrap();
    let found = tokenizer.encode_documents("<s>a/s</s><s>", Names::End, END).unwrap();
    assert_eq!(found.ids, [5, 8, 10, 9, 0, 11, 10, 6, 5, 8, 10, 9]);
    assert_eq!((found.as_text["<s>"], found.found["</s>"]), (2, 1));
    let none = tokenizer.encode_documents("a</s>", Names::None, END).unwrap();
    assert_eq!(none.ids, [5, 0, 8, 11, 10, 9]);
    assert_eq!((none.as_text["</s>"], none.count), (1, 1));
}

/// A token that swallows the blanks after it does so between documents, too.
#[test]
fn an_end_that_swallows_blanks_swallows_them() {
    let mut content = byte_level();
    content["added_tokens"][1]["rstrip"] = json!(true);
    let tokenizer = load(&content).unwrap();
    let found = tokenizer.encode_documents("a</s>  ab", Names::End, END).unwrap();
    assert_eq!(found.ids, [5, 0, 6, 5, 3]);
}

#[test]
fn a_tokenizer_without_its_first_token_is_else_the_same() {
    let content = byte_level();
    let roberta = json!({"type": "RobertaProcessing", "sep": ["</s>", 6], "cls": ["<s>", 5],
        "trim_offsets": true, "add_prefix_space": false});
    let processors = [
        content["post_processor"].clone(),
        content["post_processor"]["processors"][1].clone(),
        roberta.clone(),
        json!({"type": "Sequence", "processors": [roberta]}),
        Value::Null,
    ];
    for processor in processors {
        let mut content = content.clone();
        content["post_processor"] = processor;
        let path = Path::new("tokenizer.json");
        let text = without_opening(path, &content.to_string()).unwrap();
        let own = Tokenizer::from_json_text(path, &text).unwrap();
        assert_eq!(own.opening(), [0; 0]);
        let plain = Encode { bos: Bos::Never, ..Encode::default() };
        let before = load(&content).unwrap();
        for text in ["ab ab a", "a</s>b"] {
            let ids = |tokenizer: &Tokenizer, options| tokenizer.encode(text, options).ok();
            assert_eq!(ids(&own, Encode::default()), ids(&before, plain));
        }
    }
    assert!(without_opening(Path::new("x"), "{").unwrap_err().to_string().starts_with("x: "));
}
