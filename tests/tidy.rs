//! The rules of the house that a compiler does not know: floors, words, lengths, links.

#[path = "tidy/links.rs"]
mod links;

use std::fs;
use std::path::{Path, PathBuf};

/// The floors of the library from the bottom up: a module may use those of lower numbers only.
const FLOORS: [(&str, u32); 16] = [
    ("error", 0),
    ("measure", 0),
    ("files", 1),
    ("unfinished", 0),
    ("config", 1),
    ("names", 1),
    ("text", 2),
    ("weights", 3),
    ("reference", 4),
    ("gpu", 5),
    ("ops", 6),
    ("check", 7),
    ("model", 8),
    ("generate", 9),
    ("train", 9),
    ("inspect", 9),
];

/// Words that belong above `gpu`, each of which stands for its plural too.
const TRANSFORMER_WORDS: [&str; 8] =
    ["attention", "embed", "embedding", "head", "layer", "logit", "token", "transformer"];

/// Where else wgpu may be named: for apps that have a device of their own.
const FOR_APPS: [&str; 2] = ["src/lib.rs", "examples/own_device.rs"];

/// The one sentence of `gpu` that may say what it does not know.
const DISCLAIMER: &str = "Nothing here knows what a transformer is.";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file under a folder of the repository with this extension, by path and text.
fn files(folder: &str, extension: &str) -> Vec<(PathBuf, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// Every line of code in a folder, without comments: path, number, text.
fn code(folder: &str) -> Vec<(PathBuf, usize, String)> {
    let mut lines = Vec::new();
    for (path, text) in files(folder, "rs") {
        for (line, number) in text.lines().zip(1..) {
            let code = line.split("//").next().unwrap_or_default();
            lines.push((path.clone(), number, code.to_owned()));
        }
    }
    assert!(!lines.is_empty(), "{folder} holds code");
    lines
}

/// Whether a file holds nothing but tests, which may reach up for their inputs.
fn is_test(path: &Path) -> bool {
    let named = path
        .file_stem()
        .is_some_and(|stem| stem == "tests" || stem.to_string_lossy().ends_with("_test"));
    named || path.iter().any(|part| part == "tests")
}

/// The words of a text: letters, digits and underscores.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Fails with the list, unless it is empty.
#[track_caller]
fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn imports_go_down_only() {
    let floor = |name: &str| FLOORS.iter().find(|(known, _)| *known == name).map(|floor| floor.1);
    let mut wrong = Vec::new();
    for (path, number, line) in code("src") {
        let mut parts = path.iter().skip(1).map(|part| part.to_string_lossy().into_owned());
        let module = parts.next().unwrap_or_default();
        let module = module.trim_end_matches(".rs");
        if module == "lib" || is_test(&path) {
            continue;
        }
        let own = floor(module).unwrap_or_else(|| panic!("{} has no floor", path.display()));
        for (_, used) in
            line.match_indices("crate::").map(|(at, found)| line.split_at(at + found.len()))
        {
            // `crate::{a, b}` names several; `crate::Error` is the error of the root.
            let group = used
                .strip_prefix('{')
                .map_or(words(used).take(1).collect(), |group| words(group).collect::<Vec<_>>());
            for used in group.into_iter().filter(|used| *used != module) {
                let Some(used_floor) = floor(used) else { continue };
                let below = used_floor < own && (module != "gpu" || used == "error");
                if !below {
                    wrong.push(format!("{}:{number}: {module} uses {used}", path.display()));
                }
            }
        }
    }
    assert_none("imports that do not go down", &wrong);
}

#[test]
fn only_gpu_says_wgpu() {
    let mut wrong = Vec::new();
    for (path, number, line) in
        ["src", "cli", "examples", "benches"].iter().flat_map(|f| code_if(f))
    {
        let app = FOR_APPS.iter().any(|app| path == Path::new(app));
        let allowed = app || path.starts_with("src/gpu");
        if !allowed && words(&line).any(|word| word == "wgpu") {
            wrong.push(format!("{}:{number}", path.display()));
        }
    }
    assert_none("wgpu outside of src/gpu", &wrong);
}

/// The same for a folder that need not be there.
fn code_if(folder: &str) -> Vec<(PathBuf, usize, String)> {
    if root().join(folder).is_dir() { code(folder) } else { Vec::new() }
}

#[test]
fn gpu_knows_no_transformer() {
    let mut wrong = Vec::new();
    for (path, text) in files("src/gpu", "rs") {
        for (line, number) in text.lines().zip(1..) {
            let line = line.replace(DISCLAIMER, "").to_lowercase();
            for word in words(&line).flat_map(|word| word.split('_')) {
                let singular = word.strip_suffix('s').unwrap_or(word);
                if TRANSFORMER_WORDS.contains(&singular) {
                    wrong.push(format!("{}:{number}: {word}", path.display()));
                }
            }
        }
    }
    assert_none("words of the model in src/gpu", &wrong);
}

/// An app or a page has no command line: what may help is a `Remedy`, which each front end words.
#[test]
fn the_library_speaks_no_flags() {
    let mut wrong = Vec::new();
    for (path, number, line) in code("src") {
        let mut flags = line.match_indices("--").map(|(at, flag)| &line[at + flag.len()..]);
        if flags.any(|word| word.starts_with(|c: char| c.is_ascii_alphabetic())) {
            wrong.push(format!("{}:{number}: {}", path.display(), line.trim()));
        }
    }
    assert_none("options of the command line in src", &wrong);
}

#[test]
fn ops_have_no_layer_index() {
    let mut wrong = Vec::new();
    for (path, number, line) in code("src/ops") {
        if words(&line).any(|word| word == "layer" || word == "layers") {
            wrong.push(format!("{}:{number}", path.display()));
        }
    }
    assert_none("layers in src/ops", &wrong);
}

/// Long files are read by nobody: 150 lines for a shader, 400 for Rust, unless the head says why.
#[test]
fn files_are_short_or_say_why_not() {
    let folders = ["src", "cli", "xtask", "tests", "benches", "examples", "web"];
    let rust = folders.iter().flat_map(|folder| files(folder, "rs")).map(|file| (file, 400));
    let shaders = files("shaders", "wgsl").into_iter().map(|file| (file, 150));
    let mut wrong = Vec::new();
    for ((path, text), limit) in rust.chain(shaders) {
        let reason = text.lines().take(15).any(|line| words(line).any(|word| word == "long"));
        let count = text.lines().count();
        if count > limit && !reason {
            wrong.push(format!("{}: {count} lines", path.display()));
        }
    }
    assert_none("files without a reason to be long", &wrong);
}

/// rustfmt keeps Rust in shape; nothing does so for shaders.
#[test]
fn shaders_are_formatted() {
    let mut wrong = Vec::new();
    for (path, text) in files("shaders", "wgsl") {
        if !text.ends_with('\n') || text.ends_with("\n\n") {
            wrong.push(format!("{}: ends without one line break", path.display()));
        }
        for (line, number) in text.split_terminator('\n').zip(1..) {
            let long = line.chars().count() > 100;
            if long || line.contains(['\t', '\r']) || line.ends_with(' ') {
                wrong.push(format!("{}:{number}: {line}", path.display()));
            }
        }
    }
    assert_none("tabs, trailing blanks or lines over 100", &wrong);
}

/// WGSL lets these be off by 2⁻¹¹ and more.
#[test]
fn shaders_use_no_inexact_functions() {
    let mut wrong = Vec::new();
    for (path, text) in files("shaders", "wgsl") {
        for (line, number) in text.lines().zip(1..) {
            let code = line.split("//").next().unwrap_or_default();
            for name in ["sin", "cos", "tan", "tanh", "pow", "sinh", "cosh"] {
                if code.contains(&format!("{name}(")) && words(code).any(|word| word == name) {
                    wrong.push(format!("{}:{number}: {name}", path.display()));
                }
            }
        }
    }
    assert_none("functions whose accuracy WGSL leaves open", &wrong);
}

/// The map names only what is there.
#[test]
fn the_architecture_names_folders_and_files_that_exist() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let first_cells = map.lines().filter_map(|line| line.strip_prefix("| `")?.split('|').next());
    let names = first_cells.flat_map(|cell| cell.split('`').step_by(2)).collect::<Vec<_>>();
    assert!(names.len() > 10, "the table of folders");
    for name in names.into_iter().filter(|name| !name.trim().is_empty()) {
        assert!(root().join(name).exists(), "ARCHITECTURE.md names {name}, which is not there");
    }
}
