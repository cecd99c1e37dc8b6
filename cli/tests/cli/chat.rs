//! `pellucid chat` with templates of strangers, and what they are told.

use std::path::Path;

use super::text::model_with_text;
use super::{failure, json, pellucid, stderr, usage_error, with_input};

/// A model whose template is this.
fn with_template(folder: &Path, template: &str) {
    model_with_text(folder);
    std::fs::write(folder.join("chat_template.jinja"), template).unwrap();
}

#[test]
fn arguments_reach_the_template() {
    let folder = tempfile::tempdir().unwrap();
    let template = "{% for m in messages %}{{ m.content }}{% endfor %}{{ thinking is true }} \
                    {{ thinking is false }} {{ effort }}{{ tools | tojson }}";
    with_template(folder.path(), template);
    let chat = |args: &[&str]| {
        let mut command = pellucid(&["chat", "--json", "--max-new-tokens", "1"]);
        command.args(args).args(["--backend", "cpu", "--model"]).arg(folder.path());
        command
    };
    let prompt = |args: &[&str]| {
        let output = with_input(chat(args), b"x\n");
        let bytes = serde_json::from_value(json(&output)["prompt_tokens"].clone()).unwrap();
        (String::from_utf8(bytes).unwrap(), stderr(&output))
    };
    assert_eq!(prompt(&[]).0, "xFalse False null");
    let args = ["--template-arg", "thinking=false", "--template-arg", "effort=low"];
    assert_eq!(prompt(&args).0, "xFalse True lownull");
    let args =
        ["--template-arg", "thinking=true", "--template-arg", "tools=[{\"b\": 1, \"a\": 2}]"];
    assert_eq!(prompt(&args).0, "xTrue False [{\"b\": 1, \"a\": 2}]");
    // What the template does not read is told.
    let (text, told) = prompt(&["--template-arg", "thinkin=true"]);
    assert_eq!(text, "xFalse False null");
    assert!(told.contains("--template-arg thinkin: the chat template does not use it"), "{told}");
    for (arg, part) in [
        ("thinking", "expected NAME=VALUE"),
        ("messages=[]", "messages cannot be an argument of the template"),
        ("1=2", "\"1\" cannot be the name of a template's argument"),
    ] {
        let found = usage_error(&chat(&["--template-arg", arg]).output().unwrap());
        assert!(found.contains("--template-arg") && found.contains(part), "{found}");
    }
}

#[test]
fn a_template_with_two_beginnings_is_told() {
    let turns = "{% for m in messages %}{{ m.content }}{% endfor %}";
    for (begin, typed, count) in [
        ("{{ bos_token }}{{ bos_token }}", "x", 2),
        ("{{ bos_token }}", "x", 1),
        // What is typed is text.
        ("{{ bos_token }}", "<end>", 1),
    ] {
        let folder = tempfile::tempdir().unwrap();
        with_template(folder.path(), &format!("{begin}{turns}"));
        let config = r#"{"bos_token": "<end>"}"#;
        std::fs::write(folder.path().join("tokenizer_config.json"), config).unwrap();
        let mut command = pellucid(&["chat", "--json", "--max-new-tokens", "1", "--backend"]);
        command.args(["cpu", "--model"]).arg(folder.path());
        let output = with_input(command, format!("{typed}\n").as_bytes());
        let ids = json(&output)["prompt_tokens"].as_array().unwrap().clone();
        assert_eq!(ids.iter().filter(|id| **id == 128).count(), count, "{begin}: {ids:?}");
        let words = "the chat template writes <end> twice: the model reads two beginnings";
        assert_eq!(stderr(&output).contains(words), count == 2, "{begin}: {}", stderr(&output));
    }
}

#[test]
fn a_conversation_without_a_message_says_so() {
    let folder = tempfile::tempdir().unwrap();
    with_template(folder.path(), "{% for m in messages %}{{ m.content }}{% endfor %}");
    for (input, empty) in [(&b""[..], true), (b"\n  \n", true), (b"x\n", false)] {
        let mut command = pellucid(&["chat", "--max-new-tokens", "1", "--backend", "cpu"]);
        command.arg("--model").arg(folder.path());
        let output = with_input(command, input);
        let told = stderr(&output);
        assert!(output.status.success(), "{told}");
        assert_eq!(told.contains("(standard input has no message"), empty, "{told}");
        assert_eq!(output.stdout.is_empty(), empty);
    }
}

/// Within 400 MB of address space, of which the program itself needs a part.
#[cfg(target_os = "linux")]
#[test]
fn a_strangers_template_ends_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    for (template, part) in [
        (
            "{% set ns = namespace(x=1) %}{% set ns.x = ns %}{{ns}}",
            "line 1: a namespace, a macro or a loop inside of another value",
        ),
        (
            "{% set ns = namespace(x=[1]) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}\
             {% endfor %}{{ns.x}}",
            "line 1: a value nested deeper than 64",
        ),
        (
            "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x,ns.x] %}\
             {% endfor %}{{ns.x}}",
            "it takes more than 32 MB of memory and output",
        ),
        (
            "{% for i in range(50) %}{{ 'a' * 1000000 }}{% endfor %}",
            "it takes more than 32 MB of memory and output",
        ),
    ] {
        with_template(folder.path(), template);
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "ulimit -v 400000; exec \"$@\"", "sh"]);
        command.args([env!("CARGO_BIN_EXE_pellucid"), "chat", "--backend", "cpu", "--model"]);
        command.arg(folder.path());
        let found = failure(&with_input(command, b"hi\n"));
        let name = format!("{}: chat template: ", folder.path().display());
        assert!(found.starts_with(&name) && found.contains(part), "{template}: {found}");
    }
}
