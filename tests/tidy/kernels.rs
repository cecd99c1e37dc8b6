//! One name for shader, op, twin, case and test of each kernel.

use std::fs;

use super::{assert_none, files, root};

/// A kernel as the registry names it.
struct Named {
    folder: &'static str,
    kernel: String,
    op: String,
}

/// The text between the next two quotes, and the rest after them.
fn quoted(text: &str) -> Option<(&str, &str)> {
    text.split_once('"')?.1.split_once('"')
}

/// Every kernel of the registry that an op records: `"matvec" of "linear" needs ..` in one of its lists.
fn registry() -> Vec<Named> {
    let texts = files("src", "rs");
    let is_registry = |text: &&String| text.lines().any(|line| line == "kernels! {");
    let found: Vec<&String> = texts.iter().map(|(_, text)| text).filter(is_registry).collect();
    let [text] = found[..] else { panic!("{} files hold the kernels", found.len()) };
    let lines =
        text.lines().skip_while(|line| *line != "kernels! {").take_while(|line| *line != "}");
    let (mut folder, mut kernels) = (None, Vec::new());
    for line in lines {
        match line.trim() {
            "ops: [" => folder = Some(""),
            "training: [" => folder = Some("backward/"),
            "measurements: [" => folder = None,
            _ => {}
        }
        let (Some((name, rest)), Some(folder)) = (quoted(line), folder) else { continue };
        let of = rest.trim_start().strip_prefix("of ").and_then(quoted).map(|(op, _)| op);
        let (kernel, op) = (name.to_owned(), of.unwrap_or(name).to_owned());
        kernels.push(Named { folder, kernel, op });
    }
    kernels
}

/// `attention_mix` as a type's name.
fn camel(name: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    };
    name.split('_').map(word).collect()
}

#[test]
fn each_kernel_has_one_name() {
    let tests: String = files("tests/gpu", "rs").into_iter().map(|(_, text)| text).collect();
    let kernels = registry();
    assert!(kernels.len() > 50, "the registry holds {} kernels", kernels.len());
    let mut missing = Vec::new();
    // Fails unless a file holds each of these texts, followed by the end of a name.
    let mut expect = |kernel: &str, file: String, wanted: &[String]| {
        let Ok(text) = fs::read_to_string(root().join(&file)) else {
            missing.push(format!("{kernel}: {file} is not there"));
            return;
        };
        for wanted in wanted {
            let ends = |(at, _): (usize, &str)| {
                let next = text[at + wanted.len()..].chars().next();
                !next.is_some_and(|c| c.is_alphanumeric() || c == '_')
            };
            if !text.match_indices(wanted.as_str()).any(ends) {
                missing.push(format!("{kernel}: {file} holds no `{wanted}`"));
            }
        }
    };
    let mut untested = Vec::new();
    for Named { folder, kernel, op } in &kernels {
        expect(kernel, format!("shaders/{folder}{kernel}.wgsl"), &[format!("fn {kernel}")]);
        let name = camel(op);
        let own = [format!("pub struct {name}"), format!("impl Op for {name}")];
        expect(kernel, format!("src/ops/{folder}{op}.rs"), &own);
        let twin = format!("src/reference/{folder}{op}.rs");
        expect(kernel, twin, &[format!("pub fn {op}")]);
        let case = [format!("pub struct {name}"), format!("impl Case for {name}")];
        expect(kernel, format!("src/check/cases/{folder}{op}.rs"), &case);
        // On its own, or in a list of tests for a macro.
        let plain = tests.contains(&format!("#[test]\nfn {op}() {{"));
        if !plain && !tests.contains(&format!("\n    {op}: {name}")) {
            untested.push(format!("{kernel}: no test in tests/gpu is called {op}"));
        }
    }
    missing.extend(untested);
    assert_none("names that a kernel's op, twin, case or test does not have", &missing);
}
