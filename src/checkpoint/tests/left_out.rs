//! What GGUF files leave out of their tokenizers, and what their architecture says instead.

use super::gguf::llama;
use super::{Gguf, Meta, counting};
use crate::checkpoint::Checkpoint;
use crate::tokenizer::{Bos, Encode, Special, Tokenizer};

/// The same file as of another architecture, with its tensors changed.
fn of(architecture: &'static str, file: Gguf) -> Gguf {
    let file = file.with("general.architecture", Meta::Text(architecture));
    let renamed = |key: &'static str| match key.strip_prefix("llama.") {
        Some(rest) => &*Box::leak(format!("{architecture}.{rest}").into_boxed_str()),
        None => key,
    };
    let pairs = file.pairs.into_iter().map(|(key, value)| (renamed(key), value)).collect();
    Gguf { pairs, ..file }
}

fn open(file: &Gguf) -> Checkpoint {
    let (_folder, path) = file.save();
    Checkpoint::open(&path).unwrap()
}

#[test]
fn an_architecture_with_one_pattern_names_it() {
    let mut qwen2 = of("qwen2", llama());
    for (name, rows) in [("q", 32), ("k", 16), ("v", 16)] {
        let name: &'static str = format!("blk.0.attn_{name}.bias").leak();
        qwen2 = qwen2.with_tensor(counting(name, &[rows], 0));
    }
    let pattern = |file: &Gguf| open(file).bpe().unwrap().unwrap().pattern;
    assert_eq!(pattern(&qwen2), "smollm", "what the file says");
    assert_eq!(pattern(&qwen2.without("tokenizer.ggml.pre")), "qwen2");
    assert_eq!(pattern(&llama().without("tokenizer.ggml.pre")), "default", "Llamas have several");
}

/// Phi-3's tokens for turns swallow the blanks after them: `▁b` is found after a blank that is no
/// longer there, since SentencePiece puts one before each piece.
#[test]
fn phi3s_added_tokens_swallow_blanks() {
    let tokens = ["<s>", "<|user|>", "▁b", "▁", "b", "<|end|>"];
    let mut file = of("phi3", llama())
        .with("phi3.rope.dimension_count", Meta::U32(16))
        .with("tokenizer.ggml.model", Meta::Text("llama"))
        .with("tokenizer.ggml.tokens", Meta::Texts(tokens.to_vec()))
        .with("tokenizer.ggml.token_type", Meta::U32s(vec![3, 3, 1, 1, 1, 4]))
        .with("tokenizer.ggml.scores", Meta::F32s(vec![0.0, 0.0, -1.0, -2.0, -3.0, 0.0]))
        .with("tokenizer.ggml.bos_token_id", Meta::U32(0));
    let joined = ["attn_q.", "attn_k.", "attn_v.", "ffn_gate.", "ffn_up.", "token_embd"];
    file.tensors.retain(|tensor| !joined.iter().any(|name| tensor.name.contains(name)));
    for (name, rows) in [("token_embd", 6), ("blk.0.attn_qkv", 64), ("blk.0.ffn_up", 64)] {
        let name: &'static str = format!("{name}.weight").leak();
        file = file.with_tensor(counting(name, &[rows, 32], 0));
    }
    let options = Encode { bos: Bos::Never, special: Special::Recognize };
    let ids = |text: &str| {
        let model = open(&file);
        let tokenizer = Tokenizer::from_checkpoint(&model).unwrap().unwrap();
        tokenizer.encode(text, options).unwrap()
    };
    assert_eq!(ids("<|user|> b<|end|>  b"), [1, 2, 5, 2]);
    assert_eq!(ids("<|user|>b"), [1, 2]);
    // A text's beginning does not.
    assert_eq!(ids("<s> b"), [0, 3, 2]);
}
