//! How failures end: an exit code, and one sentence that names what is at fault.

use std::process::Output;

use serde_json::{Value, json as object};

use crate::text::model_with_text;
use crate::{failure, json, on_cpu, pellucid, stderr, usage_error, with_input};

#[test]
fn failures_are_one_sentence_that_names_what_is_at_fault() {
    let sentence = |args: &[&str]| failure(&on_cpu("gpt2", args));
    for (args, names) in [
        (&["generate", "--tokens", "501"][..], "token 501 is outside the vocabulary of 501"),
        (&["generate", "some text"], "no tokenizer; give token ids with --tokens"),
        (&["generate", "--tokens", "1", "--context", "38"], "the context must be from 1 to"),
        (
            &["generate", "--tokens", "1,2,3", "--context", "2"],
            "shorten the text or raise --context",
        ),
        (&["generate", "--tokens", "1", "--temperature", "-1"], "temperature must be 0 or more"),
        (&["generate", "--tokens", "1", "--top-p", "0"], "top-p must be above 0"),
        (&["generate", "--tokens", "1", "--logprobs", "502"], "--logprobs 502 is more than"),
        (&["generate", "--tokens", "1", "--adapter", "0"], "--adapter names a GPU"),
        (&["score", "--tokens", "1,2,3", "--context", "2"], "3 tokens do not fit"),
        (&["score", "--tokens", "1,2", "--top", "502"], "--top 502 is more than"),
        (&["score", "no/such/file.txt"], "no/such/file.txt"),
    ] {
        let found = sentence(args);
        assert!(found.contains(names), "{args:?}: {found}");
    }
    let output = |args: &[&str]| failure(&pellucid(args).output().unwrap());
    let found = output(&["generate", "--tokens", "1024", "--backend", "cpu"]);
    assert!(found.contains("token 1024 is outside the vocabulary of 1024"), "{found}");
    let found = output(&["generate", "--tokens", "1", "--model", "no/such/folder/model.gguf"]);
    assert!(found.starts_with("no/such/folder/model.gguf: "), "{found}");
    let found = output(&["score", "--tokens", "1,2", "--model", "an-owner/a-model"]);
    assert!(found.starts_with("an-owner/a-model is not in the cache "), "{found}");
}

#[test]
fn wrong_usage_ends_with_two() {
    for (args, names) in [
        (&["generate"][..], "PROMPT"),
        (&["generate", "text", "--tokens", "1"], "cannot be used with"),
        (&["generate", "--tokens", "1,x"], "\"x\" is not a token id"),
        (&["generate", "--tokens", ""], "there are no token ids"),
        (&["generate", "--tokens", "1", "--backend", "cuda"], "vulkan"),
        (&["generate", "--tokens", "1", "--max-new-tokens", "many"], "--max-new-tokens"),
        (&["generate", "--tokens", "1", "--quantize", "q2"], "q8_0"),
        (&["score", "--tokens", "1", "--top", "0"], "--top"),
        (&["bench", "--only", "everything"], "tg64_context_4096"),
        (&["paint"], "paint"),
    ] {
        let found = usage_error(&pellucid(args).output().unwrap());
        assert!(found.contains(names), "{args:?}: {found}");
    }
}

#[test]
fn a_file_that_is_no_text_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("song.txt");
    std::fs::write(&path, b"la la \xff la").unwrap();
    let found = failure(&on_cpu("gpt2", &["score", path.to_str().unwrap()]));
    assert!(found.contains("song.txt") && found.contains("UTF-8 at byte 6"), "{found}");
}

/// A tokenizer that cannot be read stops only those who need it.
#[test]
fn ids_need_no_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    let model = model_with_text(folder.path());
    let run = |args: &[&str]| {
        let mut command = pellucid(args);
        command.args(["--json", "--backend", "cpu", "--model"]).arg(&model).output().unwrap()
    };
    let commands = [
        &["score", "--tokens", "1,2,3"][..],
        &["generate", "--tokens", "1,2,3", "--max-new-tokens", "3", "--temperature", "0"],
        &["inspect", "lens", "--tokens", "1,2,3"],
    ];
    let whole = commands.map(|args| json(&run(args)));
    for broken in ["{", r#"{"model": {"type": "Unheard"}}"#] {
        std::fs::write(model.join("tokenizer.json"), broken).unwrap();
        for (args, whole) in commands.iter().zip(&whole) {
            let output = run(args);
            let told = stderr(&output);
            assert!(told.contains("tokenizer.json") && told.contains("token ids only"), "{told}");
            for key in ["tokens", "logprobs"] {
                assert_eq!(json(&output)[key], whole[key], "{args:?}");
            }
        }
        for args in [&["generate", "text"][..], &["inspect", "lens", "text"]] {
            assert!(failure(&run(args)).contains("tokenizer.json"), "{args:?}");
        }
    }
}

#[test]
fn emptiness_is_refused_before_a_model_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.txt");
    std::fs::write(&empty, "").unwrap();
    let empty = empty.to_str().unwrap();
    let sentence = |args: &[&str]| {
        let output = with_input(pellucid(args), b"");
        assert!(!stderr(&output).contains("loading"), "{}", stderr(&output));
        failure(&output)
    };
    for args in [
        &["generate", ""][..],
        &["generate", "-"],
        &["generate", "--prompt-file", empty],
        &["generate", "", "--no-bos"],
    ] {
        assert_eq!(sentence(args), "the prompt is empty; give some text", "{args:?}");
    }
    assert!(sentence(&["score", empty]).ends_with("empty.txt: holds no text to score"));
    assert_eq!(sentence(&["score", "-"]), "standard input: holds no text to score");
    assert_eq!(sentence(&["generate", "--tokens", "-"]), "standard input: holds no token ids");
    let patch = ["inspect", "patch", "--what", "z", "--answer", "a", "--versus", "b"];
    for texts in [["--clean", "", "--corrupted", "a"], ["--clean", "a", "--corrupted", ""]] {
        let found = sentence(&[&patch[..], &texts].concat());
        assert!(found.starts_with("the prompt is empty"), "{found}");
    }
    let out = folder.path().join("out.gguf");
    let direction = ["direction", "--positive", empty, "--negative", empty, "-o"];
    let found = sentence(&[&direction[..], &[out.to_str().unwrap()]].concat());
    assert!(found.ends_with("empty.txt: holds no text to use"), "{found}");
    let ablate = ["inspect", "ablate", "a", "--what", "head", "--metric", "logit_diff"];
    assert_eq!(sentence(&ablate), "--metric logit_diff needs --answer and --versus");
    let mean = ["inspect", "ablate", "a", "--what", "head", "--how", "mean", "--mean-of", empty];
    assert!(sentence(&mean).ends_with("empty.txt: holds no text to use"));
}

/// A sequence that clears a terminal and names its window, a line that looks like another message, and
/// a character that turns the text around.
const SEQUENCE: &str = "\x1b[2J\x1b]0;x\x07\u{9b}1m\u{202e}";

/// Fails if a terminal would obey what the program printed.
fn check_shown(output: &Output, what: &str) {
    for stream in [&output.stdout, &output.stderr] {
        let text = String::from_utf8(stream.clone()).unwrap();
        let obeyed = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!text.contains(obeyed), "{what}: {text:?}");
    }
    let told = stderr(output);
    assert!(told.contains("u{1b}[2J"), "{what}: {told:?}");
}

#[test]
fn the_names_of_strangers_are_shown_and_not_obeyed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(format!("{name}{SEQUENCE}"));
    let model = |path: &std::path::Path| {
        let mut command = pellucid(&["generate", "--json", "--tokens", "1", "--backend", "cpu"]);
        command.arg("--model").arg(path).output().unwrap()
    };
    // Files, tensors and fields.
    check_shown(&model(&path("missing")), "a missing file");
    std::fs::write(path("bad"), "GGUF").unwrap();
    check_shown(&model(&path("bad")), "a damaged file");
    let files = pellucid(&["tokenize", "a"]).arg(path("b")).output().unwrap();
    assert!(usage_error(&files).contains("unexpected argument"), "{}", stderr(&files));
    check_shown(&files, "names in the place of a *");
    let plain = folder.path().join("plain");
    std::fs::create_dir(&plain).unwrap();
    model_with_text(&plain);
    let weights = plain.join("model.safetensors");
    let good = std::fs::read(&weights).unwrap();
    let tensor = object!({"dtype": "F32", "shape": [1], "data_offsets": [0, 8]});
    let header = object!({(SEQUENCE): tensor}).to_string();
    let length = (header.len() as u64).to_le_bytes();
    std::fs::write(&weights, [&length, header.as_bytes(), &[0; 8]].concat()).unwrap();
    check_shown(&model(&plain), "a tensor");
    std::fs::write(&weights, good).unwrap();
    // What a template says.
    let said = format!("{{{{ raise_exception('{SEQUENCE}') }}}}");
    std::fs::write(plain.join("chat_template.jinja"), said).unwrap();
    let mut chat = pellucid(&["chat", "--json", "--backend", "cpu", "--model"]);
    chat.arg(&plain);
    check_shown(&with_input(chat, b"x\n"), "a template");
    // A configuration.
    std::fs::write(plain.join("config.json"), object!({"model_type": SEQUENCE}).to_string())
        .unwrap();
    check_shown(&model(&plain), "a field");
}

#[test]
fn a_token_is_listed_on_a_line_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    model_with_text(folder.path());
    let path = folder.path().join("tokenizer.json");
    let mut content: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let name = format!("{SEQUENCE}\n    65  A");
    content["added_tokens"][0]["content"] = name.clone().into();
    std::fs::write(&path, content.to_string()).unwrap();
    let tokenize = |args: &[&str]| {
        let mut command = pellucid(&["tokenize", "--special", "--no-bos"]);
        command.args(args).arg(&name).arg("--model").arg(folder.path()).output().unwrap()
    };
    let found = tokenize(&["--json"]);
    assert!(!found.stdout.iter().any(|byte| *byte < 0x20 && *byte != b'\n' || *byte == 0x9b));
    assert_eq!(json(&found)["tokens"], object!([name]));
    let listed = String::from_utf8(tokenize(&[]).stdout).unwrap();
    assert_eq!(listed.lines().count(), 1, "{listed:?}");
    assert!(!listed.contains(|c: char| c.is_control() && c != '\n'), "{listed:?}");
    assert!(listed.contains("u{1b}[2J") && listed.contains("\\n    65  A"), "{listed:?}");
}
