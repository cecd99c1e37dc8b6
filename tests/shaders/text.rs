//! The files of `shaders/`: registered, documented and consistent.

use std::collections::BTreeSet;
use std::path::Path;

use pellucid::gpu::{Need, Target, link};
use pellucid::select::{KERNELS, PARTS};

use super::barriers::{is_called_again, without_last_barrier};
use super::{fillings, fills, programs, slots};

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders"))
}

fn readme() -> String {
    std::fs::read_to_string(folder().join("README.md")).unwrap()
}

/// Every slot that a kernel or a part has.
fn all_slots() -> BTreeSet<&'static str> {
    let sources = KERNELS.iter().map(|k| k.source).chain(PARTS.iter().map(|p| p.source));
    sources.flat_map(slots).collect()
}

/// The names of the shaders in a folder.
fn files(folder: &Path) -> BTreeSet<String> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "wgsl"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn every_file_is_registered_once() {
    let kernels: Vec<String> = KERNELS.iter().map(|kernel| kernel.name.to_owned()).collect();
    let parts: Vec<String> = PARTS.iter().map(|part| part.name.to_owned()).collect();
    for (names, folders) in [(kernels, &["", "backward"][..]), (parts, &["parts"])] {
        let set: BTreeSet<String> = names.iter().cloned().collect();
        assert_eq!(set.len(), names.len(), "a name is registered twice");
        let files = folders.iter().flat_map(|name| files(&folder().join(name))).collect();
        assert_eq!(set, files, "registered, and in shaders/ {folders:?}");
    }
}

#[test]
fn a_kernel_opens_with_its_name_and_a_part_with_its_slot() {
    for kernel in KERNELS {
        let head = format!("// {}: ", kernel.name);
        assert!(kernel.source.starts_with(&head), "{} does not open with `{head}`", kernel.name);
        assert!(kernel.source.contains("Grid: ") || kernel.source.contains("grid: "));
    }
    let all_slots = all_slots();
    for part in PARTS {
        let filled: Vec<_> = all_slots.iter().filter(|slot| fills(part, slot)).collect();
        let [slot] = filled[..] else { panic!("{} fills the slots {filled:?}", part.name) };
        let head = format!("// Slot `{slot}`: ");
        assert!(part.source.starts_with(&head), "{} does not open with `{head}`", part.name);
    }
}

/// Compilers differ in which `enable` lines they need, so `link` writes them.
#[test]
fn only_link_writes_enable_lines() {
    let sources = KERNELS.iter().map(|k| k.source).chain(PARTS.iter().map(|p| p.source));
    assert!(!sources.flat_map(str::lines).any(|line| line.trim_start().starts_with("enable ")));
    for program in programs() {
        let needs = program.needs().any(|need| need == Need::Subgroups);
        let says = |target| link(&program, target).contains("enable subgroups;");
        assert_eq!((says(Target::Naga), says(Target::Browser)), (false, needs));
        let text = link(&program, Target::Naga);
        let calls = text.lines().map(code).any(|line| line.contains("subgroup"));
        assert!(!calls || needs, "{} uses subgroups without saying so", program.label());
    }
}

/// A line without its comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// What is outside all parentheses.
fn bare(code: &str) -> String {
    let mut depth = 0;
    let outside = code.chars().filter(|letter| {
        depth += i32::from(*letter == '(');
        let out = depth == 0;
        depth -= i32::from(*letter == ')');
        out
    });
    outside.collect()
}

/// WGSL requires parentheses around a comparison next to & or |. Browsers enforce this, naga does
/// not.
#[test]
fn comparisons_next_to_and_have_parentheses() {
    let mixes = |code: &str| {
        let has = |words: &[&str]| words.iter().any(|word| code.contains(&format!(" {word} ")));
        has(&["&", "|"]) && has(&["<", "<=", ">", ">=", "==", "!="])
    };
    // The contents of each pair of parentheses, from the inside out, and the line without them.
    let wrong = |line: &str| {
        let inside = line.match_indices('(').map(|(at, _)| {
            let mut depth = 0;
            let end = line[at..].find(|letter| {
                depth += i32::from(letter == '(') - i32::from(letter == ')');
                depth == 0
            });
            bare(&line[at + 1..end.map_or(line.len(), |end| at + end)])
        });
        // Arguments are separate.
        inside.chain([bare(line)]).any(|text| text.split(',').any(mixes))
    };
    assert!(wrong("let own = select(a, b, column >= start & column < end);"));
    assert!(!wrong("let own = select(a, b, (column >= start) & (column < end));"));
    for source in KERNELS.iter().map(|k| k.source).chain(PARTS.iter().map(|p| p.source)) {
        let name = source.lines().next().unwrap_or_default();
        let line = source.lines().map(code).find(|line| wrong(line));
        assert!(line.is_none(), "{name}: {}", line.unwrap_or_default());
    }
}

#[test]
fn sums_over_a_workgroup_leave_its_memory_free() {
    let one = "\nfn a() {\n    workgroupBarrier();\n    y[0] = x[1];\n}\n";
    assert_eq!(without_last_barrier(one), ["a"]);
    let mut seen = 0;
    for part in PARTS.iter().filter(|part| is_called_again(part.name)) {
        assert_eq!(without_last_barrier(part.source), Vec::<&str>::new(), "{}", part.name);
        seen += usize::from(part.source.contains("workgroupBarrier()"));
    }
    assert_eq!(seen, 4, "of lanes and of reductions, across subgroups and without them");
}

/// A variable without an initial value is 0 whenever it is declared, but Chromium 156 keeps what
/// the previous iteration left in an array.
#[test]
fn what_a_loop_declares_has_a_value() {
    let inner = "for (;;) {\n  if a {\n    var x: f32;\n  }\n}";
    let nested = "fn f() {\n  while a {\n    loop {\n      var x: f32;\n    }\n  }\n}";
    assert_eq!([inner, nested].map(|text| without_value(text).len()), [1, 1]);
    let fine = "fn f() {\n  var x: f32;\n  for (;;) {\n    var y = 1;\n  }\n  var z: f32;\n}";
    assert_eq!(without_value(fine), Vec::<&str>::new());
    for source in KERNELS.iter().map(|k| k.source).chain(PARTS.iter().map(|p| p.source)) {
        let name = source.lines().next().unwrap_or_default();
        assert_eq!(without_value(source), Vec::<&str>::new(), "{name}");
    }
}

/// The variables that are declared in a loop, at any depth, without an initial value.
fn without_value(source: &str) -> Vec<&str> {
    // For each open brace, whether it is that of a loop.
    let (mut open, mut found) = (Vec::new(), Vec::new());
    for line in source.lines().map(code) {
        let words = line.trim_start_matches([' ', '}']);
        let loops = ["for ", "while ", "loop "].iter().any(|word| words.starts_with(word));
        if words.starts_with("var ") && !line.contains('=') && open.contains(&true) {
            found.push(line.trim());
        }
        for letter in line.chars() {
            match letter {
                '{' => open.push(loops),
                '}' => _ = open.pop(),
                _ => {}
            }
        }
    }
    found
}

#[test]
fn the_readme_has_a_row_for_every_kernel_and_part() {
    let readme = readme();
    for kernel in KERNELS {
        let start = format!("| `{}` |", kernel.name);
        let row = readme.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("shaders/README.md has no row for {}", kernel.name));
        let named = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default().trim();
        assert_eq!(
            named,
            slots(kernel.source).join(", "),
            "the slots of {} in the README",
            kernel.name
        );
    }
    for part in PARTS {
        let start = format!("| `{}` |", part.name);
        assert!(readme.lines().any(|line| line.starts_with(&start)), "no row for {}", part.name);
    }
}

/// The README's signatures are the contract of a slot; every part that fills it keeps it.
#[test]
fn every_part_offers_the_functions_and_structs_of_its_slot() {
    let readme = readme();
    for slot in all_slots() {
        let (_, section) = readme
            .split_once(&format!("\n### {slot}\n"))
            .unwrap_or_else(|| panic!("shaders/README.md has no section {slot}"));
        let section = section.split("\n### ").next().unwrap_or_default();
        let signed = |line: &&str| line.starts_with("fn ") || line.starts_with("struct ");
        let contract: Vec<&str> = section.lines().filter(signed).collect();
        assert!(!contract.is_empty(), "the section {slot} has no signatures");
        for part in fillings(slot) {
            for signature in &contract {
                let offered = part.source.lines().any(|line| line == format!("{signature} {{"));
                assert!(offered, "{} does not offer `{signature}`", part.name);
            }
        }
    }
}

/// The name of a struct as a file's name: `RmsNorm` as `rms_norm`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// A kernel's op is in a file of its name, which has no other op; and every op has a kernel, but for the
/// one that runs a caller's.
#[test]
fn every_op_has_a_file_of_its_name_and_a_kernel() {
    let ops: BTreeSet<&str> = KERNELS.iter().filter_map(|kernel| kernel.op).collect();
    let mut found = BTreeSet::new();
    for folder in ["src/ops", "src/ops/backward"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let file = path.file_stem().unwrap().to_string_lossy().into_owned();
            for line in text.lines().filter_map(|line| line.strip_prefix("impl Op for ")) {
                let name = line.split(['<', ' ']).next().unwrap_or_default();
                assert_eq!(snake(name), file, "the file that holds the op {name}");
                assert!(found.insert(file.clone()), "{file} holds more than one op");
            }
        }
    }
    let mut found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    assert!(found.remove("own"), "the op whose kernel is its caller's");
    assert_eq!(found, ops, "ops in src/ops, and ops that the registry names");
}
