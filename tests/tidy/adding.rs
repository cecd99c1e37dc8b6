//! The lists of docs/adding.md: every file that they link mentions the example, and no other does.

use std::fs;
use std::path::{Path, PathBuf};

use super::links::{prose, resolve, targets};
use super::{assert_none, files, root, test_modules, words};

const PAGE: &str = "docs/adding.md";

/// What a section follows through the code: "Follow `Q5_1` and `q5_1` through `src` and `shaders`."
struct Example {
    heading: String,
    /// The names of the example, of which each file holds one as a word.
    names: Vec<String>,
    /// The folders in which the section links every file that does.
    folders: Vec<String>,
    /// The files that it links.
    linked: Vec<PathBuf>,
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The sections of the page that follow an example.
fn examples(text: &str) -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    for (_, line) in prose(text) {
        if let Some(heading) = line.strip_prefix("## ") {
            let heading = heading.to_owned();
            let (names, folders, linked) = (Vec::new(), Vec::new(), Vec::new());
            found.push(Example { heading, names, folders, linked });
        }
        let Some(section) = found.last_mut() else { continue };
        if let Some(example) = line.strip_prefix("Follow ") {
            let sentence = example.split(". ").next().unwrap_or_default();
            let (names, folders) = sentence.split_once(" through ").expect("names, then folders");
            (section.names, section.folders) = (quoted(names), quoted(folders));
        }
        for target in targets(line) {
            let file = target.split('#').next().unwrap_or_default();
            let path = resolve(Path::new(PAGE), file).expect("a file of this repository");
            section.linked.extend((!file.is_empty()).then_some(path));
        }
    }
    found
}

/// Whether a text holds one of some names as a word.
fn mentions(text: &str, names: &[String]) -> bool {
    words(text).any(|word| names.iter().any(|name| name == word))
}

/// A file without the unit tests at its foot.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

#[test]
fn each_list_links_what_its_example_touches() {
    let text = fs::read_to_string(root().join(PAGE)).unwrap();
    let examples = examples(&text);
    assert!(examples.len() >= 7, "{PAGE} has {} sections", examples.len());
    let tests = test_modules();
    let is_test = |path: &Path| {
        tests.iter().any(|module| path.with_extension("") == *module || path.starts_with(module))
    };
    let mut wrong = Vec::new();
    for Example { heading, names, folders, linked } in &examples {
        assert!(!names.is_empty() && !folders.is_empty(), "{heading}: follows no example");
        assert!(linked.len() >= 4, "{heading}: links {} files", linked.len());
        for path in linked {
            match fs::read_to_string(root().join(path)) {
                Ok(text) if mentions(&text, names) => {}
                Ok(_) => wrong.push(format!("{heading}: {} mentions no {names:?}", path.display())),
                Err(_) => wrong.push(format!("{heading}: {} is not there", path.display())),
            }
        }
        for folder in folders {
            let all = ["rs", "wgsl", "md"].into_iter().flat_map(|end| files(folder, end));
            let touched =
                all.filter(|(path, text)| !is_test(path) && mentions(without_tests(text), names));
            for (path, _) in touched.filter(|(path, _)| !linked.contains(path)) {
                wrong.push(format!("{heading}: {} is not linked", path.display()));
            }
        }
    }
    assert_none("steps of docs/adding.md that its examples do not bear out", &wrong);
}

#[test]
fn sections_are_read_as_they_are_written() {
    let text = "# Adding\n## A thing\n\nFollow `a` and `B` through `src`. More `c`.\n\n\
                1. See [x](../src/lib.rs) and [above](#a-thing).\n";
    let found = examples(text);
    let [Example { heading, names, folders, linked }] = &found[..] else { panic!("one section") };
    assert_eq!(
        (heading.as_str(), linked.as_slice()),
        ("A thing", &[PathBuf::from("src/lib.rs")][..])
    );
    assert_eq!(
        (names.as_slice(), folders.as_slice()),
        (&["a", "B"].map(str::to_owned)[..], &["src".to_owned()][..])
    );
    assert!(mentions("let x = B::new();", names) && !mentions("let ab = Bc;", names));
    assert_eq!(without_tests("code\n#[cfg(test)]\nmod tests {\n    a\n}\n"), "code");
}
