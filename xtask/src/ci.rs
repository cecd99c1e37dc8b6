//! Every check of the repository, fastest first, as one command.
//!
//! The first failure ends the run. No step is skipped silently: what is missing is installed, or the
//! step fails, or the last line names it.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use crate::steps::{Lane, STEPS, Step};
use crate::tally::Tally;

/// Runs the steps that the options select, and ends with `N passed, M failed`, and what was skipped.
pub(crate) fn main(options: &[&str]) -> ExitCode {
    let steps = match choose(options) {
        Ok(steps) => steps,
        Err(error) => {
            eprintln!("xtask: {error}");
            return ExitCode::from(2);
        }
    };
    if options.contains(&"--list") {
        for step in steps {
            println!("{:24}{}", step.name, step.about);
        }
        return ExitCode::SUCCESS;
    }
    let start = Instant::now();
    let mut tally = Tally::default();
    let result = run(&steps, &mut tally);
    let seconds = start.elapsed().as_secs_f64();
    let exit = match result {
        Ok(()) => {
            eprintln!("ci: all steps passed ({seconds:.0} s)");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("ci: {error} ({seconds:.0} s)");
            ExitCode::FAILURE
        }
    };
    println!("{tally}");
    exit
}

/// The steps named by `--only`, or all.
fn choose(options: &[&str]) -> Result<Vec<&'static Step>, String> {
    let mut chosen = Vec::new();
    let mut rest = options.iter();
    while let Some(&option) = rest.next() {
        match (option, rest.as_slice().first()) {
            ("--list", _) => {}
            ("--only", Some(name)) => {
                let step = STEPS.iter().find(|step| step.name == *name);
                let unknown = || format!("`{name}` is not a step; see `cargo xtask ci --list`");
                chosen.push(step.ok_or_else(unknown)?);
                rest.next();
            }
            ("--only", None) => return Err("--only needs the name of a step".to_owned()),
            _ => {
                return Err(format!(
                    "`{option}` is not an option of ci, which has --list and --only STEP"
                ));
            }
        }
    }
    Ok(if chosen.is_empty() { STEPS.iter().collect() } else { chosen })
}

/// Runs the steps, lane by lane, up to the first that fails; those beside it come to their end.
fn run(steps: &[&Step], tally: &mut Tally) -> Result<(), String> {
    side_by_side(steps, [Lane::Build, Lane::Fetch], tally)?;
    side_by_side(steps, [Lane::Native, Lane::Browser], tally)?;
    in_turn(steps, Lane::Alone, tally)
}

/// Runs two lanes at once; whoever has done the first helps with the other.
fn side_by_side(
    steps: &[&Step],
    [first, other]: [Lane; 2],
    tally: &mut Tally,
) -> Result<(), String> {
    let waiting: VecDeque<usize> = of_lane(steps, other).collect();
    let waiting = Mutex::new(waiting);
    let help = |tally: &mut Tally| {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(index) = next else { return Ok(()) };
            one(steps, index, tally).inspect_err(|_| {
                waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
            })?;
        }
    };
    let (here, there, counted) = thread::scope(|scope| {
        let beside = scope.spawn(|| {
            let mut tally = Tally::default();
            (help(&mut tally), tally)
        });
        let here = in_turn(steps, first, tally).and_then(|()| help(tally));
        let panicked = |_| (Err("a step panicked".to_owned()), Tally::default());
        let (there, counted) = beside.join().unwrap_or_else(panicked);
        (here, there, counted)
    });
    tally.add(counted);
    here.and(there)
}

/// The places of a lane's steps.
fn of_lane(steps: &[&Step], lane: Lane) -> impl Iterator<Item = usize> {
    (0..steps.len()).filter(move |index| steps[*index].lane == lane)
}

/// Runs the steps of a lane in order, up to the first that fails.
fn in_turn(steps: &[&Step], lane: Lane, tally: &mut Tally) -> Result<(), String> {
    of_lane(steps, lane).try_for_each(|index| one(steps, index, tally))
}

fn one(steps: &[&Step], index: usize, tally: &mut Tally) -> Result<(), String> {
    let step = steps[index];
    eprintln!("\nci: [{}/{}] {}: {}", index + 1, steps.len(), step.name, step.about);
    let start = Instant::now();
    let failed_before = tally.failed;
    let result = (step.run)(tally);
    let seconds = start.elapsed().as_secs_f64();
    result.map_err(|error| {
        // A failure outside of any test, or one that kills its test program, counts as well.
        tally.failed = tally.failed.max(failed_before + 1);
        format!("step {} failed after {seconds:.1} s: {error}", step.name)
    })?;
    eprintln!("ci: {} passed in {seconds:.1} s", step.name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Step = Step {
        name: "good",
        about: "passes",
        lane: Lane::Native,
        run: |tally| {
            tally.count("test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured\n");
            Ok(())
        },
    };
    const CRASH: Step = Step {
        name: "crash",
        about: "says nothing",
        lane: Lane::Native,
        run: |_| Err("gone".to_owned()),
    };
    const BAD: Step = Step {
        name: "bad",
        about: "fails",
        lane: Lane::Native,
        run: |tally| {
            tally.count("test result: \x1b[31mFAILED\x1b[0m. 2 passed; 3 failed; 0 ignored\n");
            Err("three tests".to_owned())
        },
    };

    fn counts(passed: u64, failed: u64) -> Tally {
        Tally { passed, failed, ..Tally::default() }
    }

    #[test]
    fn what_was_not_run_is_named_in_the_last_line() {
        let skipping = Step {
            run: |tally| {
                tally.skip("a check", "its program is missing");
                tally.count("test result: ok. 1 passed; 0 failed; 2 ignored; 0 measured\n");
                Ok(())
            },
            ..GOOD
        };
        let mut tally = Tally::default();
        assert_eq!(run(&[&GOOD], &mut tally), Ok(()));
        assert_eq!(tally.to_string(), "5 passed, 0 failed");
        assert_eq!(run(&[&skipping], &mut tally), Ok(()));
        assert_eq!(tally.to_string(), "6 passed, 0 failed, 2 skipped: a check, 2 ignored");
    }

    #[test]
    fn the_first_failure_ends_the_run() {
        let mut tally = Tally::default();
        assert_eq!(run(&[&GOOD, &GOOD], &mut tally), Ok(()));
        assert_eq!(tally, counts(10, 0));

        let error = run(&[&GOOD, &BAD, &GOOD], &mut tally).unwrap_err();
        assert!(error.starts_with("step bad failed") && error.ends_with("three tests"), "{error}");
        assert_eq!(tally, counts(17, 3));
    }

    #[test]
    fn lanes_are_counted_together() {
        let beside = Step { lane: Lane::Browser, ..GOOD };
        let (first, last) = (Step { lane: Lane::Build, ..GOOD }, Step { lane: Lane::Alone, ..BAD });
        let mut tally = Tally::default();
        assert!(run(&[&first, &GOOD, &beside, &last], &mut tally).is_err(), "the last step fails");
        assert_eq!(tally, counts(17, 3));
        let failing = Step { lane: Lane::Browser, ..BAD };
        let mut tally = Tally::default();
        assert!(run(&[&GOOD, &failing, &last], &mut tally).is_err(), "the step beside fails");
        assert_eq!(tally, counts(7, 3));
    }

    #[test]
    fn a_failure_without_a_test_counts_as_one() {
        let mut tally = Tally::default();
        assert!(run(&[&CRASH, &GOOD], &mut tally).is_err(), "the first step fails");
        assert_eq!(tally, counts(0, 1));
    }

    #[test]
    fn options_choose_steps() {
        let names = |options: &[&str]| {
            choose(options).map(|steps| steps.iter().map(|step| step.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).map(|all| all.len()), Ok(STEPS.len()));
        assert_eq!(names(&["--only", "gl", "--only", "fmt"]), Ok(vec!["gl", "fmt"]));
        assert!(names(&["--only"]).is_err_and(|error| error.contains("needs the name")));
        assert!(names(&["--only", "x"]).is_err_and(|error| error.contains("`x` is not a step")));
        assert!(names(&["--fast"]).is_err_and(|error| error.contains("`--fast`")));
    }
}
