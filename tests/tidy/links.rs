//! The pages: links have targets, and no twin or kernel is left out.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::{assert_none, files, root};

/// Folders with pages, besides the top folder.
const FOLDERS: [&str; 9] =
    ["benches", "cli", "docs", "examples", "shaders", "src", "tests", "web", "xtask"];

/// Files of the reference without mathematics of their own.
const HELPERS: [&str; 7] =
    ["attention_size", "dot", "golden_test", "mod", "observer", "parallel", "tests"];

/// Every page of the repository, by path and text.
fn pages() -> Vec<(PathBuf, String)> {
    let mut pages: Vec<_> = FOLDERS.iter().flat_map(|folder| files(folder, "md")).collect();
    for path in fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()) {
        if path.extension().is_some_and(|extension| extension == "md") {
            let text = fs::read_to_string(&path).unwrap();
            pages.push((path.strip_prefix(root()).unwrap().to_owned(), text));
        }
    }
    pages
}

/// The lines of a page outside of blocks of code, by number.
pub(super) fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fence = None;
    let mut lines = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(opening)) => fence = Some(opening),
            (Some(opening), Some(closing)) if opening == closing => fence = None,
            (None, None) => lines.push((number, line)),
            _ => {}
        }
    }
    lines
}

/// A line without the text between backticks: that is code, even if it looks like a link.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// The targets of the links in a line: `[text](target)`, and `[name]: target` at its start.
pub(super) fn targets(line: &str) -> Vec<String> {
    let line = without_code(line);
    let first_word = |text: &str| text.split_whitespace().next().unwrap_or_default().to_owned();
    let inline = line.match_indices("](").filter_map(|(at, open)| {
        line[at + open.len()..].split_once(')').map(|(target, _)| first_word(target))
    });
    let named = line.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
    inline.chain(named.map(|(_, target)| first_word(target))).collect()
}

/// GitHub's fragment for a heading: lower case, without punctuation, hyphens for spaces.
fn slug(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading
        .trim()
        .to_lowercase()
        .chars()
        .filter(kept)
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// The fragments of a page; of equal headings, the second ends in -1, the third in -2.
fn fragments(text: &str) -> HashSet<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut found = HashSet::new();
    for (_, line) in prose(text) {
        let title = line.trim_start_matches('#');
        if line.starts_with('#') && title.starts_with(' ') {
            let slug = slug(&link_texts(title));
            let times = seen.entry(slug.clone()).or_default();
            found.insert(if *times == 0 { slug } else { format!("{slug}-{times}") });
            *times += 1;
        }
    }
    found
}

/// A heading with each link replaced by its text.
fn link_texts(title: &str) -> String {
    let mut pieces = title.split("](");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        text.push_str(piece.split_once(')').map_or(piece, |(_, rest)| rest));
    }
    text
}

/// Joins a link to the folder of its page; `None` if it leaves the repository.
pub(super) fn resolve(page: &Path, target: &str) -> Option<PathBuf> {
    let mut path = page.parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(target).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::ParentDir if path.pop() => {}
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(path)
}

/// Whether a link leads to the network, which no test follows.
fn is_elsewhere(target: &str) -> bool {
    ["http://", "https://", "mailto:"].iter().any(|scheme| target.starts_with(scheme))
}

/// What is wrong with a link of a page.
fn fault(page: &Path, text: &str, target: &str) -> Option<&'static str> {
    if is_elsewhere(target) {
        return None;
    }
    let (file, fragment) =
        target.split_once('#').map_or((target, None), |(file, fragment)| (file, Some(fragment)));
    let path = if file.is_empty() { Some(page.to_owned()) } else { resolve(page, file) };
    let Some(path) = path else { return Some("leaves the repository") };
    let whole = root().join(&path);
    if !whole.exists() {
        return Some("is not there");
    }
    let fragment = fragment.filter(|_| path.extension().is_some_and(|found| found == "md"))?;
    let of_target = if path == page { text.to_owned() } else { fs::read_to_string(whole).unwrap() };
    (!fragments(&of_target).contains(fragment)).then_some("is no heading there")
}

#[test]
fn links_lead_to_files_and_headings() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (page, text) in pages() {
        for (number, line) in prose(&text) {
            for target in targets(line) {
                count += 1;
                if let Some(fault) = fault(&page, &text, &target) {
                    wrong.push(format!("{}:{number}: {target} {fault}", page.display()));
                }
            }
        }
    }
    assert!(count > 100, "{count} links: are they still found?");
    assert_none("links that lead nowhere", &wrong);
}

#[test]
fn broken_links_are_noticed() {
    let page = Path::new("docs/kernels.md");
    let text = "# One `two`, three!\n```\n# Code\n```\n## Again\n## Again\n";
    assert_eq!(targets("[`a`](b.md#c) and `[x](y)`, [z](w \"t\")"), ["b.md#c", "w"]);
    assert_eq!(targets("[name]: ../README.md"), ["../README.md"]);
    for target in ["#one-two-three", "#again", "#again-1", "../README.md", "https://a.b/c"] {
        assert_eq!(fault(page, text, target), None, "{target}");
    }
    for target in ["#code", "#again-2", "README.md", "../../README.md", "/README.md"] {
        assert!(fault(page, text, target).is_some(), "{target}");
    }
    assert!(fault(page, text, "../README.md#no-such-heading").is_some());
}

/// Each new twin is linked on the page, at the part of the function that it is.
#[test]
fn the_function_links_every_twin() {
    let text = fs::read_to_string(root().join("docs/the-function.md")).unwrap();
    let links: Vec<String> = prose(&text).into_iter().flat_map(|(_, line)| targets(line)).collect();
    let mut missing = Vec::new();
    for (path, _) in files("src/reference", "rs") {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let link = format!("../{}", path.display());
        if !HELPERS.contains(&name.as_str()) && !links.contains(&link) {
            missing.push(link);
        }
    }
    assert_none("twins that docs/the-function.md does not link", &missing);
}

/// Each new kernel is on the page of costs.
#[test]
fn every_kernel_has_its_cost() {
    let text = fs::read_to_string(root().join("docs/kernels.md")).unwrap();
    let named: HashSet<&str> =
        prose(&text).into_iter().flat_map(|(_, line)| line.split('`').skip(1).step_by(2)).collect();
    let mut missing = Vec::new();
    for (path, _) in files("shaders", "wgsl") {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.parent() != Some(Path::new("shaders/parts")) && !named.contains(name.as_str()) {
            missing.push(name);
        }
    }
    assert_none("kernels that docs/kernels.md does not name", &missing);
}
