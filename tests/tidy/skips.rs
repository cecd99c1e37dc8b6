//! No test ends early without having checked something.

use super::{assert_none, code, words};

/// A test that returns because the adapter lacks something passes without having run. It may return after
/// an assertion, or after a push to the list of what is wrong; no helper returns after a mere print.
#[test]
fn no_test_is_skipped_silently() {
    let mut wrong = Vec::new();
    for folder in ["tests", "cli/tests", "src", "xtask"] {
        let lines = code(folder);
        for file in lines.chunk_by(|a, b| a.0 == b.0) {
            // What stands in quotes below is what is looked for.
            if file[0].0.ends_with("skips.rs") {
                continue;
            }
            let text: Vec<&str> = file.iter().map(|(_, _, line)| line.as_str()).collect();
            // What runs the tests may print and return.
            let helpers = folder.ends_with("tests");
            let here = skips(&text).filter(|(_, place)| helpers || *place == Place::Test);
            wrong.extend(here.map(|(at, _)| {
                let (path, number, line) = &file[at];
                format!("{}:{number}: {}", path.display(), line.trim())
            }));
        }
    }
    assert_none("tests that end early without a check, or are ignored without a reason", &wrong);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Test,
    Helper,
}

/// The indices of the lines that end a test early, in the test itself or in a function that it may call.
fn skips<'a>(lines: &'a [&'a str]) -> impl Iterator<Item = (usize, Place)> + 'a {
    let indent = |line: &str| line.len() - line.trim_start().len();
    // The indentation of the test that a line is in.
    let mut test = None;
    lines.iter().enumerate().filter_map(move |(at, line)| {
        let code = line.trim();
        if code == "#[test]" {
            test = Some(indent(line));
        } else if code == "}" && test == Some(indent(line)) {
            test = None;
        }
        let returns = words(code).any(|word| word == "return");
        let before = statement_before(lines, at);
        let skipped = if test.is_some() {
            !before.starts_with("assert") && !before.contains(".push(")
        } else {
            before.starts_with("println!") || before.starts_with("eprintln!")
        };
        let place = if test.is_some() { Place::Test } else { Place::Helper };
        (returns && skipped || code == "#[ignore]").then_some((at, place))
    })
}

/// The first line of the statement that ends right before a line, in the same block.
fn statement_before<'a>(lines: &[&'a str], at: usize) -> &'a str {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let own = indent(lines[at]);
    let before = lines[..at].iter().rev().take_while(|line| indent(line) >= own);
    let first = |line: &&&str| indent(line) == own && !line.trim().starts_with([')', '}', ']']);
    before.into_iter().find(first).map_or("", |line| line.trim())
}

#[test]
fn a_skip_is_what_ends_a_test_without_a_check() {
    let of = |text: &str| skips(&text.lines().collect::<Vec<_>>()).count();
    let test = |body: &str| format!("#[test]\nfn a() {{\n{body}\n    work();\n}}\n");
    let lacks = |then: &str| test(&format!("    if lacks() {{\n{then}        return;\n    }}"));
    assert_eq!(of(&lacks("")), 1, "a bare return");
    assert_eq!(of(&lacks("        eprintln!(\"no subgroups\");\n")), 1, "a print is no check");
    assert_eq!(of(&test("    let Some(x) = lacks() else { return };")), 1, "on one line");
    assert_eq!(of(&test("    let Some(x) = lacks() else { return Ok(()) };")), 1, "with a result");
    assert_eq!(of(&lacks("        assert!(\n            alone(),\n        );\n")), 0, "a check");
    assert_eq!(of(&lacks("        wrong.push(name);\n")), 0, "a failure that is noted");
    let helper =
        "fn b() {\n    if lacks() {\n        println!(\"none\");\n        return;\n    }\n}\n";
    assert_eq!(of(helper), 1, "a helper that prints and returns");
    assert_eq!(of("fn b() {\n    return;\n}\n"), 0, "a function");
    assert_eq!(of("#[test]\n#[ignore]\nfn a() {\n}\n"), 1, "ignored without a reason");
}
