//! Faults in Rust: in ops, in their twins, and in what compares them.
//!
//! Each is a text that takes the place of another in one file of a second working tree. One a file is
//! drawn; one that does not compile counts as none, and the next is drawn.

use std::fs;
use std::path::PathBuf;

use super::{Results, Verdict, folder, output_of, write};
use crate::adapters::Software;
use crate::shell;

/// Of every draw.
const SEED: u64 = 20_261_129;

/// Patterns of ops: what the host hands to a kernel. Those whose text stands in no file are left out.
const OPS: [(&str, &str, &str); 5] = [
    ("the grid is short", ".div_ceil(64)", " / 64"),
    ("an epsilon", "eps as f32", "(4.0 * eps) as f32"),
    ("a window off by one", "word(window)", "word(window + 1)"),
    ("a scale left out", "scale as f32", "1.0"),
    ("a count off by one", "word(x.rows)", "word(x.rows - 1)"),
];

/// Patterns of twins.
const TWINS: [(&str, &str, &str); 9] = [
    ("an epsilon", "+ eps", "+ 4.0 * eps"),
    ("a scale left out", " * scale", ""),
    ("a term left out", " += ", " = "),
    ("a sign", " -= ", " += "),
    ("a bound off by one", "..=", ".."),
    ("a bound off by one", " + 1", ""),
    ("a product for a quotient", " / ", " * "),
    ("a sign", " - ", " + "),
    ("a sign", " + ", " - "),
];

/// Faults in what compares, and in the rules of the house: file, kind, text, and what stands in for it.
const CHECKS: [[&str; 4]; 8] = [
    [
        "src/measure.rs",
        "NaN is lost",
        "if error.is_nan() { f64::INFINITY } else { error }",
        "error",
    ],
    ["src/measure.rs", "a missing value is lost", "if found.len() != expected.len()", "if false"],
    ["src/measure.rs", "an infinity is lost", "if found == expected { 0.0 }", "if true { 0.0 }"],
    ["src/check/outcome.rs", "nothing fails", "self.error <= self.tolerance", "true"],
    ["src/select/registry.rs", "a kernel is not registered", "        \"rms_scale\",\n", ""],
    ["tests/tidy.rs", "a product file counts as a test", "            tests = false;\n", ""],
    ["tests/tidy.rs", "a word is a reason", "any(|words| words >= 3)", "any(|_| true)"],
    ["tests/shaders/text.rs", "loops of one depth only", "open.contains(&true)", "open.len() == 2"],
];

/// A text for another, in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    file: String,
    kind: String,
    /// The line of the change, from 1.
    line: usize,
    changed: String,
    words: String,
}

/// Draws one fault a file, plants them, and notes which test fails.
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
        let at = text.find(was).ok_or_else(|| format!("{file} has no `{was}` any more"))?;
        let fault = fault(file, kind, &text, at, was, is);
        let verdict = tree.plant(name.clone(), &text, &fault)?;
        results.add(verdict.ok_or_else(|| format!("{name} does not compile"))?)?;
    }
    Ok(())
}

/// A second working tree, of the same commit.
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

    /// What the tests say with the fault in place; nothing if it does not compile.
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

    /// Fails unless tests that have caught something pass without a fault.
    fn make_sure_of(&mut self, step: &'static str) -> Result<(), String> {
        if !self.sound.contains(&step) {
            if let Some((false, text)) = self.test(step)? {
                return Err(format!("{step} fails without a fault: {:?}", read(&text, step)));
            }
            self.sound.push(step);
        }
        Ok(())
    }

    /// Runs the tests that are close to a file, from the fastest to the slowest.
    fn first_failure(&self, file: &str) -> Result<Failure, String> {
        let steps: &[&'static str] = match file {
            "tests/tidy.rs" => &["tidy"],
            "tests/shaders/text.rs" => &["shaders"],
            _ => &["lib", "shaders", "gpu", "faults"],
        };
        for step in steps {
            match self.test(step)? {
                None => return Ok(Failure::Test { test: "no end".to_owned(), step }),
                Some((false, text)) => return Ok(read(&text, step)),
                Some((true, _)) => {}
            }
        }
        Ok(Failure::None)
    }

    /// Runs the unit tests, or a test program; nothing if it does not end.
    fn test(&self, step: &'static str) -> Result<Option<(bool, String)>, String> {
        let mut environment = Software::Lavapipe.environment()?.ok_or("lavapipe is not here")?;
        environment.push(("PELLUCID_TEST_ADAPTER", Software::Lavapipe.name().into()));
        let mut command = shell::cargo(&["test", "--workspace"]);
        match step {
            "lib" => command.arg("--lib"),
            test => command.args(["--test", test]),
        };
        // The dependencies are built there already.
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

/// Every place for a fault, before the tests of a file.
fn faults(file: &str, text: &str) -> Vec<Fault> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let patterns = if file.starts_with("src/ops") { &OPS[..] } else { &TWINS[..] };
    let mut found = Vec::new();
    for (kind, was, is) in patterns {
        for (at, _) in code.match_indices(was) {
            let start = code[..at].rfind('\n').map_or(0, |start| start + 1);
            // Neither comments, nor bounds of types, nor words of an error.
            let line = code[start..].lines().next().unwrap_or_default();
            let plain =
                !["//", "impl", "fn ", "where", "use ", "\""].iter().any(|s| line.contains(s));
            if plain {
                found.push(fault(file, kind, text, at, was, is));
            }
        }
    }
    found.extend(exchanged(file, text));
    found
}

/// Neighbours that look alike, exchanged: two parameters of a kernel, or two buffers.
fn exchanged(file: &str, text: &str) -> Vec<Fault> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let parameter = |line: &str| line.starts_with("    ") && line.ends_with(": u32,\n");
    let buffer = |line: &str| line.trim_start().starts_with("Binding::Read(");
    let mut found = Vec::new();
    for (at, pair) in lines.windows(2).enumerate() {
        let kind = match pair {
            [a, b] if parameter(a) && parameter(b) => "two params exchanged",
            [a, b] if buffer(a) && buffer(b) => "two buffers exchanged",
            _ => continue,
        };
        let place = lines[..at].iter().map(|line| line.len()).sum();
        let [was, is] = [pair.concat(), [pair[1], pair[0]].concat()];
        found.push(fault(file, kind, text, place, &was, &is));
    }
    found
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

/// What failed, by what cargo printed.
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
    }

    #[test]
    fn every_op_and_twin_of_the_list_has_a_place_for_a_fault() {
        let files = files().unwrap();
        assert!(files.len() > 40, "{}", files.len());
        let of = |name: &str| files.iter().find(|(file, _)| file == name).unwrap();
        for name in ["src/ops/norm.rs", "src/reference/rms_norm.rs"] {
            let (file, text) = of(name);
            assert!(!faults(file, text).is_empty(), "{file}");
        }
        for [file, _, was, _] in CHECKS {
            let text = fs::read_to_string(shell::root().join(file)).unwrap();
            assert!(text.contains(was), "{file} has no `{was}` any more");
        }
    }

    #[test]
    fn failures_are_named() {
        let failed = read("test a::b ... ok\ntest a::c ... FAILED\n", "lib");
        assert_eq!(failed, Failure::Test { test: "a::c".to_owned(), step: "lib" });
        assert_eq!(read("error: could not compile `x`", "lib"), Failure::Compiler);
    }
}
