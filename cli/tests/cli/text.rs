//! Text in and out: tokenizers, standard input, streaming.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::{failure, json, model, pellucid, stderr, with_input};

/// A tokenizer with a token for each byte of ASCII, and one special token after them.
fn byte_tokenizer(folder: &Path) {
    // GPT-2's spelling: printable bytes are themselves, the others follow from U+0100 on.
    let spelled = |byte: u8| match byte {
        b'!'..=b'~' => char::from(byte),
        0..=b' ' => char::from_u32(0x100 + u32::from(byte)).unwrap(),
        _ => char::from_u32(0x100 + 33).unwrap(),
    };
    let vocab: serde_json::Map<String, Value> =
        (0..=127).map(|byte| (spelled(byte).to_string(), Value::from(byte))).collect();
    let tokenizer = serde_json::json!({
        "version": "1.0",
        "added_tokens": [{
            "id": 128, "content": "<end>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true
        }],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocab, "merges": []}
    });
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
}

#[test]
fn a_text_with_two_beginnings_is_told() {
    let folder = tempfile::tempdir().unwrap();
    byte_tokenizer(folder.path());
    let path = folder.path().join("tokenizer.json");
    let mut content: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    content["post_processor"] = serde_json::json!({
        "type": "TemplateProcessing", "pair": [],
        "single": [{"SpecialToken": {"id": "<end>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "special_tokens": {"<end>": {"id": "<end>", "ids": [128], "tokens": ["<end>"]}}
    });
    std::fs::write(&path, content.to_string()).unwrap();
    let tokenize = |args: &[&str]| {
        let mut command = pellucid(&["tokenize", "--json", "--model"]);
        command.arg(folder.path()).args(args).output().unwrap()
    };
    for (args, ids, told) in [
        (&["<end>a", "--special"][..], vec![128, 128, 97], true),
        (&["a<end>", "--special"], vec![128, 97, 128], false),
        (&["<end>a", "--special", "--no-bos"], vec![128, 97], false),
        (&["<e"], vec![128, 60, 101], false),
    ] {
        let output = tokenize(args);
        assert_eq!(json(&output)["ids"], serde_json::json!(ids), "{args:?}");
        let warned =
            "warning: the text begins with <end>, and the tokenizer puts <end> before it too";
        assert_eq!(stderr(&output).starts_with(warned), told, "{args:?}: {}", stderr(&output));
        assert_eq!(stderr(&output).is_empty(), !told, "{args:?}");
    }
}

/// A golden model with a tokenizer beside it.
pub(super) fn model_with_text(folder: &Path) -> PathBuf {
    for item in model("llama").read_dir().unwrap() {
        let path = item.unwrap().path();
        std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    byte_tokenizer(folder);
    folder.to_path_buf()
}

#[test]
fn tokenize_needs_only_a_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    byte_tokenizer(folder.path());
    let tokenize = |args: &[&str], path: &Path| {
        let mut command = pellucid(&["tokenize", "--json"]);
        command.args(args).arg("--model").arg(path).output().unwrap()
    };
    let found = json(&tokenize(&["a b"], folder.path()));
    assert_eq!(found["ids"], serde_json::json!([97, 32, 98]));
    assert_eq!(found["tokens"], serde_json::json!(["a", "Ġ", "b"]));
    let file = folder.path().join("tokenizer.json");
    assert_eq!(json(&tokenize(&["a b"], &file)), found);
    let special = json(&tokenize(&["<end>", "--special"], folder.path()));
    assert_eq!(special["ids"], serde_json::json!([128]));
    assert_eq!(json(&tokenize(&["<end>"], folder.path()))["ids"].as_array().unwrap().len(), 5);

    let mut command = pellucid(&["tokenize", "-", "--model"]);
    command.arg(folder.path());
    let table = with_input(command, b"hi");
    assert_eq!(String::from_utf8(table.stdout).unwrap(), "   104  h\n   105  i\n");
    let found = failure(&tokenize(&["a"], &model("gpt2")));
    assert!(found.contains("has no tokenizer"), "{found}");
}

/// The class beside a tokenizer.json may split texts in its own way, and other programs follow it.
#[test]
fn a_file_that_splits_otherwise_than_its_class_is_told() {
    let folder = tempfile::tempdir().unwrap();
    byte_tokenizer(folder.path());
    let path = folder.path().join("tokenizer.json");
    let written: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for (class, normalizer, told) in [
        ("GPT2Tokenizer", Value::Null, false),
        ("GPT2Tokenizer", serde_json::json!({"type": "NFC"}), true),
        ("Qwen2TokenizerFast", Value::Null, true),
        ("GPTNeoXTokenizerFast", serde_json::json!({"type": "NFC"}), false),
        ("GPTNeoXTokenizer", Value::Null, true),
        ("PreTrainedTokenizerFast", Value::Null, false),
        ("UnheardTokenizer", Value::Null, false),
    ] {
        let mut content = written.clone();
        content["normalizer"] = normalizer;
        std::fs::write(&path, content.to_string()).unwrap();
        let config = serde_json::json!({ "tokenizer_class": class });
        std::fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
        let mut command = pellucid(&["tokenize", "--json", "a b", "--model"]);
        let output = command.arg(folder.path()).output().unwrap();
        assert_eq!(json(&output)["ids"], serde_json::json!([97, 32, 98]));
        let words = "splits text in another way than the class";
        assert_eq!(stderr(&output).contains(words), told, "{class}: {}", stderr(&output));
    }
}

#[test]
fn prompts_are_read_alike_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = model_with_text(folder.path());
    let run = |args: &[&str]| {
        let mut command = pellucid(args);
        command.args(["--json", "--backend", "cpu", "--model"]).arg(&path);
        command
    };
    let given = json(&run(&["generate", "ab", "--max-new-tokens", "3"]).output().unwrap());
    let piped = run(&["generate", "-", "--max-new-tokens", "3"]);
    let piped = json(&with_input(piped, b"ab"));
    assert_eq!(given["prompt_tokens"], serde_json::json!([97, 98]));
    assert!(given["text"].is_string());
    assert_eq!((&given["tokens"], &given["text"]), (&piped["tokens"], &piped["text"]));
    assert_eq!(json(&with_input(run(&["score", "-"]), b"ab"))["tokens"], given["prompt_tokens"]);

    // The context is 37: a text is scored in windows, ids are not.
    let long = "abcdefgh".repeat(10);
    let file = path.join("long.txt");
    std::fs::write(&file, &long).unwrap();
    let found = json(&run(&["score", file.to_str().unwrap(), "--top", "1"]).output().unwrap());
    assert_eq!(found["logprobs"].as_array().unwrap().len(), 79);
    assert_eq!(found["top"].as_array().unwrap().len(), 80);
    assert!(failure(&run(&["generate", &long]).output().unwrap()).contains("80 tokens do not fit"));

    std::fs::write(&file, "ab").unwrap();
    let file_prompt = run(&["generate", "--prompt-file", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(json(&file_prompt)["prompt_tokens"], given["prompt_tokens"]);
    let piped = with_input(run(&["generate", "--prompt-file", "-"]), b"ab");
    assert_eq!(json(&piped)["prompt_tokens"], given["prompt_tokens"]);
    let missing = run(&["generate", "--prompt-file", "no/such.txt"]).output().unwrap();
    assert!(failure(&missing).starts_with("no/such.txt: "));

    let found = failure(&run(&["generate", ""]).output().unwrap());
    assert!(found.contains("the prompt is empty"), "{found}");
    let found = failure(&with_input(run(&["generate", "-"]), b"\xff"));
    assert!(found.starts_with("standard input: "), "{found}");
    std::fs::write(&file, "").unwrap();
    let found = failure(&run(&["score", file.to_str().unwrap()]).output().unwrap());
    assert!(found.contains("long.txt: holds no text"), "{found}");
}

/// Where the tokenizer puts a token first, a model can begin from nothing.
#[test]
fn a_text_may_begin_from_nothing_but_its_first_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = model_with_text(folder.path());
    let file = path.join("tokenizer.json");
    let mut tokenizer: Value =
        serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let first = serde_json::json!({"SpecialToken": {"id": "<end>", "type_id": 0}});
    let text = serde_json::json!({"Sequence": {"id": "A", "type_id": 0}});
    tokenizer["post_processor"] = serde_json::json!({
        "type": "TemplateProcessing",
        "single": [first, text],
        "pair": [first, text, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<end>": {"id": "<end>", "ids": [128], "tokens": ["<end>"]}}
    });
    std::fs::write(&file, tokenizer.to_string()).unwrap();
    let run = |args: &[&str]| {
        let mut command = pellucid(args);
        command.args(["--json", "--backend", "cpu", "--model"]).arg(&path).output().unwrap()
    };
    let found = json(&run(&["generate", "", "--max-new-tokens", "2"]));
    assert_eq!(found["prompt_tokens"], serde_json::json!([128]));
    let found = failure(&run(&["generate", "", "--no-bos"]));
    assert!(found.contains("the prompt is empty"), "{found}");
}

#[test]
fn text_streams_and_a_reader_may_leave() {
    let folder = tempfile::tempdir().unwrap();
    let path = model_with_text(folder.path());
    let mut command = pellucid(&["generate", "ab", "--ignore-eos", "--backend", "cpu", "--model"]);
    command.arg(&path).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
}

/// Sets a chat template beside the tokenizer: a token ends each turn.
fn with_template(folder: &Path) {
    let template = "{% for turn in messages %}{{ turn.role[0] + turn.content + '<end>' }}\
                    {% endfor %}a";
    std::fs::write(folder.join("chat_template.jinja"), template).unwrap();
}

#[test]
fn chat_answers_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = model_with_text(folder.path());
    let run = |args: &[&str], input: &[u8]| {
        let mut command = pellucid(args);
        command.args(["--backend", "cpu", "--model"]).arg(&path);
        with_input(command, input)
    };
    let found = failure(&run(&["chat"], b""));
    assert!(found.contains("the model has no chat template"), "{found}");

    with_template(folder.path());
    let args = ["chat", "--json", "--system", "S", "--max-new-tokens", "4", "--ignore-eos"];
    let output = run(&[&args[..], &["--seed", "5"]].concat(), b"x<end>\r\n\ny");
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let turns: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(turns.len(), 2, "{text}");
    // The template's ends are tokens, the one that was typed is text.
    let prompt = b"sS\x80ux<end>\x80a";
    assert_eq!(turns[0]["prompt_tokens"], Value::from(prompt.to_vec()));
    assert_eq!(turns[0]["tokens"].as_array().unwrap().len(), 4);
    let first = turns[0]["text"].as_str().unwrap();
    let second = turns[1]["prompt_tokens"].as_array().unwrap();
    assert_eq!(second[..prompt.len()], *turns[0]["prompt_tokens"].as_array().unwrap());
    assert!(second.ends_with(&b"\x80uy\x80a".map(Value::from)), "{first}: {second:?}");
    for turn in &turns {
        let keys: Vec<&str> = turn.as_object().unwrap().keys().map(String::as_str).collect();
        assert!(["finish", "seed", "timings", "memory"].iter().all(|key| keys.contains(key)));
        assert_eq!(turn["finish"], "length");
    }
    assert_eq!((&turns[0]["seed"], &turns[1]["seed"]), (&Value::from(5), &Value::from(6)));

    let output = run(&["chat", "--max-new-tokens", "4", "--ignore-eos"], b"x\n");
    assert!(output.status.success());
    assert!(output.stdout.ends_with(b"\n") && output.stdout.len() > 1);
    assert!(stderr(&output).contains("(cut off after --max-new-tokens 4)"));
}

#[test]
fn a_conversation_that_fills_the_context_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = model_with_text(folder.path());
    with_template(folder.path());
    let mut command = pellucid(&["chat", "--json", "--ignore-eos", "--context", "20"]);
    command.args(["--backend", "cpu", "--model"]).arg(&path);
    let output = with_input(command, b"abc\nabcdefghijklmnop\n");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let turn: Value = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!(turn["finish"], "context");
    let text = stderr(&output);
    assert!(text.contains("error: the conversation has "), "{text}");
    let way = "the context of 20 is full: start a new conversation, or raise --context (at most 40 \
               for this model)";
    assert_eq!(text.matches(way).count(), 2, "{text}");
}

#[test]
fn a_prompt_is_kept_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = model_with_text(folder.path());
    let file = folder.path().join("prompt.cache");
    let run = |args: &[&str], prompt: &str| {
        let mut command = pellucid(&["generate", "--max-new-tokens", "3", "--ignore-eos"]);
        command.args(args).arg(&file).args([prompt, "--backend", "cpu", "--model"]).arg(&path);
        command.output().unwrap()
    };
    let missing = failure(&run(&["--load-cache"], "abc"));
    assert!(missing.contains("prompt.cache: "), "{missing}");
    let saved = json(&run(&["--json", "--save-cache"], "abcdefgh"));
    let loaded = json(&run(&["--json", "--load-cache"], "abcdefgh"));
    assert_eq!((&loaded["tokens"], &loaded["text"]), (&saved["tokens"], &saved["text"]));
    let told = run(&["--load-cache"], "abcdefxy");
    assert!(stderr(&told).contains(", 6 tokens from the cache"), "{}", stderr(&told));
    std::fs::write(&file, "something else").unwrap();
    let foreign = failure(&run(&["--load-cache"], "abc"));
    assert!(foreign.ends_with("prompt.cache: is not a saved prompt cache of this version"));
}
