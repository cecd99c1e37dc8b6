//! Runs that go on, on the machine's adapter: what a run is, whose folder it is in, what is damaged.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::train::{Run, SMALL, TEXT};
use super::{failure, json, stderr};

/// Everything in a folder, by name.
fn all(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(all(&entry));
        } else {
            found.push((entry.display().to_string(), fs::read(&entry).unwrap()));
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let place = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy(&entry, &place);
        } else {
            fs::copy(&entry, &place).unwrap();
        }
    }
}

/// The data are the same wherever they lie, and a run that has ended can be given more steps.
#[test]
fn a_run_on_the_adapter_is_known_by_its_content_and_goes_on() {
    let run = Run::new();
    let paced = ["--steps", "6", "--eval-every", "2", "--save-every", "2"];
    let options = [&SMALL[..], &paced].concat();
    json(&run.command("run", &options).output().unwrap());
    // Elsewhere, in two files of other names, from another folder.
    fs::create_dir(run.place("moved")).unwrap();
    let text = String::from_utf8(run.read("text")).unwrap();
    let (first, second) = text.split_at(300);
    fs::write(run.place("moved/a"), first).unwrap();
    fs::write(run.place("moved/b"), second).unwrap();
    fs::rename(run.place("text"), run.place("moved/text")).unwrap();
    fs::rename(run.place("run"), run.place("moved/run")).unwrap();
    let again = |options: &[&str]| {
        let mut command = super::pellucid(&["train", "--json", "-o", "run", "--resume"]);
        command.current_dir(run.place("moved")).args(options);
        command.output().unwrap()
    };
    let missing = failure(&again(&["--steps", "9"]));
    assert!(missing.contains("text: "), "the place that the run knew: {missing}");
    let fewer = failure(&again(&["text", "--steps", "5"]));
    assert!(fewer.contains("other settings of: steps"), "{fewer}");
    fs::write(run.place("moved/other"), TEXT).unwrap();
    let other = failure(&again(&["other", "--steps", "9"]));
    assert!(other.contains("the data is not the one"), "{other}");
    // The options of a run that goes on are its own, whatever they would be for a new one.
    let report = json(&again(&["a", "b", "--steps", "9", "--save-every", "3"]));
    assert_eq!((&report["steps"], &report["interrupted"]), (&9.into(), &false.into()));
    let log = String::from_utf8(run.read("moved/run/log.jsonl")).unwrap();
    let steps = |log: &str, field: &str| -> Vec<u64> {
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let with = lines.filter(|line| line.get(field).is_some());
        with.map(|line| line["step"].as_u64().unwrap()).collect()
    };
    assert_eq!(steps(&log, "loss"), (1..=9).collect::<Vec<_>>());
    assert_eq!(steps(&log, "valid_loss"), [2, 4, 6, 8, 9]);
    // From now on it is a run of so many steps, and it has ended.
    let report = json(&again(&["text"]));
    assert_eq!((&report["steps"], &report["loss"]), (&9.into(), &Value::Null));
    assert_eq!(run.read("moved/run/log.jsonl"), log.as_bytes());
}

#[test]
fn a_folder_that_no_run_made_is_refused_on_the_adapter_and_not_touched() {
    let run = Run::new();
    let mine = run.place("mine");
    for folder in ["model", "step-00000001", "step-00000002.part", "new"] {
        fs::create_dir_all(mine.join(folder)).unwrap();
        fs::write(mine.join(folder).join("model.safetensors"), "years of work").unwrap();
    }
    fs::write(mine.join("log.jsonl"), "my log\n").unwrap();
    let before = all(&mine);
    let options = [&SMALL[..], &["--steps", "2"]].concat();
    for more in [&[][..], &["--resume"]] {
        let options = [&options[..], more].concat();
        let error = failure(&run.command("mine", &options).output().unwrap());
        assert!(error.contains("mine is not empty and holds no run"), "{error}");
        assert_eq!(all(&mine), before);
    }
    // What somebody put into the folder of a run stays there.
    let options = [&SMALL[..], &["--steps", "4", "--save-every", "1", "--keep", "1"]].concat();
    json(&run.command("run", &options).output().unwrap());
    fs::write(run.place("run/model/thesis.txt"), "mine").unwrap();
    fs::create_dir(run.place("run/step-00000001")).unwrap();
    fs::write(run.place("run/step-00000001/z"), "mine").unwrap();
    json(&run.command("run", &["--resume", "--steps", "8"]).output().unwrap());
    for name in ["model/thesis.txt", "step-00000001/z"] {
        assert_eq!(run.read(&format!("run/{name}")), b"mine");
    }
    assert!(!run.place("run/step-00000004").exists() && run.place("run/step-00000008").exists());
}

#[test]
fn a_second_process_in_the_folder_of_a_run_on_the_adapter_is_refused() {
    let run = Run::new();
    let options = [&SMALL[..], &["--steps", "100000", "--save-every", "3"]].concat();
    let mut first = run.command("run", &options).spawn().unwrap();
    let start = Instant::now();
    while !run.place("run/step-00000003").exists() && start.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(run.place("run/step-00000003").exists(), "the run saved nothing");
    for options in [&options[..], &["--resume"]] {
        let error = failure(&run.command("run", options).output().unwrap());
        assert!(error.contains("another process is training in"), "{error}");
    }
    assert_eq!(first.try_wait().unwrap(), None, "the first goes on");
    first.kill().unwrap();
    first.wait().unwrap();
    // The lock has gone with its process.
    let error = failure(&run.command("run", &["--resume", "--lr", "5"]).output().unwrap());
    assert!(error.contains("other settings of: lr"), "{error}");
}

/// Every file of a checkpoint counts; when none is intact the run stops and says so.
#[test]
fn damaged_checkpoints_on_the_adapter_are_told_and_never_used() {
    let run = Run::new();
    let paced = ["--steps", "4", "--save-every", "2", "--eval-every", "0"];
    let options = [&SMALL[..], &paced].concat();
    json(&run.command("run", &options).output().unwrap());
    let whole = run.read("run/log.jsonl");
    let change = |text: &str, from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        text.replacen(from, to, 1)
    };
    for (file, from, to) in [
        ("config.json", "\"n_head\": 2", "\"n_head\": 1"),
        ("tokenizer.json", "\"Fuse\"", "\"fuse\""),
        ("state.json", "\"step\": 4", "\"step\": 3"),
        ("state.json", "\"lr\": 0.01", "\"lr\": 0.02"),
    ] {
        let copied = run.place("copy");
        let _ = fs::remove_dir_all(&copied);
        copy(&run.place("run"), &copied);
        let path = copied.join("step-00000004").join(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, change(&text, from, to)).unwrap();
        let output = run.command("copy", &["--resume"]).output().unwrap();
        json(&output);
        let told = stderr(&output);
        assert!(told.contains(file) && told.contains("damaged"), "{told}");
        assert!(told.contains("resuming after step 2"), "{told}");
        assert_eq!(run.read("copy/log.jsonl"), whole, "{file}");
    }
    let copied = run.place("copy");
    for step in ["step-00000002", "step-00000004"] {
        let path = copied.join(step).join("config.json");
        fs::write(&path, fs::read_to_string(&path).unwrap() + " ").unwrap();
    }
    let before = all(&copied);
    let error = failure(&run.command("copy", &["--resume"]).output().unwrap());
    assert!(error.contains("all of its 2 saved steps are damaged"), "{error}");
    assert_eq!(all(&copied), before);
    // A file that cannot be read may be intact: the step before it is no substitute.
    let state = run.place("run/step-00000004/state.json");
    fs::remove_file(&state).unwrap();
    fs::create_dir(&state).unwrap();
    let error = failure(&run.command("run", &["--resume"]).output().unwrap());
    assert!(error.contains("state.json"), "{error}");
    assert_eq!(run.read("run/log.jsonl"), whole);
}

/// What a refused command leaves does not stop the corrected one.
#[test]
fn a_refused_command_on_the_adapter_leaves_nothing() {
    let run = Run::new();
    let small = [&SMALL[..], &["--steps", "2"]].concat();
    fs::create_dir_all(run.place("there/run")).unwrap();
    fs::write(run.place("nothing"), "").unwrap();
    let nothing = run.place("nothing").display().to_string();
    for (option, value, words) in [
        ("--val-data", nothing.as_str(), "holds nothing to validate on"),
        ("--val-fraction", "1e-9", "is less than one"),
    ] {
        let options = [&small[..], &[option, value]].concat();
        let error = failure(&run.command("a/run", &options).output().unwrap());
        assert!(error.contains(words), "{error}, not {words}");
        assert!(!run.place("a").exists(), "{words}");
    }
    for (option, value, words) in [
        ("--dropout", "1", "dropout"),
        ("--context", "2000", "too few for a context"),
        ("--heads", "3", "n_head"),
        ("--batch", "5000000", "--batch"),
    ] {
        let mut options = small.clone();
        let at = options.iter().position(|own| *own == option).unwrap();
        options[at + 1] = value;
        for output in ["a/run", "there/run"] {
            let error = failure(&run.command(output, &options).output().unwrap());
            assert!(error.contains(words), "{error}, not {words}");
            assert!(!run.place("a").exists(), "{words}");
            assert!(run.place("there/run").exists() && all(&run.place("there")).is_empty());
        }
    }
    for output in ["a/run", "there/run"] {
        json(&run.command(output, &small).output().unwrap());
    }
}

/// The corrected command may run where the one that diverged did.
#[test]
fn a_run_on_the_adapter_that_diverges_at_once_leaves_nothing() {
    let run = Run::new();
    let small = [&SMALL[..], &["--steps", "6"]].concat();
    let rate = small.iter().position(|own| *own == "--lr").unwrap() + 1;
    let mut wild = [&small[..], &["--clip", "0", "--warmup", "0"]].concat();
    wild[rate] = "1e30";
    let late = [&wild[..], &["--save-every", "6", "--eval-every", "6"]].concat();
    // By default a short run is evaluated after each step, and what is not finite is not saved.
    for (options, words) in [(&late, "step 2 diverged"), (&wild, "step 1 diverged, with a loss of")]
    {
        let error = failure(&run.command("run", options).output().unwrap());
        assert!(error.contains(words), "{error}");
        assert!(!run.place("run").exists(), "the run had made a step and saved nothing");
    }
    json(&run.command("run", &small).output().unwrap());
    // What was saved stays, and can be resumed.
    let saving = [&wild[..], &["--save-every", "1", "--eval-every", "6"]].concat();
    let error = failure(&run.command("saving", &saving).output().unwrap());
    assert!(error.contains("diverged") && run.place("saving/step-00000001").exists(), "{error}");
}

#[test]
fn zero_is_never_on_the_adapter() {
    let run = Run::new();
    let never = ["--steps", "5", "--eval-every", "0", "--save-every", "0"];
    let options = [&SMALL[..], &never].concat();
    let report = json(&run.command("run", &options).output().unwrap());
    assert_eq!((&report["valid_loss"], &report["saved"]), (&Value::Null, &Value::Null));
    assert!(run.place("run/model/model.safetensors").exists());
    assert!(!run.place("run/step-00000005").exists());
    // A run goes on without the checkpoints at which its own sample would be printed.
    let sampled = [&SMALL[..], &["--steps", "2", "--sample", "ab"]].concat();
    json(&run.command("sampled", &sampled).output().unwrap());
    let more = ["--resume", "--steps", "3", "--save-every", "0"];
    let again = run.command("sampled", &[&SMALL[..], &more].concat()).output().unwrap();
    let words = "--save-every 0 saves none: the run's own sample is not printed";
    assert!(stderr(&again).contains(words), "{}", stderr(&again));
    json(&again);
    let asked = [&SMALL[..], &more, &["--sample", "cd"]].concat();
    let told = failure(&run.command("sampled", &asked).output().unwrap());
    assert!(told.starts_with("--sample is printed at each checkpoint"), "{told}");
    for (option, value) in [("--keep", "3"), ("--sample", "a"), ("--eval-batches", "2")] {
        let told = failure(&run.command("other", &options).args([option, value]).output().unwrap());
        assert!(told.starts_with(option) && told.contains("-every 0 "), "{told}");
        assert!(!run.place("other").exists());
    }
    assert_eq!(String::from_utf8(run.read("run/log.jsonl")).unwrap().lines().count(), 5);
}

/// Links in a run's folder lead to what is somebody else's, and pipes would be waited for.
#[cfg(unix)]
#[test]
fn links_and_pipes_in_a_run_on_the_adapter_harm_nobody() {
    let run = Run::new();
    let paced = ["--steps", "4", "--eval-every", "2", "--save-every", "2"];
    let options = [&SMALL[..], &paced].concat();
    json(&run.command("run", &options).output().unwrap());
    let more = [&SMALL[..], &["--steps", "6", "--save-every", "2", "--resume"]].concat();
    fs::create_dir(run.place("theirs")).unwrap();
    for name in ["config.json", "state.json", "thesis.txt"] {
        fs::write(run.place("theirs").join(name), name).unwrap();
    }
    let theirs = all(&run.place("theirs"));
    let names = [
        "model",
        "model.old",
        "model.part",
        "new",
        "step-00000002",
        "step-00000005",
        "step-00000006",
    ];
    for name in names {
        copy(&run.place("run"), &run.place("linked"));
        let place = run.place("linked").join(name);
        if place.is_dir() {
            fs::remove_dir_all(&place).unwrap();
        }
        std::os::unix::fs::symlink(run.place("theirs"), &place).unwrap();
        // It may be refused, with a sentence.
        let output = run.command("linked", &more).output().unwrap();
        assert!(output.status.success() || failure(&output).contains("linked"), "{name}");
        assert_eq!(all(&run.place("theirs")), theirs, "{name}");
        fs::remove_dir_all(run.place("linked")).unwrap();
    }
    for name in ["run.json", "log.jsonl", "timings.jsonl", "step-00000004/state.json"] {
        copy(&run.place("run"), &run.place("piped"));
        fs::remove_dir_all(run.place("piped/step-00000002")).unwrap();
        let place = run.place("piped").join(name);
        fs::remove_file(&place).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&place).status().unwrap().success());
        let start = Instant::now();
        let output = run.command("piped", &more).output().unwrap();
        failure(&output);
        // A step that cannot be read is told before the run is given up.
        let told = stderr(&output);
        let refused = told.contains("is not a regular file");
        assert!(told.contains(name) && refused, "{name}: {told}");
        assert!(start.elapsed() < Duration::from_secs(60), "{name}");
        fs::remove_dir_all(run.place("piped")).unwrap();
    }
}
