//! The files for download, in `target/dist`: the program, the page, the package for scripts, the
//! licenses of everything in them, and checksums.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::{models, packages, shell, web};

/// The most bytes that the program may have.
const MOST: u64 = 30_000_000;

/// The file with all licenses, in each of the archives.
const LICENSES: &str = "THIRD-PARTY-LICENSES.txt";

/// Our own files that come with each archive.
const OWN: [&str; 3] = ["README.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// Makes the folder from scratch.
pub(crate) fn make() -> Result<(), String> {
    let dist = shell::root().join("target/dist");
    shell::remove_folder(&dist)?;
    create(&dist)?;
    let version = env!("CARGO_PKG_VERSION");
    let host = host()?;
    let licenses = dist.join(LICENSES);
    write(&licenses, &texts(&host)?)?;

    shell::run(&mut shell::cargo(&["build", "--profile", "shipped", "--package", "pellucid-cli"]))?;
    let name = format!("pellucid{}", std::env::consts::EXE_SUFFIX);
    let program = shell::target().join("shipped").join(&name);
    let bytes = size(&program)?;
    if bytes > MOST {
        return Err(format!("{} has {bytes} bytes, and may have {MOST}", program.display()));
    }
    let own = OWN.map(|name| shell::root().join(name));
    let files = [&own[..], &[licenses.clone(), program]].concat();
    pack(&dist, &format!("pellucid-{version}-{host}"), &files)?;

    let page = web::make()?;
    for file in [&own[1..], &[licenses]].concat() {
        copy(&file, &page)?;
    }
    tar(&dist.join(format!("pellucid-page-{version}.tar.gz")), &page, ".")?;
    npm(&dist, &page)?;
    sums(&dist)
}

/// Packs files into an archive of one folder, which has the archive's name.
fn pack(dist: &Path, name: &str, files: &[PathBuf]) -> Result<(), String> {
    let folder = dist.join(name);
    create(&folder)?;
    for file in files {
        copy(file, &folder)?;
    }
    tar(&dist.join(format!("{name}.tar.gz")), dist, name)?;
    shell::remove_folder(&folder)
}

/// The package for scripts, as `npm pack` makes it, or by hand if there is no npm.
fn npm(dist: &Path, page: &Path) -> Result<(), String> {
    let mut npm = shell::program(if cfg!(windows) { "npm.cmd" } else { "npm" });
    npm.args(["pack", "--silent", "--pack-destination"]).arg(dist).current_dir(page);
    if shell::succeeds(shell::program(npm.get_program()).arg("--version")) {
        return shell::quiet(&mut npm);
    }
    by_hand(dist, page)
}

/// As `npm pack` does: the manifest and the files that it lists, in a folder `package`.
fn by_hand(dist: &Path, page: &Path) -> Result<(), String> {
    let manifest = page.join("package.json");
    let text = read(&manifest)?;
    let files = strings(&text, "files").ok_or("package.json: it has no list `files`")?;
    let folder = dist.join("package");
    create(&folder)?;
    for file in files.iter().map(|name| page.join(name)).chain([manifest]) {
        copy(&file, &folder)?;
    }
    let name = format!("pellucid-{}.tgz", env!("CARGO_PKG_VERSION"));
    tar(&dist.join(name), dist, "package")?;
    shell::remove_folder(&folder)
}

/// A file with the SHA-256 of each of the others, as `sha256sum --check` reads it.
fn sums(dist: &Path) -> Result<(), String> {
    let python = packages::python("hashlib")?;
    let mut lines = String::new();
    for file in list(dist)?.into_iter().filter(|path| path.is_file()) {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        eprintln!("xtask: {name}: {:.1} MB", size(&file)? as f64 / 1e6);
        lines += &format!("{}  {name}\n", models::sha256(python, &file)?);
    }
    write(&dist.join("SHA256SUMS"), &lines)
}

/// The licenses of all crates in the program and in the page's module, each text once.
fn texts(host: &str) -> Result<String, String> {
    let mut crates = BTreeSet::new();
    let mut metadata = shell::cargo(&["metadata", "--format-version", "1"]);
    for (package, target) in [("pellucid-cli", host), ("pellucid-web", "wasm32-unknown-unknown")] {
        metadata.args(["--filter-platform", target]);
        let mut tree = shell::cargo(&["tree", "--edges", "normal", "--prefix", "none"]);
        tree.args(["--format", "{p}\t{l}", "--package", package, "--target", target]);
        crates.extend(shell::capture(&mut tree)?.lines().filter_map(named));
    }
    let folders = folders(&shell::capture(&mut metadata)?);
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, license) in crates {
        let folder =
            folders.get(&name).ok_or_else(|| format!("{name}: cargo names no folder for it"))?;
        let mut own = licenses(folder)?;
        if own.is_empty() {
            own.push(format!(
                "Its package holds no license text; it states its license as {license}.\n"
            ));
        }
        for text in own {
            texts.entry(text).or_default().push(format!("{name} ({license})"));
        }
    }
    let mut groups: Vec<_> = texts.into_iter().collect();
    groups.sort_by(|(_, a), (_, b)| a.cmp(b));
    let line = "=".repeat(80);
    let group = |(text, names): (String, Vec<String>)| {
        format!("{line}\n{}\n{line}\n\n{}\n\n", names.join("\n"), text.trim_end())
    };
    Ok(groups.into_iter().map(group).collect())
}

/// Name with version, and license, in a line such as `log v0.4.35<TAB>MIT OR Apache-2.0`; `None` for
/// our own crates, whose line names a folder.
fn named(line: &str) -> Option<(String, String)> {
    let (package, license) = line.trim_end_matches(" (*)").split_once('\t')?;
    let mut words = package.split(' ');
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    let local = words.any(|word| word.contains(['/', '\\']));
    (!local).then(|| (format!("{name}-{version}"), license.trim_end_matches(" (*)").to_owned()))
}

/// The folder of each package that `cargo metadata` names, by the folder's own name.
fn folders(metadata: &str) -> BTreeMap<String, PathBuf> {
    let paths = metadata.split("\"manifest_path\":\"").skip(1);
    let folders = paths.filter_map(|rest| {
        let manifest = rest.split('"').next()?.replace("\\\\", "\\");
        let folder = Path::new(&manifest).parent()?.to_owned();
        Some((folder.file_name()?.to_string_lossy().into_owned(), folder))
    });
    folders.collect()
}

/// The texts of a package's licenses.
fn licenses(folder: &Path) -> Result<Vec<String>, String> {
    let license = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        let known = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];
        path.is_file() && known.iter().any(|known| name.starts_with(known))
    };
    let files = list(folder)?.into_iter().filter(license);
    files.map(|file| read(&file).map(|text| text.replace("\r\n", "\n"))).collect()
}

/// The strings of a list in a JSON object.
fn strings<'a>(json: &'a str, key: &str) -> Option<Vec<&'a str>> {
    let (_, rest) = json.split_once(&format!("\"{key}\""))?;
    let (list, _) = rest.split_once('[')?.1.split_once(']')?;
    Some(list.split(',').map(|word| word.trim().trim_matches('"')).collect())
}

/// The target triple of the compiler's host.
fn host() -> Result<String, String> {
    let printed = shell::capture(shell::program("rustc").arg("-vV"))?;
    let line = printed.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned).ok_or_else(|| "`rustc -vV` names no host".to_owned())
}

fn tar(archive: &Path, folder: &Path, name: &str) -> Result<(), String> {
    let mut tar = shell::program("tar");
    shell::quiet(tar.arg("-czf").arg(archive).arg("-C").arg(folder).arg(name))
}

/// Copies a file, or a folder with all its contents, into a folder.
fn copy(from: &Path, folder: &Path) -> Result<(), String> {
    let to = folder.join(from.file_name().unwrap_or_default());
    if from.is_dir() {
        create(&to)?;
        return list(from)?.iter().try_for_each(|path| copy(path, &to));
    }
    fs::copy(from, &to).map(|_| ()).map_err(|error| shell::at(from, &error))
}

/// The entries of a folder, by name.
fn list(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = folder.read_dir().map_err(|error| shell::at(folder, &error))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

fn create(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| shell::at(folder, &error))
}

fn read(path: &Path) -> Result<String, String> {
    let bytes = fs::read(path).map_err(|error| shell::at(path, &error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| shell::at(path, &error))
}

fn size(path: &Path) -> Result<u64, String> {
    fs::metadata(path).map(|found| found.len()).map_err(|error| shell::at(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_are_named_with_their_licenses() {
        let log = Some(("log-0.4.35".to_owned(), "MIT OR Apache-2.0".to_owned()));
        assert_eq!(named("log v0.4.35\tMIT OR Apache-2.0"), log);
        assert_eq!(named("log v0.4.35\tMIT OR Apache-2.0 (*)"), log);
        let derive = Some(("serde_derive-1.0.229".to_owned(), "MIT".to_owned()));
        assert_eq!(named("serde_derive v1.0.229 (proc-macro)\tMIT"), derive);
        assert_eq!(named("pellucid v0.1.0 (/home/me/pellucid)\tMIT"), None);
        assert_eq!(named(""), None);
    }

    #[test]
    fn folders_are_found_in_metadata() {
        let metadata = r#"{"packages":[{"name":"a","manifest_path":"/r/a-1.0.0/Cargo.toml"},
            {"name":"b","manifest_path":"C:\\r\\b-2.0.0/Cargo.toml"}]}"#;
        let found = folders(metadata);
        assert_eq!(found.get("a-1.0.0").map(PathBuf::as_path), Some(Path::new("/r/a-1.0.0")));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn lists_of_strings_are_found() {
        assert_eq!(
            strings(r#"{"files": ["a.js", "b"], "x": []}"#, "files"),
            Some(vec!["a.js", "b"])
        );
        assert_eq!(strings(r#"{"x": 1}"#, "files"), None);
    }

    #[test]
    fn the_package_for_scripts_holds_what_it_lists() {
        let folder = std::env::temp_dir().join(format!("xtask-dist-{}", std::process::id()));
        let page = folder.join("page");
        create(&page).unwrap();
        copy(&shell::root().join("web/page/package.json"), &page).unwrap();
        let manifest = read(&page.join("package.json")).unwrap();
        for name in strings(&manifest, "files").unwrap() {
            write(&page.join(name), name).unwrap();
        }
        write(&page.join("other"), "not listed").unwrap();
        by_hand(&folder, &page).unwrap();
        let archive = folder.join(format!("pellucid-{}.tgz", env!("CARGO_PKG_VERSION")));
        let listed = shell::capture(shell::program("tar").arg("-tzf").arg(archive)).unwrap();
        for name in ["package.json", "pellucid.js", "wasm", LICENSES, OWN[1], OWN[2]] {
            assert!(listed.contains(&format!("package/{name}\n")), "{name} is missing:\n{listed}");
        }
        assert!(!listed.contains("other"), "{listed}");
        shell::remove_folder(&folder).unwrap();
    }

    #[test]
    fn every_dependency_has_a_license() {
        let host = host().unwrap();
        let texts = texts(&host).unwrap();
        for name in ["wgpu-30.", "tokenizers-0.22.", "clap-4.", "wasm-bindgen-0.2."] {
            assert!(texts.contains(&format!("\n{name}")), "{name} is not in the list");
        }
        assert!(!texts.contains(" ()"), "a dependency states no license");
        assert!(!texts.contains("\npellucid-"), "our own crates are in the list");
    }
}
