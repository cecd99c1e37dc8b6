//! Faults in Rust: in ops, in their twins, and in what compares them.
//!
//! Each replaces one text by another in one file of a second working tree. One per file is drawn; if it
//! does not compile, it does not count, and the next is drawn. Those that lie in a function of the
//! library are built all at once, each function beside the sound one, and the environment chooses one
//! fault when a test runs; the others are built one by one.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::draw::{Fault, drawn, fault, files};
use super::lists::{CHECKS, WITHOUT};
use super::{Results, Verdict, folder, output_of, write};
use crate::adapters::Software;
use crate::{build, models, shell};

/// Chooses the fault, by its number, in the tests that have all of them.
const CHOICE: &str = "PELLUCID_PLANTED";

/// What the library gains where all faults are built at once.
const CHOOSER: &str = "
fn planted(number: usize) -> bool {
    static CHOICE: std::sync::OnceLock<Option<usize>> = std::sync::OnceLock::new();
    let read = || std::env::var(\"PELLUCID_PLANTED\").ok()?.parse().ok();
    *CHOICE.get_or_init(read) == Some(number)
}
";

/// Draws one fault per file, plants them, and records which test fails.
pub(super) fn plant(results: &mut Results) -> Result<(), String> {
    let tree = Tree::open()?;
    let lacking = files()?.into_iter().filter(|(file, _)| results.lacks(&name_of(file)));
    let mut files: Vec<File> = lacking.map(|(path, text)| File::new(path, text)).collect();
    let built = tree.build_together(&mut files)?;
    let (together, alone): (Vec<&File>, Vec<&File>) =
        files.iter().partition(|file| file.together().is_some());
    let mut sound = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let Some(fault) = file.faults.first().filter(|_| file.together().is_some()) else {
            continue;
        };
        eprintln!("mutants: {}", fault.words);
        let test = |step, filter: &str| {
            let mut command = built.test(&tree, step, filter)?;
            output_of(command.env(CHOICE, number.to_string()))
        };
        let verdict = verdict(name_of(&file.path), fault, test)?;
        let verdict = verdict.ok_or_else(|| format!("{} was not built", file.path))?;
        // A test that caught something must pass without a fault.
        for step in steps(&file.path) {
            if verdict.by.ends_with(&format!("({step})")) && !sound.contains(step) {
                if let Some((false, text)) = output_of(&mut built.test(&tree, step, "")?)? {
                    return Err(format!("{step} fails without a fault: {:?}", read(&text, step)));
                }
                sound.push(*step);
            }
        }
        results.add(verdict)?;
    }
    eprintln!("mutants: {} were built together, {} are built alone", together.len(), alone.len());
    let mut without = Vec::new();
    for file in alone {
        let each =
            file.faults.iter().map(|fault| tree.plant(name_of(&file.path), &file.text, fault));
        match each.filter_map(Result::transpose).next() {
            Some(verdict) => results.add(verdict?)?,
            None if WITHOUT.iter().any(|(known, _)| *known == file.path) => {}
            None => without.push(file.path.as_str()),
        }
    }
    for [file, kind, was, is] in CHECKS {
        let name = format!("rust:{file}: {kind}");
        if !results.lacks(&name) {
            continue;
        }
        let path = shell::root().join(file);
        let text = fs::read_to_string(&path).map_err(|error| shell::at(&path, &error))?;
        let at = text.find(was).ok_or_else(|| format!("{file} no longer has `{was}`"))?;
        let fault = fault(file, kind, &text, at, was, is);
        let verdict = tree.plant(name.clone(), &text, &fault)?;
        results.add(verdict.ok_or_else(|| format!("{name} does not compile"))?)?;
    }
    if without.is_empty() { Ok(()) } else { Err(format!("no fault compiles in {without:?}")) }
}

fn name_of(file: &str) -> String {
    format!("rust:{file}")
}

/// A file and the faults that may still be planted in it, of which the first is.
struct File {
    path: String,
    text: String,
    faults: Vec<Fault>,
    number: usize,
}

impl File {
    fn new(path: String, text: String) -> Self {
        let faults = drawn(&path, &text);
        Self { path, text, faults, number: 0 }
    }

    /// The file with and without its fault, where that can be.
    fn together(&self) -> Option<String> {
        self.faults.first()?.chosen_by(self.number, &self.text)
    }
}

/// A second working tree of the same commit.
struct Tree {
    path: PathBuf,
}

impl Tree {
    fn open() -> Result<Self, String> {
        let path = folder().join("tree");
        let own = path.display().to_string();
        let git = |args: &[&str]| shell::quiet(shell::program("git").args(args));
        if path.exists() {
            let head = shell::capture(shell::program("git").args(["rev-parse", "HEAD"]))?;
            git(&["-C", &own, "checkout", "--quiet", "--force", "--detach", head.trim()])?;
        } else {
            git(&["worktree", "add", "--detach", &own])?;
        }
        // Tests read models; where lavapipe is, there is `ln`.
        let target = path.join("target");
        fs::create_dir_all(&target).map_err(|error| shell::at(&target, &error))?;
        shell::run(
            shell::program("ln").arg("-sfn").args([models::folder(), target.join("models")]),
        )?;
        Ok(Self { path })
    }

    /// Builds the tests with the faults of all files; a fault that does not compile gives way to the
    /// next of its file. The files are then as they were.
    fn build_together(&self, files: &mut [File]) -> Result<Built, String> {
        let library = self.path.join("src/lib.rs");
        let sound = fs::read_to_string(&library).map_err(|error| shell::at(&library, &error))?;
        write(&library, &format!("{sound}{CHOOSER}"))?;
        let built = loop {
            for (number, file) in files.iter_mut().enumerate() {
                file.number = number;
                let text = file.together();
                write(&self.path.join(&file.path), text.as_ref().unwrap_or(&file.text))?;
            }
            eprintln!("mutants: building {} files with a fault each", files.len());
            let mut command = build::test(&["--lib", "--test", "shaders", "--test", "gpu"]);
            command.args(["--test", "faults", "--test", "conformance", "--no-run"]);
            command.arg("--message-format=json-render-diagnostics");
            let Some((success, text)) = output_of(self.at_home(&mut command)?)? else {
                break Err("the build does not end".to_owned());
            };
            if success {
                break Ok(Built { messages: text });
            }
            let mut fewer = false;
            for file in &mut *files {
                if blamed(&text, &file.path) && file.together().is_some() {
                    file.faults.remove(0);
                    fewer = true;
                }
            }
            if !fewer {
                break Err(format!("the faults do not compile:\n{text}"));
            }
        };
        write(&library, &sound)?;
        for file in &*files {
            write(&self.path.join(&file.path), &file.text)?;
        }
        built
    }

    /// What the tests report with a fault in place; `None` if it does not compile.
    fn plant(&self, name: String, text: &str, fault: &Fault) -> Result<Option<Verdict>, String> {
        let path = self.path.join(&fault.file);
        write(&path, &fault.changed(text))?;
        eprintln!("mutants: {}", fault.words);
        let verdict = verdict(name, fault, |step, filter| {
            let mut command = match step {
                "lib" => build::test(&["--lib", filter]),
                test => build::test(&["--test", test, filter]),
            };
            output_of(self.at_home(&mut command)?)
        });
        write(&path, text)?;
        verdict
    }

    /// The command in this tree, with lavapipe, in a target folder of its own: in a common one, cargo
    /// could take what it built of one tree for the other's.
    fn at_home<'a>(&self, command: &'a mut Command) -> Result<&'a mut Command, String> {
        let mut environment = Software::Lavapipe.environment()?.ok_or("lavapipe is not here")?;
        environment.push(("PELLUCID_TEST_ADAPTER", Software::Lavapipe.name().into()));
        let target = folder().join("target");
        Ok(command.current_dir(&self.path).envs(environment).env("CARGO_TARGET_DIR", target))
    }
}

/// Test programs with the faults of all files.
struct Built {
    /// Cargo's messages, a line for each artifact.
    messages: String,
}

impl Built {
    fn test(&self, tree: &Tree, step: &str, filter: &str) -> Result<Command, String> {
        let source = match step {
            "lib" => tree.path.join("src/lib.rs"),
            test @ "conformance" => tree.path.join(format!("tests/{test}.rs")),
            test => tree.path.join(format!("tests/{test}/main.rs")),
        };
        let source = format!("\"src_path\":{:?}", source.display().to_string());
        let artifact = self.messages.lines().filter(|line| line.contains(&source));
        let program = artifact.filter_map(super::executable).next();
        let program =
            program.ok_or_else(|| format!("cargo does not name the program of {step}"))?;
        let mut command = shell::program(program);
        tree.at_home(command.arg(filter))?;
        Ok(command)
    }
}

/// The tests close to a file, from those most likely to catch a fault.
fn steps(file: &str) -> &'static [&'static str] {
    match file {
        _ if file.starts_with("tests/tidy") => &["tidy"],
        _ if file.starts_with("tests/shaders") => &["shaders"],
        "src/select/registry.rs" => &["shaders", "lib"],
        // Its kernels are the caller's.
        "src/ops/own.rs" => &["conformance"],
        _ if file.starts_with("src/ops") => &["shaders", "gpu", "lib"],
        _ => &["lib", "gpu", "faults"],
    }
}

/// Runs the tests close to a fault until one fails; `None` if the fault does not compile.
fn verdict(
    name: String,
    fault: &Fault,
    test: impl Fn(&'static str, &str) -> Result<Option<(bool, String)>, String>,
) -> Result<Option<Verdict>, String> {
    let own = fault.file.rsplit('/').next().and_then(|name| name.strip_suffix(".rs"));
    let said = |what: &str, by: String| {
        let (what, words) = (what.to_owned(), fault.words.clone());
        Ok(Some(Verdict { name, what, words, by }))
    };
    // Tests with the file's name are likely to catch it, and take seconds.
    for filter in [own.unwrap_or_default(), ""] {
        for step in steps(&fault.file) {
            match test(step, filter)? {
                None => return said("caught", format!("no end ({step})")),
                Some((true, _)) => {}
                Some((false, text)) => {
                    return match read(&text, step) {
                        Failure::Compiler => Ok(None),
                        Failure::Test(test) => said("caught", format!("{test} ({step})")),
                    };
                }
            }
        }
    }
    said("survived", "all tests pass".to_owned())
}

/// Whether an error of the compiler points into a file.
fn blamed(text: &str, file: &str) -> bool {
    let mut error = false;
    text.lines().any(|line| {
        if line.starts_with("error") || line.starts_with("warning") {
            error = line.starts_with("error");
        }
        let place = line.trim_start().strip_prefix("--> ");
        error && place.is_some_and(|place| place.starts_with(&format!("{file}:")))
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Failure {
    Test(String),
    Compiler,
}

/// What failed, according to a test's or cargo's output.
fn read(text: &str, step: &'static str) -> Failure {
    if text.contains("could not compile") {
        return Failure::Compiler;
    }
    let failed = text.lines().find_map(|line| {
        line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED"))
    });
    Failure::Test(failed.map_or_else(|| format!("the program of {step} ends"), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_named() {
        let failed = read("test a::b ... ok\ntest a::c ... FAILED\n", "lib");
        assert_eq!(failed, Failure::Test("a::c".to_owned()));
        assert_eq!(read("error: could not compile `x`", "lib"), Failure::Compiler);
    }

    #[test]
    fn the_file_at_fault_is_found_among_errors() {
        let text = "warning: unused\n  --> src/a.rs:1:2\nerror[E0308]: no\n   --> src/b.rs:3:4\n";
        assert!(blamed(text, "src/b.rs") && !blamed(text, "src/a.rs"));
    }
}
