//! Tokens that end a text or a turn: by id, and by name.

use serde_json::{Value, json};

use super::folders::{llama_config, llama_tensors};
use super::gguf::llama;
use super::llamas::with;
use super::{Gguf, Meta, counting, folder, write};
use crate::checkpoint::{ALSO_TEXT, Checkpoint, END_OF_FILE, END_OF_PART, ENDS};
use crate::tokenizer::{Encode, Tokenizer};

fn ends(model: &Checkpoint) -> Vec<u32> {
    let tokenizer = Tokenizer::from_checkpoint(model).unwrap().unwrap();
    tokenizer.ends(model).unwrap()
}

/// A GGUF model with these last tokens, of these kinds, after `a` and `b`.
fn gguf(tokens: [&'static str; 2], kinds: [u32; 2]) -> Gguf {
    let file = llama()
        .with("tokenizer.ggml.tokens", Meta::Texts([["a", "b"], tokens].concat()))
        .with("tokenizer.ggml.token_type", Meta::U32s([[1, 1], kinds].concat()))
        .with("tokenizer.ggml.merges", Meta::Texts(Vec::new()))
        .with_tensor(counting("token_embd.weight", &[4, 32], 0));
    file.without("tokenizer.ggml.bos_token_id").without("tokenizer.ggml.eos_token_id")
}

#[test]
fn control_tokens_of_gguf_end_a_turn_by_their_names() {
    let open = |file: &Gguf| {
        let (_folder, path) = file.save();
        ends(&Checkpoint::open(&path).unwrap())
    };
    for name in ENDS {
        let file = gguf(["<other>", name], [3, 3]);
        assert_eq!(open(&file), [3], "{name}");
        // The id that the file gives stays one.
        let both = file.with("tokenizer.ggml.eos_token_id", Meta::U32(2));
        assert_eq!(open(&both), [2, 3], "{name}");
        // The name counts, whatever the file says of its kind; only Gemma's HTML is text.
        for kind in [1, 4] {
            let expected: &[u32] = if name == "</s>" { &[] } else { &[3] };
            assert_eq!(open(&gguf(["<other>", name], [3, kind])), expected, "{name}");
            let given = gguf(["<other>", name], [3, kind]);
            let given = given.with("tokenizer.ggml.eos_token_id", Meta::U32(3));
            assert_eq!(open(&given), [3], "{name}");
        }
    }
    // What somebody types is text.
    let (_folder, path) = gguf(["<|im_end|>", "</s>"], [4, 4]).save();
    let tokenizer = Tokenizer::from_checkpoint(&Checkpoint::open(&path).unwrap()).unwrap().unwrap();
    assert!(tokenizer.encode("<|im_end|>", Encode::default()).is_err(), "it is spelled out");
    assert_eq!(tokenizer.encode("a</s>", Encode::default()).unwrap(), [0, 3]);
    assert!(open(&gguf(["<|im_start|>", "<other>"], [3, 3])).is_empty());
}

/// A folder whose tokenizer has these special tokens after `a` and `b`, at ids from 2 on.
fn with_tokens(config: Value, special: &[(&str, bool)]) -> tempfile::TempDir {
    let folder = folder(&with(llama_config(), config), &llama_tensors("model."));
    let added: Vec<Value> = (2..)
        .zip(special)
        .map(|(id, (content, special)): (u32, _)| {
            json!({
                "id": id, "content": content, "special": special, "normalized": false,
                "single_word": false, "lstrip": false, "rstrip": false,
            })
        })
        .collect();
    let bytes = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
    });
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null, "pre_tokenizer": bytes, "post_processor": null, "decoder": bytes,
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
    });
    write(folder.path(), "tokenizer.json", tokenizer.to_string());
    folder
}

#[test]
fn special_tokens_of_folders_end_a_turn_by_their_names() {
    let names = [("<|eot_id|>", true), ("<|im_end|>", false), ("<stop>", true)];
    let open = |folder: &tempfile::TempDir| ends(&Checkpoint::open(folder.path()).unwrap());
    let none = with_tokens(json!({"eos_token_id": null}), &names);
    // As in GGUF the name counts, whatever the file says of its kind, and what somebody types is text.
    assert_eq!(open(&none), [2, 3]);
    let tokenizer = Tokenizer::from_folder(none.path()).unwrap().unwrap();
    assert!(tokenizer.is_special(3), "it is text by the file");
    let other = with_tokens(json!({"eos_token_id": 5}), &names);
    assert_eq!(open(&other), [2, 3, 5]);
    // The list for generation is read, and the token that tokenizer_config.json names.
    write(other.path(), "generation_config.json", r#"{"eos_token_id": [1, 3]}"#);
    assert_eq!(open(&other), [1, 2, 3]);
    write(other.path(), "tokenizer_config.json", r#"{"eos_token": "<stop>"}"#);
    assert_eq!(open(&other), [1, 2, 3, 4]);
    // A part of a turn ends where the turn has other ends.
    let (part, pairs) = END_OF_PART;
    for (one, other) in pairs[0].into_iter().flat_map(|one| pairs[1].map(|other| (one, other))) {
        let parts = [(part, true), (one, true), (other, true)];
        assert_eq!(open(&with_tokens(json!({"eos_token_id": null}), &parts)), [3, 4]);
    }
    assert_eq!(open(&with_tokens(json!({"eos_token_id": null}), &[(part, true)])), [2]);
    // Every name that ends a turn elsewhere, and what comes between files of code.
    for name in ENDS {
        let special = [("x", true), (name, true)];
        assert_eq!(open(&with_tokens(json!({"eos_token_id": null}), &special)), [3], "{name}");
        let text = with_tokens(json!({"eos_token_id": null}), &[("x", true), (name, false)]);
        let expected: &[u32] = if name == ALSO_TEXT { &[] } else { &[3] };
        assert_eq!(open(&text), expected, "{name}");
    }
    for name in END_OF_FILE {
        let text = with_tokens(json!({"eos_token_id": null}), &[("x", true), (name, false)]);
        assert_eq!(open(&text), [3], "{name}");
        let tokenizer = Tokenizer::from_folder(text.path()).unwrap().unwrap();
        assert!(!tokenizer.is_special(3), "{name} stays what it is");
    }
    // A token outside of the model's vocabulary of six is never drawn.
    let many = [("x", true), ("y", true), ("z", true), ("w", true), ("</s>", true)];
    assert!(open(&with_tokens(json!({"eos_token_id": null}), &many)).is_empty());
}
