//! House rules that a compiler does not check: floors, words, lengths, links.

#[path = "tidy/adding.rs"]
mod adding;
#[path = "tidy/kernels.rs"]
mod kernels;
#[path = "tidy/links.rs"]
mod links;
#[path = "tidy/rooms.rs"]
mod rooms;
#[path = "tidy/skips.rs"]
mod skips;

use std::fs;
use std::path::{Path, PathBuf};

/// The floors of the library from the bottom up: a module may use those of lower numbers only.
const FLOORS: [(&str, u32); 22] = [
    ("error", 0),
    ("measure", 0),
    ("noise", 0),
    ("atomic_file", 0),
    ("files", 1),
    ("format", 1),
    ("hook", 1),
    ("sampling", 1),
    ("config", 1),
    ("checkpoint", 2),
    ("tokenizer", 3),
    ("reference", 4),
    ("gpu", 5),
    ("select", 6),
    ("ops", 7),
    ("tune", 8),
    ("check", 9),
    ("model", 10),
    ("generate", 11),
    ("train", 11),
    ("inspect", 12),
    ("lib", 13),
];

/// Words that belong above `gpu`, each standing for its plural too.
const TRANSFORMER_WORDS: [&str; 8] =
    ["attention", "embed", "embedding", "head", "layer", "logit", "token", "transformer"];

/// Where else wgpu may be named: for apps that have a device of their own.
const FOR_APPS: [&str; 2] = ["src/lib.rs", "examples/own_device.rs"];

/// The page of each pass, and its composites.
const PAGES: [(&str, &str); 2] = [
    ("src/model/forward.rs", "src/model/blocks.rs"),
    ("src/train/backward.rs", "src/train/blocks.rs"),
];

/// The one sentence in `gpu` that may use such a word.
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

/// The modules under `src` that are declared under `#[cfg(test)]`, as paths without an extension. They
/// may import from above, and so may everything in a folder of that name.
fn test_modules() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (path, text) in files("src", "rs") {
        let heads = ["mod.rs", "lib.rs"].iter().any(|name| path.ends_with(name));
        let folder =
            if heads { path.parent().unwrap().to_owned() } else { path.with_extension("") };
        found.extend(declared_for_tests(&text).into_iter().map(|name| folder.join(name)));
    }
    assert!(!found.is_empty(), "src declares no tests");
    found
}

/// The names in `mod name;` after `#[cfg(test)]`, whatever other attributes stand between.
fn declared_for_tests(text: &str) -> Vec<&str> {
    let (mut names, mut tests) = (Vec::new(), false);
    for line in text.lines().map(str::trim) {
        if line == "#[cfg(test)]" {
            tests = true;
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            let name = line.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'));
            names.extend(name.filter(|_| tests));
            tests = false;
        }
    }
    names
}

#[test]
fn a_test_file_is_one_that_is_declared_so() {
    let text = "mod a;\n#[cfg(test)]\n#[path = \"x.rs\"]\nmod b_test;\nmod c_test;\n#[cfg(test)]\nmod d {}";
    assert_eq!(declared_for_tests(text), ["b_test"]);
    let modules = test_modules();
    assert!(modules.contains(&PathBuf::from("src/select/tests")), "{modules:?}");
    assert!(!modules.contains(&PathBuf::from("src/check/self_test")), "{modules:?}");
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
    let tests = test_modules();
    let is_test = |path: &Path| tests.iter().any(|test| path.with_extension("").starts_with(test));
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

/// An app or a page has no command line: errors list what may help as `Remedy`, which each front end
/// puts into words.
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

/// The two pages are read next to `docs/the-function.md`; what a mathematician does not look for is
/// elsewhere.
#[test]
fn the_forward_and_the_backward_page_are_pages() {
    let lines = |name: &str| fs::read_to_string(root().join(name)).unwrap().lines().count();
    for (page, blocks) in PAGES {
        assert!(lines(page) <= 150, "{page} has {} lines", lines(page));
        assert!(lines(blocks) <= 400, "{blocks} has {} lines", lines(blocks));
    }
    let foreign =
        ["wants", "format", "chunk", "split", "adapter", "train", "count", "joined", "plan"];
    let mut wrong = Vec::new();
    for (path, number, line) in ["src/model", "src/train"].iter().flat_map(|folder| code(folder)) {
        let page = PAGES.iter().any(|(page, _)| path == Path::new(page));
        // One table decides which form of a composite runs.
        let decides = path.ends_with("forms.rs") || path.ends_with("tape.rs");
        for word in words(&line.to_lowercase()).flat_map(|word| word.split('_')) {
            if page && foreign.contains(&word) {
                wrong.push(format!("{}:{number}: {word}", path.display()));
            }
        }
        for asked in [".wants(", ".edits("].iter().filter(|asked| line.contains(**asked)) {
            if !decides {
                wrong.push(format!("{}:{number}: {asked}", path.display()));
            }
        }
    }
    assert_none("words that belong elsewhere", &wrong);
}

/// Long files are hard to read: 150 lines for a shader, 400 for Rust, unless the head gives a reason.
#[test]
fn files_are_short_or_say_why_not() {
    let folders = ["src", "cli", "xtask", "tests", "benches", "examples", "web"];
    let rust = folders.iter().flat_map(|folder| files(folder, "rs")).map(|file| (file, 400));
    let shaders = files("shaders", "wgsl").into_iter().map(|file| (file, 150));
    let mut wrong = Vec::new();
    for ((path, text), limit) in rust.chain(shaders) {
        let reason = says_why_it_is_long(&text);
        let count = text.lines().count();
        if count > limit && !reason {
            wrong.push(format!("{}: {count} lines", path.display()));
        }
    }
    assert_none("files without a reason to be long", &wrong);
}

/// Whether the head of a file has a sentence `Long, since ...` that goes on for three words at least.
fn says_why_it_is_long(text: &str) -> bool {
    let reason = |line: &str| {
        let comment = line.strip_prefix("//! ").or(line.strip_prefix("// "))?;
        comment.strip_prefix("Long, since ").map(|reason| words(reason).count())
    };
    text.lines().take(15).filter_map(reason).any(|words| words >= 3)
}

#[test]
fn only_a_reason_makes_a_file_long() {
    assert!(says_why_it_is_long("//! A thing.\n//!\n//! Long, since both halves share a walk.\n"));
    assert!(!says_why_it_is_long("//! A long story.\n"), "a word is no reason");
    assert!(!says_why_it_is_long("//! Long, since so.\n"), "two words are no reason");
    assert!(!says_why_it_is_long("fn f() {} // Long, since it takes much to say.\n"));
}

/// `f64::max` drops NaN, and nothing exceeds infinity: such comparisons cannot fail.
#[test]
fn comparisons_can_fail() {
    let folds = "let worst = gaps.fold(0.0, f64::max);";
    let bound = "let within = if lost { f64::INFINITY } else { TOLERANCE };";
    assert!(cannot_fail(folds) && cannot_fail(bound));
    assert!(cannot_fail("all.fold(0.0, |a, b| a.max(b))") && !cannot_fail("largest(gaps) < bound"));
    assert!(!cannot_fail("times.fold(f64::INFINITY, f64::min)"), "the shortest time");
    let mut wrong = Vec::new();
    for (path, number, line) in ["tests", "src/check", "cli/tests"].iter().flat_map(|f| code(f)) {
        // The quoted texts here are what is searched for.
        if cannot_fail(&line) && !path.ends_with("tidy.rs") {
            wrong.push(format!("{}:{number}: {}", path.display(), line.trim()));
        }
    }
    assert_none("comparisons that NaN or anything passes; see src/measure.rs", &wrong);
}

fn cannot_fail(line: &str) -> bool {
    let has = |names: &[&str]| words(line).any(|word| names.contains(&word));
    let folds = has(&["fold"]) && has(&["max"]);
    let bound = has(&["TOLERANCE", "tolerance", "bound", "within", "expect_within"]);
    folds || (bound && has(&["INFINITY", "MAX"]))
}

/// rustfmt formats Rust; nothing formats shaders.
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

/// WGSL allows errors of 2⁻¹¹ and more in these.
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

/// The map names only what exists.
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
