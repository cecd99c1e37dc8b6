//! Ctrl-C, and disks that are full: what was drawn is kept, and what was there before stays.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::{model, pellucid, stderr};

/// Sends a signal to a program that has begun to write, as Ctrl-C does; gives what it came to.
fn interrupted(mut command: Command, signal: &str) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let mut output = child.wait_with_output().unwrap();
    output.stdout.insert(0, first[0]);
    output
}

/// A model whose texts are long enough to be interrupted.
fn smollm2() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/models/SmolLM2-135M-Instruct.Q4_1.gguf");
    assert!(path.exists(), "{} is missing: run `cargo xtask models`", path.display());
    path
}

#[test]
fn an_interrupted_text_is_kept() {
    let path = smollm2();
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let generate = |options: &[&str]| {
        let mut command = pellucid(&["generate", "Once upon a time", "--ignore-eos"]);
        command.args(["--temperature", "0", "--context", "4000", "--model"]).arg(&path);
        command.args(options);
        command
    };
    let mut command = generate(&["--max-new-tokens", "3900", "--save-cache"]);
    command.arg(&cache);
    let output = interrupted(command, "-INT");
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("tokens (interrupted)"), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with('\n'), "{text}");

    // Text and cache are those of a run that was asked for as much.
    let drawn = stderr_count(&output.stderr);
    let mut again = generate(&["--json", "--load-cache"]);
    again.arg(&cache).args(["--max-new-tokens", &drawn.to_string()]);
    let again: Value = serde_json::from_slice(&again.output().unwrap().stdout).unwrap();
    assert_eq!(again["text"].as_str().unwrap(), text.trim_end_matches('\n'));
}

/// What a system sends that shuts down, and a terminal that is closed.
#[test]
fn other_ends_keep_what_was_made_as_well() {
    for (signal, code) in [("-TERM", 143), ("-HUP", 129)] {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        let mut command = pellucid(&["generate", "ROMEO:", "--ignore-eos", "--backend", "cpu"]);
        command.args(["--temperature", "0", "--max-new-tokens", "200", "--save-cache"]).arg(&cache);
        let output = interrupted(command, signal);
        assert_eq!(output.status.code(), Some(code), "{signal}: {}", stderr(&output));
        assert!(stderr(&output).contains("tokens (interrupted)"), "{}", stderr(&output));
        assert!(cache.metadata().unwrap().len() > 0, "{signal}");
    }
}

/// Ctrl-C ends an answer, but a system that shuts down means the whole program, which still waits for
/// what is typed.
#[test]
fn a_conversation_ends_when_the_program_is_asked_to() {
    let path = smollm2();
    for (signal, code) in [("-TERM", 143), ("-HUP", 129), ("-INT", 0)] {
        let mut command = pellucid(&["chat", "--ignore-eos", "--max-new-tokens", "1900"]);
        command.arg("--model").arg(&path).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"x\n").unwrap();
        let mut first = [0];
        child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        // The conversation that goes on ends with its input.
        let open = if code == 0 {
            drop(input);
            None
        } else {
            Some(input)
        };
        let output = child.wait_with_output().unwrap();
        drop(open);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{signal}: {told}");
        assert_eq!(told.contains("Ctrl-C again"), code == 0, "{signal}: {told}");
    }
}

/// `nohup` starts a program that is to outlive its terminal.
#[test]
fn an_ignored_hangup_stays_ignored() {
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]);
    let program = pellucid(&["generate", "ROMEO:", "--ignore-eos", "--backend", "cpu"]);
    command.arg(program.get_program()).args(program.get_args());
    command.args(["--temperature", "0", "--max-new-tokens", "12"]);
    let output = interrupted(command, "-HUP");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("12 tokens (length)"), "{}", stderr(&output));
}

/// `12 tokens (interrupted), ...`
fn stderr_count(stderr: &[u8]) -> usize {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().find(|line| line.contains(" tokens (")).unwrap();
    line.split(' ').next().unwrap().parse().unwrap()
}

/// A limit on the size of files stands in for a full disk: writing fails halfway.
#[test]
fn a_full_disk_costs_neither_the_text_nor_the_file_that_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    std::fs::write(&cache, "what was there").unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "sh"]);
    let program = pellucid(&["generate", "--json", "--tokens", "1,2,3", "--max-new-tokens", "30"]);
    command.arg(program.get_program()).args(program.get_args());
    command.args(["--backend", "cpu", "--model"]).arg(model("llama"));
    let output = command.arg("--save-cache").arg(&cache).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let text = stderr(&output);
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("error: ") && last.contains("cache"), "{text}");
    let drawn: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(drawn["tokens"].as_array().is_some_and(|tokens| !tokens.is_empty()), "{drawn}");
    assert_eq!(std::fs::read_to_string(&cache).unwrap(), "what was there");
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing half-written is left"
    );
}
