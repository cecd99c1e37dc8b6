//! Files that are no plain files, and text that a terminal would obey.

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

use crate::{failure, json, list, on_cpu, pellucid, stderr, with_input};

/// A named pipe in a folder.
fn pipe(folder: &Path) -> PathBuf {
    let path = folder.join("pipe");
    if !path.exists() {
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    }
    path
}

fn reader(pipe: &Path) -> JoinHandle<Vec<u8>> {
    let pipe = pipe.to_owned();
    std::thread::spawn(move || fs::read(pipe).unwrap())
}

fn writer(pipe: &Path, text: &'static str) -> JoinHandle<()> {
    let pipe = pipe.to_owned();
    std::thread::spawn(move || fs::write(pipe, text).unwrap())
}

fn is_pipe(path: &Path) -> bool {
    fs::symlink_metadata(path).unwrap().file_type().is_fifo()
}

#[test]
fn a_pipe_and_a_link_are_written_as_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("text"), "low lower lowest low low\n").unwrap();
    let train = |output: &Path| {
        let mut command = pellucid(&["tokenizer", "train", "--kind", "characters", "--json", "-o"]);
        command.arg(output).arg(at("text"));
        json(&command.output().unwrap())
    };
    let plain = train(&at("plain.json"));
    let expected = fs::read(at("plain.json")).unwrap();
    let (pipe, link) = (pipe(folder.path()), at("link"));
    symlink("pipe", &link).unwrap();
    for output in [&pipe, &link] {
        let reader = reader(&pipe);
        let found = train(output);
        assert_eq!(reader.join().unwrap(), expected);
        assert_eq!(found["vocab_size"], plain["vocab_size"]);
    }
    assert!(is_pipe(&pipe) && link.is_symlink());

    fs::write(at("target.json"), "old").unwrap();
    symlink("target.json", at("to target")).unwrap();
    train(&at("to target"));
    assert!(at("to target").is_symlink());
    assert_eq!(fs::read(at("target.json")).unwrap(), expected);

    let save = |place: &Path| {
        let mut command = pellucid(&["generate", "--tokens", "1,2,3", "--max-new-tokens", "3"]);
        command.args(["--temperature", "0", "--backend", "cpu", "--save-cache"]).arg(place);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    };
    save(&at("cache"));
    let saved = reader(&pipe);
    save(&pipe);
    assert_eq!(saved.join().unwrap(), fs::read(at("cache")).unwrap());
    assert!(is_pipe(&pipe));
    let mut names: Vec<String> = folder
        .path()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = ["cache", "link", "pipe", "plain.json", "target.json", "text", "to target"];
    assert_eq!(names, expected, "nothing else is left");
}

#[test]
fn texts_come_from_pipes_too_and_models_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let (pipe, file) = (pipe(folder.path()), folder.path().join("file"));
    let text = "To be, or not to be";
    fs::write(&file, text).unwrap();
    let score = |path: &Path| {
        let command = &["score", "--json", "--backend", "cpu", path.to_str().unwrap()];
        json(&pellucid(command).output().unwrap())
    };
    let expected = score(&file);
    let sent = writer(&pipe, text);
    let found = score(&pipe);
    sent.join().unwrap();
    assert_eq!(found["tokens"], expected["tokens"]);
    assert_eq!(found["logprobs"], expected["logprobs"]);

    let sent = writer(&pipe, text);
    let mut command =
        pellucid(&["generate", "--json", "--backend", "cpu", "--max-new-tokens", "0"]);
    let found = json(&command.arg("--prompt-file").arg(&pipe).output().unwrap());
    sent.join().unwrap();
    assert_eq!(list(&found["prompt_tokens"]), list(&expected["tokens"]));

    // Nobody writes into the pipe: to open it would wait for ever.
    let mut command = pellucid(&["generate", "--backend", "cpu", "--tokens", "1", "--model"]);
    let told = failure(&command.arg(&pipe).output().unwrap());
    assert!(told.contains("is a pipe or a device, but must be read at any place"), "{told}");
}

#[test]
fn an_input_without_an_end_is_refused() {
    let told = failure(&on_cpu("gpt2", &["score", "/dev/zero"]));
    assert_eq!(
        told,
        "/dev/zero: holds more than the 256 MiB that are read from a pipe or a device: save it as a \
         file first"
    );
    let mut command = pellucid(&["score", "-", "--backend", "cpu"]);
    command.stdin(fs::File::open("/dev/zero").unwrap());
    let told = failure(&command.output().unwrap());
    assert!(told.starts_with("standard input: holds more than the 256 MiB"), "{told}");
    // A tokenizer that is learned from it piece by piece, without a place to cut.
    let folder = tempfile::tempdir().unwrap();
    for kind in [["--vocab-size", "300"], ["--kind", "characters"]] {
        let mut command = pellucid(&["tokenizer", "train", "/dev/zero", "-o"]);
        let told = failure(&command.arg(folder.path().join("t.json")).args(kind).output().unwrap());
        assert!(told.starts_with("/dev/zero: holds more than the 256 MiB"), "{told}");
        assert!(!folder.path().join("t.json").exists());
    }
}

#[test]
fn messages_hold_no_control_sequences_and_end() {
    let name = "a\x1b]0;owned\x07\x1b[2Jb\u{202e}c";
    let told = failure(&pellucid(&["score", name, "--backend", "cpu"]).output().unwrap());
    let shown = "a\\u{1b}]0;owned\\u{7}\\u{1b}[2Jb\\u{202e}c: ";
    assert!(told.starts_with(shown), "{told}");

    let command = || pellucid(&["score", "--tokens", "-", "--backend", "cpu"]);
    let word = "x".repeat(1 << 20);
    let told = failure(&with_input(command(), word.as_bytes()));
    assert!(told.starts_with("\"xxx") && told.ends_with("give ids such as 1,2,3"), "{told:.200}");
    assert!(told.contains(" more characters ...] ") && told.len() < 5000, "{}", told.len());
}
