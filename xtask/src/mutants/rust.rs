//! Faults in Rust: in ops, in their twins, and in what compares them.
//!
//! Each replaces one text by another in one file of a second working tree. One per file is drawn; if it
//! does not compile, it does not count, and the next is drawn.

use std::fs;
use std::path::PathBuf;

use super::lists::{CHECKS, OPS, OWN, TWINS};
use super::{Results, Verdict, folder, output_of, write};
use crate::adapters::Software;
use crate::{build, shell};

/// The seed of every draw.
const SEED: u64 = 20_261_129;

/// One text replaced by another, in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    file: String,
    kind: String,
    /// The line of the change, counted from 1.
    line: usize,
    changed: String,
    words: String,
}

/// Draws one fault per file, plants them, and records which test fails.
pub(super) fn plant(results: &mut Results) -> Result<(), String> {
    let mut tree = Tree::open()?;
    let files = files()?;
    for (index, (file, text)) in files.iter().enumerate() {
        let name = format!("rust:{file}");
        if !results.lacks(&name) {
            continue;
        }
        let mut faults = faults(file, text);
        let mut random = Random(SEED ^ fingerprint(file));
        let mut verdict = None;
        while verdict.is_none() && !faults.is_empty() {
            let fault = faults.swap_remove(random.index(faults.len()));
            eprintln!("mutants: [{}/{}] {}", index + 1, files.len(), fault.words);
            verdict = tree.plant(name.clone(), text, &fault)?;
        }
        if let Some(verdict) = verdict {
            results.add(verdict)?;
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
    Ok(())
}

/// A second working tree of the same commit.
struct Tree {
    path: PathBuf,
    /// Tests that pass without a fault.
    sound: Vec<&'static str>,
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
        Ok(Self { path, sound: Vec::new() })
    }

    /// What the tests report with the fault in place; `None` if it does not compile.
    fn plant(
        &mut self,
        name: String,
        text: &str,
        fault: &Fault,
    ) -> Result<Option<Verdict>, String> {
        let path = self.path.join(&fault.file);
        write(&path, &fault.changed)?;
        let failure = self.first_failure(&fault.file);
        write(&path, text)?;
        let (what, by) = match failure? {
            Failure::None => ("survived", "all tests pass".to_owned()),
            Failure::Test { test, step } => {
                self.make_sure_of(step)?;
                ("caught", format!("{test} ({step})"))
            }
            Failure::Compiler => return Ok(None),
        };
        Ok(Some(Verdict { name, what: what.to_owned(), words: fault.words.clone(), by }))
    }

    /// Fails unless the tests that caught something pass without a fault.
    fn make_sure_of(&mut self, step: &'static str) -> Result<(), String> {
        if !self.sound.contains(&step) {
            if let Some((false, text)) = self.test(step, "")? {
                return Err(format!("{step} fails without a fault: {:?}", read(&text, step)));
            }
            self.sound.push(step);
        }
        Ok(())
    }

    /// Runs the tests close to a file, from the fastest to the slowest.
    fn first_failure(&self, file: &str) -> Result<Failure, String> {
        let steps: &[&'static str] = match file {
            _ if file.starts_with("tests/tidy") => &["tidy"],
            _ if file.starts_with("tests/shaders") => &["shaders"],
            "src/select/registry.rs" => &["shaders", "lib"],
            _ if file.starts_with("src/ops") => &["shaders", "gpu", "lib"],
            _ => &["lib", "gpu", "faults"],
        };
        let name = file.rsplit('/').next().and_then(|name| name.strip_suffix(".rs"));
        for step in steps {
            // Of the GPU tests, those with the file's name are likely to catch it, and take seconds.
            let filters = if *step == "gpu" { &[name.unwrap_or_default(), ""][..] } else { &[""] };
            for filter in filters {
                match self.test(step, filter)? {
                    None => return Ok(Failure::Test { test: "no end".to_owned(), step }),
                    Some((false, text)) => return Ok(read(&text, step)),
                    Some((true, _)) => {}
                }
            }
        }
        Ok(Failure::None)
    }

    /// Runs the unit tests, or a test program, of which only tests whose names contain `filter`;
    /// `None` if it does not end.
    fn test(&self, step: &'static str, filter: &str) -> Result<Option<(bool, String)>, String> {
        let mut environment = Software::Lavapipe.environment()?.ok_or("lavapipe is not here")?;
        environment.push(("PELLUCID_TEST_ADAPTER", Software::Lavapipe.name().into()));
        let mut command = build::test(&[]);
        match step {
            // Not those of other members: they have no faults.
            "lib" => command.args(["--lib", "--exclude", "pellucid-web"]),
            test => command.args(["--test", test]),
        };
        command.arg(filter);
        // The dependencies are already built there.
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target = target.unwrap_or_else(|| shell::root().join("target"));
        command.current_dir(&self.path).envs(environment).env("CARGO_TARGET_DIR", target);
        output_of(&mut command)
    }
}

/// The ops and the twins, in order.
fn files() -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    for folder in ["src/ops", "src/ops/backward", "src/reference", "src/reference/backward"] {
        let path = shell::root().join(folder);
        let entries = path.read_dir().map_err(|error| shell::at(&path, &error))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let tests = name == "tests.rs" || name.ends_with("_test.rs") || name == "mod.rs";
            if path.extension().is_some_and(|end| end == "rs") && !tests {
                let text = fs::read_to_string(&path).map_err(|error| shell::at(&path, &error))?;
                found.push((format!("{folder}/{name}"), text));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Every place for a fault in a file, before its tests.
fn faults(file: &str, text: &str) -> Vec<Fault> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let patterns = if file.starts_with("src/ops") { &OPS[..] } else { &TWINS[..] };
    let mut found = Vec::new();
    for (kind, was, is) in patterns {
        for (at, _) in code.match_indices(was) {
            let start = code[..at].rfind('\n').map_or(0, |start| start + 1);
            // Not comments, type bounds or the words of an error.
            let line = code[start..].lines().next().unwrap_or_default();
            let plain =
                !["//", "impl", "fn ", "where", "use ", "\""].iter().any(|s| line.contains(s));
            if plain {
                found.push(fault(file, kind, text, at, was, is));
            }
        }
    }
    found.extend(exchanged(file, code));
    for [_, kind, was, is] in OWN.iter().filter(|own| own[0] == file) {
        found.extend(code.match_indices(was).map(|(at, _)| fault(file, kind, text, at, was, is)));
    }
    found
}

/// Similar neighbours exchanged: two parameters of a kernel, what the op writes to them, or two buffers.
fn exchanged(file: &str, text: &str) -> Vec<Fault> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let parameter = |line: &str| {
        line.starts_with("    ") && [": u32,\n", ": f32,\n"].iter().any(|end| line.ends_with(end))
    };
    let buffer = |line: &str| line.trim_start().starts_with(".read(");
    let mut found = Vec::new();
    for (at, pair) in lines.windows(2).enumerate() {
        let [a, b] = [pair[0], pair[1]];
        let (kind, is) = match written(a).zip(written(b)) {
            Some((x, y)) => ("two values exchanged", a.replacen(x, y, 1) + &b.replacen(y, x, 1)),
            None if parameter(a) && parameter(b) => ("two params exchanged", [b, a].concat()),
            None if buffer(a) && buffer(b) => ("two buffers exchanged", [b, a].concat()),
            None => continue,
        };
        let place = lines[..at].iter().map(|line| line.len()).sum();
        let was = pair.concat();
        // A line in place of itself is no change.
        if was != is {
            found.push(fault(file, kind, text, place, &was, &is));
        }
    }
    found
}

/// What an op writes to a parameter, of a line `name: to_u32(value),`.
fn written(line: &str) -> Option<&str> {
    let (_, value) = line.trim().strip_suffix(',')?.split_once(": ")?;
    value.starts_with("to_u32(").then_some(value)
}

fn fault(file: &str, kind: &str, text: &str, at: usize, was: &str, is: &str) -> Fault {
    let line = text[..at].matches('\n').count() + 1;
    let changed = format!("{}{is}{}", &text[..at], &text[at + was.len()..]);
    let one = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let words = format!("{file}:{line} {kind}: `{}` -> `{}`", one(was), one(is));
    Fault { file: file.to_owned(), kind: kind.to_owned(), line, changed, words }
}

#[derive(Debug, PartialEq, Eq)]
enum Failure {
    None,
    Test { test: String, step: &'static str },
    Compiler,
}

/// What failed, according to cargo's output.
fn read(text: &str, step: &'static str) -> Failure {
    if text.contains("could not compile") {
        return Failure::Compiler;
    }
    let failed = text.lines().find_map(|line| {
        line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED"))
    });
    Failure::Test { test: failed.unwrap_or("the program ends").to_owned(), step }
}

/// A number for a name (FNV-1a), so that a file's draw does not depend on the other files.
fn fingerprint(name: &str) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    name.bytes().fold(0xcbf2_9ce4_8422_2325, mix)
}

/// Marsaglia 2003, xorshift.
struct Random(u64);

impl Random {
    fn index(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % count as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::super::lists::WITHOUT;
    use super::*;

    #[test]
    fn faults_are_found_in_code_alone() {
        let text = "// a + eps\nlet x = a + eps;\n#[cfg(test)]\nlet y = b + eps;\n";
        let found: Vec<(String, usize)> =
            faults("src/reference/x.rs", text).into_iter().map(|f| (f.kind, f.line)).collect();
        assert_eq!(found, [("an epsilon".to_owned(), 2), ("a sign".to_owned(), 2)]);
        let found = faults("src/ops/x.rs", "struct Params {\n    a: u32,\n    b: u32,\n}\n");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].changed, "struct Params {\n    b: u32,\n    a: u32,\n}\n");
        let found = exchanged("src/ops/x.rs", "a: to_u32(x),\nb: to_u32(y),\n");
        assert_eq!(found[0].changed, "a: to_u32(y),\nb: to_u32(x),\n");
    }

    #[test]
    fn every_op_and_twin_of_the_list_has_a_place_for_a_fault() {
        let files = files().unwrap();
        assert!(files.len() > 40, "{}", files.len());
        for (file, text) in &files {
            let without = WITHOUT.iter().any(|(name, _)| name == file);
            assert_eq!(faults(file, text).is_empty(), without, "{file}: no place for a fault");
        }
        for [file, _, was, _] in CHECKS.iter().chain(&OWN) {
            let text = fs::read_to_string(shell::root().join(file)).unwrap();
            assert!(text.contains(was), "{file} no longer has `{was}`");
        }
    }

    #[test]
    fn failures_are_named() {
        let failed = read("test a::b ... ok\ntest a::c ... FAILED\n", "lib");
        assert_eq!(failed, Failure::Test { test: "a::c".to_owned(), step: "lib" });
        assert_eq!(read("error: could not compile `x`", "lib"), Failure::Compiler);
    }
}
