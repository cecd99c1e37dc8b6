//! How the tests and the program are built: all members together, with the features that tests need.
//!
//! Features of a dependency are those that the chosen packages ask for, together. With one package
//! alone, or without its tests, cargo would build wgpu, naga and the tokenizers once more.

use std::path::PathBuf;
use std::process::Command;

use crate::shell;

/// `cargo test` on all members.
pub(crate) fn test(args: &[&str]) -> Command {
    let mut command = shell::cargo(&["test", "--workspace"]);
    command.args(args);
    command
}

/// Builds all tests and programs.
pub(crate) fn all() -> Result<(), String> {
    shell::run(&mut shell::cargo(&ALL))
}

const ALL: [&str; 4] = ["build", "--workspace", "--bins", "--tests"];

/// Builds the program of a member, with all others, and says where it is.
pub(crate) fn program(name: &str) -> Result<PathBuf, String> {
    shell::run(shell::cargo(&ALL).arg("--quiet"))?;
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    Ok(shell::target().join("debug").join(name))
}

/// Builds the program and says where it is.
pub(crate) fn pellucid() -> Result<PathBuf, String> {
    program("pellucid")
}
