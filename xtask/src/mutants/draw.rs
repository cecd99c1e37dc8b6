//! Where a fault in Rust can be planted, and what the file is with it.

use std::fs;
use std::ops::Range;

use super::lists::{NO_DIFFERENCE, OPS, OWN, TWINS};
use super::source;
use crate::shell;

/// The seed of every draw.
const SEED: u64 = 20_261_129;

/// One text replaced by another, in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) file: String,
    kind: String,
    /// The line of the change, counted from 1.
    line: usize,
    /// The bytes that are replaced.
    place: Range<usize>,
    is: String,
    pub(super) words: String,
}

impl Fault {
    /// The file with the fault.
    pub(super) fn changed(&self, text: &str) -> String {
        self.within(text, 0..text.len())
    }

    /// The file with both the function that has the fault and the one that has not, of which a number
    /// in the environment chooses when the test runs. `None` if the fault is outside of functions.
    pub(super) fn chosen_by(&self, number: usize, text: &str) -> Option<String> {
        let body = source::bodies(text)
            .into_iter()
            .rfind(|body| body.start <= self.place.start && self.place.end <= body.end)?;
        let (sound, changed) = (&text[body.clone()], self.within(text, body.clone()));
        let both = format!("{{ if crate::planted({number}) {changed} else {sound} }}");
        Some(format!("{}{both}{}", &text[..body.start], &text[body.end..]))
    }

    fn within(&self, text: &str, part: Range<usize>) -> String {
        let (before, after) = (part.start..self.place.start, self.place.end..part.end);
        format!("{}{}{}", &text[before], self.is, &text[after])
    }
}

/// The ops and the twins, those of the decoders of weights too, in order.
pub(super) fn files() -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    let twins = ["src/reference", "src/reference/backward", "src/checkpoint/format"];
    for folder in ["src/ops", "src/ops/backward"].into_iter().chain(twins) {
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

/// Every place for a fault in a file, before its tests, in a drawn order.
pub(super) fn drawn(file: &str, text: &str) -> Vec<Fault> {
    let mut faults = faults(file, text);
    let mut random = Random(SEED ^ fingerprint(file));
    for left in (1..faults.len()).rev() {
        faults.swap(left, random.index(left + 1));
    }
    faults
}

/// Every place for a fault in a file, before its tests.
fn faults(file: &str, text: &str) -> Vec<Fault> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let patterns = if file.starts_with("src/ops") { &OPS[..] } else { &TWINS[..] };
    let mut found = Vec::new();
    for (kind, was, is) in patterns {
        for (at, _) in code.match_indices(was) {
            let start = code[..at].rfind('\n').map_or(0, |start| start + 1);
            // Not comments, type bounds, the words of an error, or room that grows by itself.
            let line = code[start..].lines().next().unwrap_or_default();
            let plain = !["//", "impl", "fn ", "where", "use ", "\"", "with_capacity("]
                .iter()
                .any(|s| line.contains(s));
            // A grid may be too long: kernels leave out what lies past the end.
            let long = *kind == "a count off by one" && line.contains(".div_ceil(");
            if plain && !long {
                found.push(fault(file, kind, text, at, was, is));
            }
        }
    }
    found.extend(exchanged(file, code));
    let line_of = |fault: &Fault| {
        fault.changed(text).lines().nth(fault.line - 1).unwrap_or_default().to_owned()
    };
    let makes_none = |fault: &Fault| {
        let of_file = NO_DIFFERENCE.iter().filter(|(of, _)| *of == file);
        of_file.map(|(_, line)| line).any(|line| line_of(fault).contains(line))
    };
    found.retain(|fault| !makes_none(fault));
    for [_, kind, was, is] in OWN.iter().filter(|own| own[0] == file) {
        found.extend(code.match_indices(was).map(|(at, _)| fault(file, kind, text, at, was, is)));
    }
    found
}

/// Similar neighbors exchanged: two parameters of a kernel, what the op writes to them, or two buffers.
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

pub(super) fn fault(file: &str, kind: &str, text: &str, at: usize, was: &str, is: &str) -> Fault {
    let line = text[..at].matches('\n').count() + 1;
    let one = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let words = format!("{file}:{line} {kind}: `{}` -> `{}`", one(was), one(is));
    let place = at..at + was.len();
    Fault { file: file.to_owned(), kind: kind.to_owned(), line, place, is: is.to_owned(), words }
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
    use super::super::lists::{CHECKS, WITHOUT};
    use super::*;

    #[test]
    fn faults_are_found_in_code_alone() {
        let text = "// a + eps\nlet x = a + eps;\n#[cfg(test)]\nlet y = b + eps;\n";
        let found: Vec<(String, usize)> =
            faults("src/reference/x.rs", text).into_iter().map(|f| (f.kind, f.line)).collect();
        assert_eq!(found, [("an epsilon".to_owned(), 2), ("a sign".to_owned(), 2)]);
        let text = "struct Params {\n    a: u32,\n    b: u32,\n}\n";
        let found = faults("src/ops/x.rs", text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].chosen_by(3, text), None, "it is in no function");
        assert_eq!(found[0].changed(text), "struct Params {\n    b: u32,\n    a: u32,\n}\n");
        let text = "a: to_u32(x),\nb: to_u32(y),\n";
        let found = exchanged("src/ops/x.rs", text);
        assert_eq!(found[0].changed(text), "a: to_u32(y),\nb: to_u32(x),\n");
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
    fn a_function_with_a_fault_stands_beside_the_sound_one() {
        let text = "fn a() -> u32 { 1 }\nfn b(x: u32) -> u32 {\nx - 1 }\n";
        let found = faults("src/reference/x.rs", text);
        let both = "fn a() -> u32 { 1 }\nfn b(x: u32) -> u32 { if crate::planted(7) {\nx + 1 } else {\nx - 1 } }\n";
        assert_eq!(found[0].chosen_by(7, text).as_deref(), Some(both));
    }
}
