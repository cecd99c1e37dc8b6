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

/// Builds everything that tests run.
pub(crate) fn all() -> Result<(), String> {
    shell::run(&mut test(&["--lib", "--bins", "--tests", "--no-run"]))
}

/// Builds the program, which its own tests run too, and says where it is.
pub(crate) fn pellucid() -> Result<PathBuf, String> {
    shell::run(&mut test(&["--quiet", "--test", "cli", "--no-run"]))?;
    let name = format!("pellucid{}", std::env::consts::EXE_SUFFIX);
    Ok(shell::target().join("debug").join(name))
}
