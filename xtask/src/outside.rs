//! The packages as users of a registry see them: without this repository around them.
//!
//! They are packed, unpacked and built in a workspace of their own, which shares our lock file,
//! profiles and target folder, so that dependencies are not built again.

use std::fs;
use std::path::{Path, PathBuf};

use crate::adapters::Software;
use crate::shell;

/// The packages that would be published, and the most bytes that each may have.
const PACKAGES: [(&str, u64); 2] = [("pellucid", 4 << 20), ("pellucid-cli", 1 << 20)];

/// The files that each must hold besides its sources.
const NEEDED: [&str; 3] = ["LICENSE-APACHE", "LICENSE-MIT", "README.md"];

/// The manifest of a user's crate, whose only dependency is the library.
const EXAMPLE: &str = "\
[package]
name = \"example\"
version = \"0.0.0\"
edition = \"2024\"

[dependencies]
pellucid = \"0.1\"
";

/// Packs every crate and checks what is in the packages.
pub(crate) fn pack() -> Result<(), String> {
    let folder = folder();
    shell::remove_folder(&folder)?;
    let mut pack = shell::cargo(&["package", "--workspace", "--no-verify", "--allow-dirty"]);
    shell::quiet(pack.arg("--target-dir").arg(&folder))?;
    for (name, most) in PACKAGES {
        let archive = folder.join("package").join(format!("{}.crate", versioned(name)));
        let bytes = fs::metadata(&archive).map_err(|error| shell::at(&archive, &error))?.len();
        let mut list = shell::program("tar");
        let files = shell::capture(list.arg("-tzf").arg(&archive))?;
        let holds = |needed: &str| files.lines().any(|file| file.ends_with(&format!("/{needed}")));
        if let Some(needed) = NEEDED.into_iter().find(|needed| !holds(needed)) {
            return Err(format!("{name}: its package lacks {needed}"));
        }
        if bytes > most {
            return Err(format!("{name}: its package has {bytes} bytes, and may have {most}"));
        }
        let mut unpack = shell::program("tar");
        unpack.arg("-xzf").arg(&archive).arg("-C").arg(&folder);
        shell::run(&mut unpack)?;
        eprintln!("xtask: {name}: {} files, {bytes} bytes", files.lines().count());
    }
    workspace(&folder)
}

/// Builds the unpacked program, and a new crate that is README's example; runs the example.
pub(crate) fn build() -> Result<(), String> {
    let folder = folder();
    if !folder.join("example").is_dir() {
        pack()?;
    }
    let cargo = |args: &[&str]| {
        let mut command = shell::cargo(args);
        command.current_dir(&folder).env("CARGO_TARGET_DIR", shell::target());
        command
    };
    // All at once, so that shared dependencies have the features that other steps build.
    shell::run(&mut cargo(&["build", "--workspace"]))?;
    let mut example = shell::program(shell::target().join("debug/example"));
    example.envs(Software::Lavapipe.environment()?.unwrap_or_default());
    let printed = shell::capture(&mut example)?;
    if printed.trim().is_empty() {
        return Err("README's example printed nothing".to_owned());
    }
    eprintln!("xtask: README's example wrote {:?}", printed.trim());
    Ok(())
}

/// Where packages are unpacked.
fn folder() -> PathBuf {
    shell::target().join("outside")
}

fn versioned(name: &str) -> String {
    format!("{name}-{}", env!("CARGO_PKG_VERSION"))
}

/// Makes the workspace around the unpacked packages.
fn workspace(folder: &Path) -> Result<(), String> {
    let read = |name: &str| {
        let path = shell::root().join(name);
        fs::read_to_string(&path).map_err(|error| shell::at(&path, &error))
    };
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| shell::at(&path, &error))
    };
    for source in ["example/src", "tests/src"].map(|source| folder.join(source)) {
        fs::create_dir_all(&source).map_err(|error| shell::at(&source, &error))?;
    }
    let [library, program] = PACKAGES.map(|(name, _)| versioned(name));
    let manifest = format!(
        "[workspace]\nmembers = [\"example\", \"tests\", {library:?}, {program:?}]\nresolver = \"3\"\n\n\
         [patch.crates-io]\npellucid = {{ path = {library:?} }}\n\n{}",
        profiles(&read("Cargo.toml")?)
    );
    write("Cargo.toml", &manifest)?;
    // The tests of the library ask for more of naga.
    let naga =
        read("Cargo.toml")?.lines().find(|line| line.starts_with("naga = ")).map(str::to_owned);
    let naga = naga.ok_or("Cargo.toml has no line `naga = ...`")?;
    let tests = EXAMPLE.replace("\"example\"", "\"tests\"").replace("pellucid = \"0.1\"", &naga);
    write("tests/Cargo.toml", &tests)?;
    write("tests/src/lib.rs", "")?;
    write("Cargo.lock", &read("Cargo.lock")?)?;
    write("example/Cargo.toml", EXAMPLE)?;
    let readme = read("README.md")?;
    write("example/src/main.rs", example(&readme).ok_or("README.md has no Rust program")?)
}

/// The profile sections of a manifest.
fn profiles(manifest: &str) -> String {
    let mut inside = false;
    let lines = manifest.lines().filter(|line| {
        if line.starts_with('[') {
            inside = line.starts_with("[profile.");
        }
        inside
    });
    lines.map(|line| format!("{line}\n")).collect()
}

/// The first Rust program of a text in Markdown.
fn example(markdown: &str) -> Option<&str> {
    let (_, code) = markdown.split_once("```rust\n")?;
    code.split("```").next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_found() {
        let manifest = "[package]\nname = \"x\"\n[profile.dev]\nopt-level = 1\n\n[lib]\na = 1\n[profile.dev.package.\"*\"]\ndebug = false\n";
        let expected =
            "[profile.dev]\nopt-level = 1\n\n[profile.dev.package.\"*\"]\ndebug = false\n";
        assert_eq!(profiles(manifest), expected);
    }

    #[test]
    fn the_example_is_a_program() {
        let readme = fs::read_to_string(shell::root().join("README.md")).unwrap();
        let program = example(&readme).unwrap();
        assert!(program.contains("fn main()"), "it can be copied as it stands:\n{program}");
        assert!(!program.lines().any(|line| line.starts_with("# ")), "nothing is hidden");
        assert_eq!(example("```js\nlet a;\n```"), None);
    }
}
