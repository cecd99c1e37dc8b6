//! Within a room of the library, files import each other directly and in no circle, so that a reader is
//! never sent back to where he came from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{assert_none, files, test_modules};

/// A path of modules from the root of the library on.
type Module = Vec<String>;

/// For each room, which of its files use which others.
type Rooms = BTreeMap<Module, BTreeMap<String, BTreeSet<String>>>;

#[test]
fn rooms_have_no_circular_imports() {
    let tests = test_modules();
    let is_test = |path: &Path| tests.iter().any(|test| path.with_extension("").starts_with(test));
    let mut sources: Vec<(Module, String)> = Vec::new();
    for (path, text) in files("src", "rs").into_iter().filter(|(path, _)| !is_test(path)) {
        let stem = path.with_extension("");
        let parts = stem.iter().skip(1).map(|part| part.to_string_lossy().into_owned());
        sources.push((parts.filter(|part| part != "mod").collect(), text));
    }
    let (rooms, mut wrong) = imports(&sources);
    for (room, files) in rooms {
        let circle = circle(files);
        if !circle.is_empty() {
            wrong.push(format!("src/{}: a circle among {}", room.join("/"), circle.join(", ")));
        }
    }
    assert_none("imports within a room", &wrong);
}

/// Who uses whom within each room, and the imports that pass through the room's `mod.rs`.
fn imports(sources: &[(Module, String)]) -> (Rooms, Vec<String>) {
    let modules: BTreeSet<&Module> = sources.iter().map(|(module, _)| module).collect();
    let (mut rooms, mut wrong) = (Rooms::new(), Vec::new());
    for (own, text) in sources {
        for path in paths(text) {
            let Some(target) = resolved(own, &path) else { continue };
            let shared = own.iter().zip(&target).take_while(|(a, b)| a == b).count();
            // Rooms are compared by `imports_go_down_only`; a room may use what it contains.
            if shared == 0 || shared == own.len() {
                continue;
            }
            let user = own[shared].clone();
            let used = target.get(..=shared).map(<[String]>::to_vec);
            match used.filter(|used| modules.contains(used)) {
                Some(used) if used[shared] != user => {
                    let files = rooms.entry(own[..shared].to_vec()).or_default();
                    files.entry(user).or_default().insert(used[shared].clone());
                }
                Some(_) => {}
                None => wrong.push(format!(
                    "src/{}: {} passes through mod.rs",
                    own.join("/"),
                    path.join("::")
                )),
            }
        }
    }
    (rooms, wrong)
}

/// A path as it is written, from the root of the library on; `None` for the visibility `in crate::room`.
fn resolved(own: &[String], path: &[String]) -> Option<Module> {
    let mut module = own.to_vec();
    let mut rest = path.iter();
    match rest.as_slice().first()?.as_str() {
        "in" => return None,
        "crate" => {
            module.clear();
            rest.next();
        }
        _ => {
            while rest.as_slice().first().is_some_and(|part| part == "super") {
                module.pop();
                rest.next();
            }
        }
    }
    module.extend(rest.filter(|part| *part != "self").cloned());
    Some(module)
}

/// Every path of a file that begins with `crate`, `super` or `self`; a group is several paths. Comments and
/// the tests at the end of the file do not count.
fn paths(text: &str) -> Vec<Module> {
    let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: String =
        text.lines().flat_map(|line| [line.split("//").next().unwrap(), "\n"]).collect();
    let code = code.replace("$crate", "other_crate");
    let tokens = tokens(&code);
    let (mut found, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let begins = ["crate", "super", "self"].contains(&tokens[at]);
        if begins && tokens.get(at + 1) == Some(&"::") {
            let before =
                if at > 0 && tokens[at - 1] == "in" { vec!["in".to_owned()] } else { Vec::new() };
            at = tree(&tokens, at, before, &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Names, `::`, and every other sign by itself.
fn tokens(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let named = |c: char| c.is_alphanumeric() || c == '_';
        let length = match rest.find(|c| !named(c)) {
            Some(0) if rest.starts_with("::") => 2,
            Some(0) => first.len_utf8(),
            end => end.unwrap_or(rest.len()),
        };
        found.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    found
}

/// Adds the paths that begin at a token, each after `before`; returns where they end.
fn tree(tokens: &[&str], mut at: usize, mut before: Module, found: &mut Vec<Module>) -> usize {
    loop {
        match tokens.get(at) {
            Some(&"{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| *token != "}") {
                    at = tree(tokens, at, before.clone(), found);
                    at += usize::from(tokens.get(at) == Some(&","));
                }
                return at + 1;
            }
            Some(token) => before.push((*token).to_owned()),
            None => return at,
        }
        at += 1;
        if tokens.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    // A group's member may have another name here.
    if tokens.get(at) == Some(&"as") {
        at += 2;
    }
    found.push(before);
    at
}

/// The files that are left once those whose imports are all gone have been removed, again and again.
fn circle(mut files: BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    loop {
        let left: BTreeSet<String> = files.keys().cloned().collect();
        files.retain(|_, used| !used.is_disjoint(&left));
        if files.len() == left.len() {
            return left.into_iter().collect();
        }
    }
}

#[test]
fn circles_and_detours_are_found() {
    let module = |path: &str| path.split('/').map(str::to_owned).collect::<Module>();
    let source = |path: &str, text: &str| (module(path), text.to_owned());
    let sources = [
        source("room", "mod a;"),
        source("room/a", "use super::b::{self, B as C, D};\npub(in crate::room) fn f() {}"),
        source("room/b", "// super::a\nfn f() { crate::room::c::d::E }"),
        source("room/c", "$crate::room::Field"),
        source(
            "room/c/d",
            "use super::super::{\n    a::{A, AA},\n};\n\n#[cfg(test)]\nmod tests {\n    use super::*;",
        ),
        source("room/e", "use super::Thing;\nuse super::e::Own;\nuse crate::{other::X, room::Y};"),
    ];
    let (rooms, wrong) = imports(&sources);
    assert_eq!(circle(rooms[&module("room")].clone()), ["a", "b", "c"]);
    let through = |path: &str| format!("src/room/e: {path} passes through mod.rs");
    assert_eq!(wrong, [through("super::Thing"), through("crate::room::Y")]);
}
