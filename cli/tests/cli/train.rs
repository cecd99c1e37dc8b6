//! Training as users do it, on the machine's adapter: runs that end, that are killed, that go on.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{failure, json, model, pellucid, stderr};

pub(super) const TEXT: &str =
    "to be, or not to be, that is the question: whether 'tis nobler in the mind to suffer\n";

/// A small run on a text, in folders of its own.
pub(super) struct Run(tempfile::TempDir);

impl Run {
    pub(super) fn new() -> Self {
        let run = Self(tempfile::tempdir().unwrap());
        std::fs::write(run.place("text"), TEXT.repeat(12)).unwrap();
        run
    }

    pub(super) fn place(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn command(&self, output: &str, options: &[&str]) -> std::process::Command {
        self.on("text", output, options)
    }

    /// On a file of its folder.
    pub(super) fn on(&self, data: &str, output: &str, options: &[&str]) -> std::process::Command {
        let mut command = pellucid(&["train", "--json"]);
        command.arg(self.place(data)).arg("--output").arg(self.place(output)).args(options);
        command
    }

    /// A file of its folder.
    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        let path = self.place(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

pub(super) const SMALL: [&str; 15] = [
    "--f16",
    "--layers",
    "1",
    "--heads",
    "2",
    "--width",
    "16",
    "--context",
    "16",
    "--batch",
    "2",
    "--lr",
    "1e-2",
    "--dropout",
    "0.1",
];

#[test]
fn a_run_on_the_adapter_that_is_killed_goes_on_with_the_same_losses() {
    let run = Run::new();
    let steps = ["--steps", "40", "--eval-every", "10", "--save-every", "5"];
    let options = [&SMALL[..], &steps].concat();
    let report = json(&run.command("whole", &options).output().unwrap());
    assert_eq!((&report["steps"], &report["interrupted"]), (&40.into(), &false.into()));
    assert!(report["valid_loss"].as_f64().unwrap() < 3.0, "{report}");
    // Killed, whatever it was doing, when it has learned for a while.
    let stopped = run.place("stopped");
    let mut child = run.command("stopped", &options).spawn().unwrap();
    let start = Instant::now();
    let log = stopped.join("log.jsonl");
    let count = || std::fs::read_to_string(&log).map_or(0, |text| text.lines().count());
    while count() < 17 && start.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(count() >= 17, "the run has learned for {} steps only", count());
    assert_eq!(child.try_wait().unwrap(), None, "the run ended before it was killed");
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(!status.success(), "the run ended by itself: {status}");
    let output = run.command("stopped", &["--resume"]).output().unwrap();
    let resumed = json(&output);
    assert!(stderr(&output).contains("resuming after step"), "{}", stderr(&output));
    assert_eq!(resumed["valid_loss"], report["valid_loss"]);
    let logs = ["stopped/log.jsonl", "whole/log.jsonl"].map(|log| run.read(log));
    assert!(logs[0] == logs[1], "the logs differ");
    let lines = String::from_utf8(logs[0].clone()).unwrap();
    assert_eq!(lines.lines().count(), 44);
    assert!(!lines.contains("tokens_per_s"), "times are in a file of their own");
    assert_eq!(run.read("stopped/loss.svg"), run.read("whole/loss.svg"));
    let timings = String::from_utf8(run.read("stopped/timings.jsonl")).unwrap();
    assert_eq!(timings.lines().count(), 40);
    for file in ["model/model.safetensors", "step-00000040/optimizer.safetensors", "loss.svg"] {
        assert!(stopped.join(file).exists(), "{file}");
    }
    let read =
        |folder: &str| std::fs::read(run.place(folder).join("model/model.safetensors")).unwrap();
    let whole = read("whole");
    assert!(whole == read("stopped"), "the same model");
    let header = String::from_utf8_lossy(&whole[..200]);
    assert!(header.contains("\"F16\"") && !header.contains("\"F32\""), "{header}");

    // The model is one as any other.
    let mut generate = pellucid(&["generate", "--json", "--max-new-tokens", "3", "to be"]);
    let said = json(&generate.arg("--model").arg(run.place("whole/model")).output().unwrap());
    assert_eq!(said["tokens"].as_array().unwrap().len(), 3);
    // And can be gone on with, on other text.
    let from = run.place("whole/model").display().to_string();
    let onward = ["--from", &from, "--steps", "2", "--batch", "2", "--mixed"];
    let output = run.command("tuned", &onward).output().unwrap();
    assert_eq!(json(&output)["steps"], 2);
    assert!(stderr(&output).contains("training takes"), "{}", stderr(&output));

    // A run is not begun over another, nor gone on with as if it were another.
    let error = failure(&run.command("whole", &options).output().unwrap());
    assert!(error.contains("--resume"), "{error}");
    let other = run.command("whole", &["--resume", "--lr", "5"]).output().unwrap();
    let error = failure(&other);
    assert!(error.contains("other settings of: lr"), "{error}");
    std::fs::write(
        run.place("text"),
        "or to suffer in the mind: that is the question\n".repeat(20),
    )
    .unwrap();
    let error = failure(&run.command("whole", &["--resume"]).output().unwrap());
    assert!(error.contains("the data is not the one"), "{error}");
}

#[test]
fn what_cannot_be_learned_from_on_the_adapter_is_told_in_a_sentence() {
    let run = Run::new();
    let told = |text: &[u8], options: &[&str]| {
        std::fs::write(run.place("text"), text).unwrap();
        let _ = std::fs::remove_dir_all(run.place("out"));
        failure(&run.command("out", options).output().unwrap())
    };
    let small = [&SMALL[..], &["--steps", "2"]].concat();
    let large = ["--preset", "char", "--val-fraction", "0", "--batch", "500000"];
    let text = TEXT.as_bytes();
    let gpt2 = model("gpt2").display().to_string();
    for (text, options, words) in [
        (&b""[..], &small[..], "text"),
        (b"tiny", &small, "too few for a context of 16"),
        (b"\xff\xfe\xfd", &small, "UTF-8"),
        (text, &["--steps", "2"], "--layers"),
        (text, &["--preset", "char", "--steps", "0"], "--steps"),
        (text, &["--preset", "char", "--lr", "0"], "--lr"),
        (text, &["--preset", "char", "--val-fraction", "2"], ", got 2"),
        (text, &["--preset", "char", "--val-fraction", "0", "--dropout", "1"], "dropout"),
        (text, &["--preset", "char", "--kv-heads", "2"], "--kv-heads is for --family llama"),
        (text, &["--preset", "char", "--grad-accum", "0"], "--grad-accum"),
        (text, &["--preset", "char", "--keep", "0"], "--keep"),
        (text, &["--from", &gpt2, "--steps", "2"], "no tokenizer"),
        (text, &["--from", &gpt2, "--steps", "2", "--width", "4"], "--width"),
        (text, &["--preset", "char", "--val-fraction", "0", "--backend", "cpu"], "cannot train"),
        (text, &["--preset", "char", "--config", "nowhere.toml"], "nowhere.toml"),
        (text, &large, "--batch"),
        (text, &["--preset", "char", "--sample", "XYZ"], "--sample"),
    ] {
        let error = told(text, options);
        assert!(error.contains(words), "{error}, not {words}");
        assert!(!run.place("out").exists(), "{error}: something was left behind");
    }
}
