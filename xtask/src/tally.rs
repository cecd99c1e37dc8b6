//! Counts passed and failed tests from the output of test runners.

use std::ffi::OsStr;
use std::fmt;

use crate::{browser, build, shell};

/// The counts over all steps, and what was not run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// The names of checks that this machine could not run, and of tests that are ignored.
    pub(crate) skipped: Vec<String>,
}

impl Tally {
    /// Notes that a check was not run, and says why.
    pub(crate) fn skip(&mut self, name: &str, why: &str) {
        eprintln!("ci: not run: {name}: {why}");
        self.skipped.push(name.to_owned());
    }

    /// Adds the counts of steps that ran beside these.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
    }

    /// Runs `cargo test` and adds its counts.
    pub(crate) fn test<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        &mut self,
        args: &[&str],
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), String> {
        shell::tee(build::test(args).envs(environment), |line| self.count(line))
    }

    /// Adds a line of Node's test runner.
    pub(crate) fn count_node(&mut self, line: &str) {
        match browser::counted(line) {
            Some((true, number)) => self.passed += number,
            Some((false, number)) => self.failed += number,
            None => {}
        }
    }

    /// Adds a line such as `test result: ok. 5 passed; 0 failed; 1 ignored; ...`.
    pub(crate) fn count(&mut self, line: &str) {
        let Some((_, result)) = line.split_once("test result:") else { return };
        for part in result.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let number = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
            match words.next() {
                Some("passed") => self.passed += number,
                Some("failed") => self.failed += number,
                Some("ignored") if number > 0 => {
                    self.skipped.push(format!("{number} ignored"));
                }
                _ => {}
            }
        }
    }
}

/// The last line of a run.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match self.skipped.as_slice() {
            [] => Ok(()),
            skipped => write!(f, ", {} skipped: {}", skipped.len(), skipped.join(", ")),
        }
    }
}
