//! The tasks of this repository, as `cargo xtask TASK`.
//!
//! It has no dependencies, since a new user's first command builds it.

mod adapters;
mod browser;
mod build;
mod ci;
mod deny;
mod dist;
mod golden;
mod models;
mod mutants;
mod outside;
mod packages;
mod shell;
mod steps;
mod tally;
mod validation;
mod web;

use std::process::ExitCode;

const HELP: &str = "\
The tasks of this repository.

Usage: cargo xtask TASK

Tasks:
  demo [ARGS...]    build pellucid and generate text with a real model; ARGS (options,
                    a prompt) replace the demo's own prompt
  ci                run every check and test; `ci --list` names the steps,
                    `ci --only STEP` runs one of them (may be repeated)
  models            fetch the models that the tests and the demo use into target/models
  adapters          install software graphics adapters for the tests, and print their paths
  web [--serve [PORT]]
                    make the page for browsers in target/page; --serve opens it
  mutants [shaders|rust [WORDS...]]
                    plant every fault of the list, and record in docs/testing.md which test
                    catches it; takes hours, and resumes where it was stopped
  dist              make the files for download in target/dist: the program, the page,
                    the package for scripts, checksums, licenses
  golden            make tests/golden again with PyTorch (not needed to test)
";

const DEMO: [&str; 3] = ["--max-new-tokens", "64", "The capital of France is"];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        [] | ["help" | "-h" | "--help", ..] => {
            print!("{HELP}");
            Ok(())
        }
        ["ci", options @ ..] => return ci::main(options),
        ["demo", own @ ..] => demo(if own.is_empty() { &DEMO } else { own }),
        ["models"] => models::fetch().inspect(|()| {
            eprintln!("xtask: all models are in {}", models::folder().display());
        }),
        ["adapters"] => adapters::install(),
        ["web", options @ ..] => web::main(options),
        ["mutants", options @ ..] => mutants::main(options),
        ["dist"] => dist::make(),
        ["golden"] => golden::make(),
        other => Err(format!("`{}` is not a task; see `cargo xtask help`", other.join(" "))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Generates text with a real model on the best adapter of this machine.
fn demo(args: &[&str]) -> Result<(), String> {
    adapters::ensure_any();
    models::fetch()?;
    let model = models::folder().join(models::SMOL_LM2);
    let mut command = shell::cargo(&["run", "--release", "--bin", "pellucid", "--", "generate"]);
    shell::run(command.arg("--model").arg(model).args(args))
}
