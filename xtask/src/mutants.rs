//! Plants every fault of the list, one after another, and notes which test catches it.
//!
//! The list of faults in shaders is that of `tests/faults`, of which ten run in `cargo xtask ci` too;
//! the list of faults in Rust is made here. Results are kept in `target/mutants`, so that an
//! interrupted run resumes where it stopped, as long as the commit is the same.

mod draw;
mod lists;
mod rust;
mod source;

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::adapters::Software;
use crate::{build, models, shell};

/// A fault that makes a kernel or a test run for longer than this counts as caught.
const PATIENCE: Duration = Duration::from_secs(900);

/// The marks around the result in docs/testing.md.
const BEGIN: &str = "<!-- The table of `cargo xtask mutants` begins. -->";
const END: &str = "<!-- The table of `cargo xtask mutants` ends. -->";

/// The outcome of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    name: String,
    /// `caught`, `survived`, or `unable` if the adapter cannot run the kernel with the fault.
    what: String,
    /// The change.
    words: String,
    /// The case or test, or why there is none.
    by: String,
}

/// Plants faults: `shaders`, `rust`, or both; if words follow, only faults whose names contain one of
/// them.
pub(crate) fn main(options: &[&str]) -> Result<(), String> {
    let (shaders, rust, words) = match options {
        [] => (true, true, options),
        ["shaders", words @ ..] => (true, false, words),
        ["rust", words @ ..] => (false, true, words),
        _ => return Err("mutants takes `shaders`, `rust`, or nothing for both".to_owned()),
    };
    models::fetch()?;
    let commit = shell::capture(shell::program("git").args(["rev-parse", "--short", "HEAD"]))?;
    let mut results = Results::open(commit.trim(), words)?;
    if shaders {
        plant_in_shaders(&mut results)?;
    }
    if rust {
        rust::plant(&mut results)?;
    }
    let report = results.report();
    write(&folder().join("report.md"), &report)?;
    // Part of the list says nothing about the whole.
    let whole = options.is_empty();
    if whole {
        into_docs(&report)?;
    }
    let survivors = results.verdicts.iter().filter(|verdict| verdict.what == "survived").count();
    let place = if whole { "docs/testing.md" } else { "target/mutants/report.md" };
    eprintln!("mutants: the result is in {place}");
    if survivors > 0 { Err(format!("{survivors} faults are not caught")) } else { Ok(()) }
}

fn folder() -> PathBuf {
    shell::root().join("target/mutants")
}

fn write(path: &std::path::Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| shell::at(path, &error))
}

/// The outcomes so far, in a file with a line for each fault.
struct Results {
    commit: String,
    path: PathBuf,
    /// Only faults whose names contain one of these; all if there are none.
    words: Vec<String>,
    verdicts: Vec<Verdict>,
}

impl Results {
    /// The outcomes of this commit; others are dropped.
    fn open(commit: &str, words: &[&str]) -> Result<Self, String> {
        fs::create_dir_all(folder()).map_err(|error| shell::at(&folder(), &error))?;
        let path = folder().join("results.tsv");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let mut lines = text.lines();
        let mut verdicts = Vec::new();
        if lines.next() == Some(commit) {
            verdicts.extend(lines.filter_map(parsed));
        } else {
            write(&path, &format!("{commit}\n"))?;
        }
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Ok(Self { commit: commit.to_owned(), path, words, verdicts })
    }

    /// Whether a fault is still to be planted.
    fn lacks(&self, name: &str) -> bool {
        let asked = self.words.is_empty() || self.words.iter().any(|word| name.contains(word));
        asked && !self.verdicts.iter().any(|verdict| verdict.name == name)
    }

    fn add(&mut self, verdict: Verdict) -> Result<(), String> {
        let Verdict { name, what, words, by } = &verdict;
        eprintln!("mutants: {what} {name}: {by}");
        let failed = |error: std::io::Error| shell::at(&self.path, &error);
        let mut file = OpenOptions::new().append(true).open(&self.path).map_err(failed)?;
        writeln!(file, "{name}\t{what}\t{words}\t{by}").map_err(failed)?;
        self.verdicts.push(verdict);
        Ok(())
    }

    /// The commit, the numbers, and a table.
    fn report(&self) -> String {
        let count = |what| self.verdicts.iter().filter(|verdict| verdict.what == what).count();
        let mut text = format!(
            "Commit `{}`, on lavapipe: {} faults planted, {} caught, {} survived; {} could not be \
             planted, since the adapter lacks what they need.\n\n| fault | change | caught by |\n|---|---|---|\n",
            self.commit,
            self.verdicts.len() - count("unable"),
            count("caught"),
            count("survived"),
            count("unable"),
        );
        for Verdict { name, what, words, by } in &self.verdicts {
            let change = words.replace('|', "\\|");
            let by = by.replace('|', "\\|");
            let by = if what == "caught" { by } else { format!("**{what}**: {by}") };
            text.push_str(&format!("| {name} | {change} | {by} |\n"));
        }
        text
    }
}

fn parsed(line: &str) -> Option<Verdict> {
    let mut parts = line.split('\t').map(str::to_owned);
    Some(Verdict {
        name: parts.next()?,
        what: parts.next()?,
        words: parts.next()?,
        by: parts.next()?,
    })
}

/// Writes the report into docs/testing.md, between its marks.
fn into_docs(report: &str) -> Result<(), String> {
    let path = shell::root().join("docs/testing.md");
    let text = fs::read_to_string(&path).map_err(|error| shell::at(&path, &error))?;
    write(&path, &between(&text, report)?)
}

/// The text with something else between the marks.
fn between(text: &str, report: &str) -> Result<String, String> {
    let (before, rest) =
        text.split_once(BEGIN).ok_or("docs/testing.md has no mark where the table begins")?;
    let (_, after) =
        rest.split_once(END).ok_or("docs/testing.md has no mark where the table ends")?;
    Ok(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", report.trim_end()))
}

/// Runs each fault in a process of its own, since a kernel may crash or hang it.
fn plant_in_shaders(results: &mut Results) -> Result<(), String> {
    let adapter = Software::Lavapipe;
    let mut environment = adapter.environment()?.ok_or("lavapipe is not here")?;
    environment.push(("PELLUCID_TEST_ADAPTER", adapter.name().into()));
    let args = ["--test", "faults", "--no-run", "--message-format=json"];
    let built = shell::capture(&mut build::test(&args))?;
    let program = executable(&built).ok_or("cargo does not name the test program")?;
    let test = |name: &str| {
        let mut command = shell::program(program);
        command.args(["--exact", name, "--nocapture"]).envs(environment.clone());
        command
    };
    let list = shell::capture(&mut test("every_kernel_and_part_has_a_fault_and_every_format_two"))?;
    let faults: Vec<(&str, &str)> = list.lines().filter_map(listed).collect();
    if faults.is_empty() {
        return Err("the tests list no fault in shaders".to_owned());
    }
    for (index, (name, words)) in faults.iter().enumerate() {
        if !results.lacks(name) {
            continue;
        }
        eprintln!("mutants: [{}/{}] {words}", index + 1, faults.len());
        let mut command = test("planted_faults_are_caught");
        let (what, by) = match output_of(command.env("PELLUCID_FAULTS", name))? {
            None => ("caught", format!("it does not end within {PATIENCE:?}")),
            Some((_, text)) if text.contains("\ncaught\t") => ("caught", said(&text, "caught")),
            Some((_, text)) if text.contains("\nunable\t") => ("unable", said(&text, "unable")),
            Some((false, text)) if !text.contains("not caught:") => {
                ("caught", format!("the program ends: {}", text.lines().last().unwrap_or_default()))
            }
            Some((_, text)) => {
                let (_, after) = text.split_once("not caught:\n").unwrap_or_default();
                ("survived", after.lines().next().unwrap_or_default().to_owned())
            }
        };
        let (name, words) = ((*name).to_owned(), (*words).to_owned());
        results.add(Verdict { name, what: what.to_owned(), words, by })?;
    }
    Ok(())
}

/// The name and the words of a line of the list.
fn listed(line: &str) -> Option<(&str, &str)> {
    line.split_once("fault\t")?.1.split_once('\t')
}

/// What a test reported about the only fault that it planted.
fn said(text: &str, what: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{what}\t")));
    line.and_then(|line| line.split_once('\t')).map_or(String::new(), |(_, by)| by.to_owned())
}

/// The test program among cargo's messages.
fn executable(messages: &str) -> Option<&str> {
    let after = messages.rsplit_once("\"executable\":\"")?.1;
    after.split('"').next()
}

/// Whether a command succeeded and what it printed; `None` if it had to be stopped.
fn output_of(command: &mut Command) -> Result<Option<(bool, String)>, String> {
    let pipes = command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
    let mut child = pipes.spawn().map_err(|error| format!("cannot run a test: {error}"))?;
    let readers = [child.stdout.take().map(reader), child.stderr.take().map(reader)];
    let start = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|error| format!("cannot wait for a test: {error}"))? {
            Some(status) => break Some(status),
            None if start.elapsed() > PATIENCE => break None,
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    if status.is_none() {
        end(&mut child)?;
    }
    let texts = readers.into_iter().flatten().map(|reader| reader.join().unwrap_or_default());
    let text = format!("\n{}", texts.collect::<Vec<String>>().join("\n"));
    Ok(status.map(|status| (status.success(), text)))
}

fn end(child: &mut Child) -> Result<(), String> {
    child
        .kill()
        .and_then(|()| child.wait())
        .map_err(|error| format!("cannot end a test: {error}"))?;
    Ok(())
}

/// Reads everything a program prints while it runs.
fn reader(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // After a failure, what was read so far is used.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_are_written() {
        assert_eq!(
            listed("test x ... fault\trope:3:Scale\trope:3 Scale: a"),
            Some(("rope:3:Scale", "rope:3 Scale: a"))
        );
        assert_eq!(
            said("x\ncaught\trope:3:Scale\tTurn { rows: 1 }\ny", "caught"),
            "Turn { rows: 1 }"
        );
        let verdict = parsed("a\tcaught\tb\tc").unwrap();
        assert_eq!((verdict.name.as_str(), verdict.by.as_str()), ("a", "c"));
        assert_eq!(parsed("a\tcaught"), None);
        let messages =
            "{\"executable\":null}\n{\"executable\":\"/a/faults-1\",\"x\":1}\n{\"reason\":\"x\"}";
        assert_eq!(executable(messages), Some("/a/faults-1"));
    }

    #[test]
    fn the_report_takes_the_place_of_the_one_before() {
        let text = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let new = between(&text, "new\n").unwrap();
        assert_eq!(new, format!("a\n{BEGIN}\n\nnew\n\n{END}\nb\n"));
        assert_eq!(between(&new, "new\n").unwrap(), new);
        assert!(between("a", "new").is_err(), "no marks");
    }

    #[test]
    fn a_program_is_read_to_its_end() {
        let (success, text) = output_of(&mut shell::cargo(&["--version"])).unwrap().unwrap();
        assert!(success && text.contains("cargo "), "{text}");
    }
}
