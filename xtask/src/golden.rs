//! Makes the golden files again: what another engine computes for the same inputs.
//!
//! Not part of the checks: the files are kept in the repository, and this documents how they were
//! made. `pip` can be configured to take a CPU-only build of `torch`; the default one is larger
//! and gives the same numbers.

use std::path::PathBuf;

use crate::{packages, shell};

const PACKAGES: [&str; 4] = ["torch", "transformers", "gguf", "safetensors"];

/// Runs every `tests/golden/*/make.py`, each from the repository's root.
pub(crate) fn make() -> Result<(), String> {
    let scripts = scripts()?;
    let venv = shell::root().join("target/golden-venv");
    let python = venv.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    if !shell::succeeds(shell::program(&python).args(["-m", "pip", "--version"])) {
        let system = packages::python("ensurepip")?;
        shell::quiet(shell::program(system).args(["-m", "venv", "--clear"]).arg(&venv))?;
    }
    eprintln!("xtask: installing {} ...", PACKAGES.join(" "));
    shell::run(shell::program(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES))?;
    for script in scripts {
        eprintln!("xtask: running {}", script.display());
        // Golden numbers are computed on the CPU, on every machine.
        shell::run(shell::program(&python).arg(&script).env("CUDA_VISIBLE_DEVICES", ""))?;
    }
    Ok(())
}

/// The scripts in the order of their names.
fn scripts() -> Result<Vec<PathBuf>, String> {
    let folder = shell::root().join("tests/golden");
    let entries = folder.read_dir().map_err(|error| shell::at(&folder, &error))?;
    let scripts = entries.flatten().map(|entry| entry.path().join("make.py"));
    let mut scripts: Vec<PathBuf> = scripts.filter(|script| script.is_file()).collect();
    scripts.sort();
    if scripts.is_empty() {
        return Err(format!("no folder in {} has a make.py", folder.display()));
    }
    Ok(scripts)
}
