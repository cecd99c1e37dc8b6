//! Which programs a self-test still has to run, and how often each has run.

use std::collections::{BTreeMap, BTreeSet};

use crate::gpu::Program;

use super::outcome::variant;

/// Which programs still have to run, and how often each has run.
#[derive(Debug)]
pub(super) struct RunFilter {
    /// Only these, by [`variant`]; all if `None`.
    only: Option<BTreeSet<String>>,
    /// Only those with this kernel or part; all if `None`.
    using: Option<String>,
    /// Programs of earlier rounds.
    done: BTreeSet<String>,
    runs: BTreeMap<String, usize>,
    /// Enough runs for one program.
    enough: usize,
}

impl RunFilter {
    /// Every program, as often as there are cases.
    pub(super) fn all() -> Self {
        let (done, runs) = (BTreeSet::new(), BTreeMap::new());
        Self { only: None, using: None, done, runs, enough: usize::MAX }
    }

    /// The programs of these names, each about `enough` times.
    pub(super) fn only(names: BTreeSet<String>, enough: usize) -> Self {
        Self { only: Some(names), enough, ..Self::all() }
    }

    /// The programs that have this kernel or part.
    pub(super) fn using(name: &str) -> Self {
        Self { using: Some(name.to_owned()), ..Self::all() }
    }

    /// Ends a round: what has run so far need not run again.
    pub(super) fn end_round(&mut self) {
        self.done.extend(std::mem::take(&mut self.runs).into_keys());
    }

    /// Whether a program should run; counts it if so.
    pub(super) fn admit(&mut self, program: &Program) -> bool {
        let name = variant(program);
        let has = |using: &String| {
            program.kernel.name == using || program.parts.iter().any(|part| part.name == using)
        };
        let asked = self.only.as_ref().is_none_or(|only| only.contains(&name))
            && self.using.as_ref().is_none_or(has);
        if !asked || self.done.contains(&name) {
            return false;
        }
        let runs = self.runs.entry(name).or_default();
        *runs += 1;
        *runs <= self.enough
    }
}
