//! The packages as users of a registry see them: without this repository around them.
//!
//! They are packed, unpacked and built in a workspace of their own, which shares our lock file,
//! profiles and target folder, so that dependencies are not built again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

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

/// The manifests whose dependencies decide, beside the library's own, with which features those are
/// built in the repository: a crate with the same dependencies stands for each.
const OTHERS: [(&str, &str); 3] =
    [("tests", "Cargo.toml"), ("program", "cli/Cargo.toml"), ("page", "web/build/Cargo.toml")];

/// Packs every crate and checks what is in the packages, once a run: a step that runs by itself sees
/// the sources of today.
///
/// The registry is not asked about each dependency again: what the lock file names is here already.
pub(crate) fn pack() -> Result<(), String> {
    static PACKED: OnceLock<Result<(), String>> = OnceLock::new();
    PACKED.get_or_init(pack_anew).clone()
}

fn pack_anew() -> Result<(), String> {
    let folder = folder();
    shell::remove_folder(&folder)?;
    let mut pack =
        shell::cargo(&["package", "--workspace", "--no-verify", "--allow-dirty", "--offline"]);
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

/// The library without features and with each of them alone; the step clippy has all of them.
pub(crate) fn features() -> Result<(), String> {
    for features in ["", "inspect", "train"] {
        let mut clippy = cargo(&["clippy", "--package", "pellucid", "--no-default-features"])?;
        if !features.is_empty() {
            clippy.args(["--features", &format!("pellucid/{features}")]);
        }
        // Without these, dependencies would have fewer features, and be checked once more.
        for (name, _) in OTHERS {
            clippy.args(["--package", name]);
        }
        shell::run(clippy.args(["--", "-D", "warnings"]))?;
    }
    Ok(())
}

/// Compiles the unpacked program, and builds and runs a new crate that is README's example.
pub(crate) fn build() -> Result<(), String> {
    shell::run(&mut cargo(&["check", "--workspace"])?)?;
    // With the others beside it, dependencies have the features with which they are built already.
    let mut example = cargo(&["build", "--package", "example"])?;
    for (name, _) in OTHERS {
        example.args(["--package", name]);
    }
    shell::run(&mut example)?;
    let mut example = shell::program(shell::target().join("debug/example"));
    example.envs(Software::Lavapipe.environment()?.unwrap_or_default());
    let printed = shell::capture(&mut example)?;
    if printed.trim().is_empty() {
        return Err("README's example printed nothing".to_owned());
    }
    eprintln!("xtask: README's example wrote {:?}", printed.trim());
    Ok(())
}

/// Cargo in the workspace of the unpacked packages.
fn cargo(args: &[&str]) -> Result<Command, String> {
    pack()?;
    let mut command = shell::cargo(args);
    command.current_dir(folder()).env("CARGO_TARGET_DIR", shell::target());
    command.env("CARGO_NET_OFFLINE", "true");
    Ok(command)
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
    let make = |name: &str| {
        let source = folder.join(name).join("src");
        fs::create_dir_all(&source).map_err(|error| shell::at(&source, &error))
    };
    for (name, manifest) in OTHERS {
        make(name)?;
        let dependencies = dependencies(&read(manifest)?);
        let manifest = EXAMPLE.replace("\"example\"", &format!("{name:?}"));
        let (package, _) = manifest.split_once("[dependencies]").unwrap_or((&manifest, ""));
        write(&format!("{name}/Cargo.toml"), &format!("{package}{dependencies}"))?;
        write(&format!("{name}/src/lib.rs"), "")?;
    }
    make("example")?;
    let [library, program] = PACKAGES.map(|(name, _)| versioned(name));
    let others = OTHERS.map(|(name, _)| format!("{name:?}")).join(", ");
    let manifest = format!(
        "[workspace]\nmembers = [\"example\", {others}, {library:?}, {program:?}]\nresolver = \"3\"\n\n\
         [patch.crates-io]\npellucid = {{ path = {library:?} }}\n\n{}",
        profiles(&read("Cargo.toml")?)
    );
    write("Cargo.toml", &manifest)?;
    write("Cargo.lock", &read("Cargo.lock")?)?;
    write("example/Cargo.toml", EXAMPLE)?;
    let readme = read("README.md")?;
    write("example/src/main.rs", example(&readme).ok_or("README.md has no Rust program")?)
}

/// The dependencies of a manifest but for our own, with those of its tests among them.
fn dependencies(manifest: &str) -> String {
    let mut section = "";
    // Each section's lines; the order of sections does not matter.
    let mut found: BTreeMap<String, BTreeMap<&str, &str>> = BTreeMap::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        }
        let Some((name, _)) = line.split_once([' ', '.']).filter(|_| !line.starts_with(['[', '#']))
        else {
            continue;
        };
        let ours = section.starts_with("[workspace");
        if section.ends_with("dependencies]") && !ours && name != "pellucid" {
            let section = section.replace("dev-dependencies", "dependencies");
            found.entry(section).or_default().insert(name, line);
        }
    }
    let text = |(section, lines): (String, BTreeMap<&str, &str>)| {
        let lines: String = lines.into_values().map(|line| format!("{line}\n")).collect();
        format!("{section}\n{lines}\n")
    };
    found.into_iter().map(text).collect()
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
    fn dependencies_are_found() {
        let manifest = "[workspace.dependencies]\npellucid = \"1\"\n[package]\nname = \"x\"\n\
                        [dependencies]\n# Why.\na = { b = \"1\" }\npellucid.workspace = true\n\
                        [target.'cfg(unix)'.dependencies]\nc = \"1\"\n[dev-dependencies]\nd = \"1\"\n";
        let expected = "[dependencies]\na = { b = \"1\" }\nd = \"1\"\n\n\
                        [target.'cfg(unix)'.dependencies]\nc = \"1\"\n\n";
        assert_eq!(dependencies(manifest), expected);
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
