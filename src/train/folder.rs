//! Folders that exist complete or not at all, and of which only what training wrote is ever removed.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

use super::attention_only::TITLE;
use super::model_files::{COMPANIONS, CONFIG, README};

/// The tensors of a model.
pub(super) const MODEL: &str = "model.safetensors";
/// The moments of the optimizer.
pub(super) const OPTIMIZER: &str = "optimizer.safetensors";
/// What is needed to resume from a step, apart from its tensors.
pub(super) const STATE: &str = "state.json";

/// The suffix of a folder's name until it is complete.
const HALF: &str = ".part";

/// The suffix of a folder that is about to be replaced.
const OLD: &str = ".old";

/// Whether training writes files of this name into the folder of a model or of a saved step.
pub(super) fn is_own(name: &str) -> bool {
    let own = |name: &str| {
        COMPANIONS.contains(&name) || [MODEL, OPTIMIZER, STATE, CONFIG].contains(&name)
    };
    // A file that was not complete when the program ended: its name, a number, and a suffix.
    let half = name.strip_suffix(HALF).and_then(|rest| rest.rsplit_once('.'));
    own(name) || half.is_some_and(|(name, _)| own(name))
}

/// Removes the files of a model that training wrote into a folder, and then the folder, unless
/// something else is in it. Nothing happens if it does not exist. Of a link only the link itself goes: what
/// it leads to is somebody else's.
///
/// # Errors
/// [`Error::Io`].
pub fn remove_model(folder: &Path) -> Result<()> {
    if is_link(folder)? {
        return fs::remove_file(folder).map_err(|e| Error::io(folder, e));
    }
    for entry in entries(folder)? {
        if entry.own {
            fs::remove_file(&entry.path).map_err(|e| Error::io(&entry.path, e))?;
        }
    }
    match fs::remove_dir(folder) {
        Err(error)
            if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) =>
        {
            Err(Error::io(folder, error))
        }
        _ => Ok(()),
    }
}

/// An empty folder next to its final place.
pub(super) fn beside(place: &Path) -> Result<PathBuf> {
    let beside = with_end(place, HALF);
    remove_model(&beside)?;
    fs::create_dir_all(&beside).map_err(|e| Error::io(&beside, e))?;
    Ok(beside)
}

/// Moves a complete folder to its place. Only then are the files of the previous one removed; what
/// somebody else put there stays in the folder. A link in its place gives way, and what it leads to stays.
pub(super) fn into_place(beside: &Path, place: &Path) -> Result<()> {
    let old = with_end(place, OLD);
    // Left by a program that was killed here.
    retire(&old, beside)?;
    match fs::rename(place, &old) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        moved => moved.map_err(|e| Error::io(place, e))?,
    }
    fs::rename(beside, place).map_err(|e| Error::io(place, e))?;
    retire(&old, place)
}

/// Removes a folder's files, but moves what is not ours to another.
fn retire(old: &Path, to: &Path) -> Result<()> {
    if is_link(old)? {
        return remove_model(old);
    }
    for entry in entries(old)?.into_iter().filter(|entry| !entry.own) {
        let place = to.join(entry.path.file_name().unwrap_or_default());
        fs::rename(&entry.path, &place).map_err(|e| Error::io(&place, e))?;
    }
    remove_model(old)
}

/// Whether there is a link of this name, wherever it leads.
fn is_link(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(found.is_symlink()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io(path, error)),
    }
}

/// Removes the folder of a saved step. It no longer has the name of one before the first file goes.
pub(super) fn remove_step(folder: &Path) -> Result<()> {
    let old = with_end(folder, OLD);
    remove_model(&old)?;
    fs::rename(folder, &old).map_err(|e| Error::io(folder, e))?;
    remove_model(&old)
}

/// The folders of a run that are named like a saved step, in order.
pub(super) fn steps(run: &Path) -> Result<Vec<PathBuf>> {
    let number = |path: &Path| step_number(path.file_name()?.to_str()?);
    let all = entries(run)?.into_iter();
    let mut all: Vec<(u64, PathBuf)> =
        all.filter_map(|entry| Some((number(&entry.path)?, entry.path))).collect();
    all.sort();
    Ok(all.into_iter().map(|(_, path)| path).collect())
}

/// The name of the folder of a saved step.
pub(super) fn step_name(step: u64) -> String {
    format!("step-{step:08}")
}

fn step_number(name: &str) -> Option<u64> {
    let step = name.strip_prefix("step-")?.parse().ok()?;
    // Other spellings of a number are somebody else's.
    (step_name(step) == name).then_some(step)
}

/// The folders that a program which was killed left of saved steps.
pub(super) fn halves(run: &Path) -> Result<Vec<PathBuf>> {
    let half = |path: &Path| {
        let name = path.file_name()?.to_str()?;
        step_number(name.strip_suffix(HALF).or(name.strip_suffix(OLD))?)
    };
    let all = entries(run)?.into_iter().map(|entry| entry.path);
    Ok(all.filter(|path| half(path).is_some()).collect())
}

/// Whether a folder holds the state of a step, and nothing that training did not write.
pub(super) fn is_step(folder: &Path) -> Result<bool> {
    let all = entries(folder)?;
    let state = all.iter().any(|entry| entry.path.ends_with(STATE));
    Ok(state && all.iter().all(|entry| entry.own))
}

/// Something in a folder.
pub(super) struct Entry {
    pub(super) path: PathBuf,
    /// Whether it is a file of a name that training writes.
    pub(super) own: bool,
}

/// The entries of a folder; none if the folder does not exist.
pub(super) fn entries(folder: &Path) -> Result<Vec<Entry>> {
    let io = |error| Error::io(folder, error);
    let all = match fs::read_dir(folder) {
        Ok(all) => all,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io(error)),
    };
    let entry = |entry: io::Result<fs::DirEntry>| {
        let entry = entry?;
        let kind = entry.file_type()?;
        let name = entry.file_name();
        let own = (kind.is_file() || kind.is_symlink()) && name.to_str().is_some_and(is_own);
        let path = entry.path();
        // Anybody may write one about a model.
        let own = own || kind.is_file() && name == README && starts_with(&path, TITLE)?;
        Ok(Entry { path, own })
    };
    let mut all = all.map(entry).collect::<io::Result<Vec<_>>>().map_err(io)?;
    all.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(all)
}

/// Whether a file starts with this text, whatever follows.
fn starts_with(path: &Path, text: &str) -> io::Result<bool> {
    let mut start = Vec::new();
    fs::File::open(path)?.take(text.len() as u64).read_to_end(&mut start)?;
    Ok(start == text.as_bytes())
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, names: &[&str]) {
        fs::create_dir_all(folder).unwrap();
        names.iter().for_each(|name| fs::write(folder.join(name), name).unwrap());
    }

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: Entry| entry.path.file_name().unwrap().to_str().unwrap().to_owned();
        entries(folder).unwrap().into_iter().map(name).collect()
    }

    #[test]
    fn a_folder_is_replaced_and_what_others_put_there_stays() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("model");
        write(&place, &[CONFIG, "tokenizer.json", "thesis.txt"]);
        fs::create_dir(place.join("notes")).unwrap();
        // A program was killed while it replaced the folder, and one while it wrote.
        write(&root.path().join("model.old"), &[MODEL, "older.txt"]);
        write(&root.path().join("model.part"), &[MODEL, "config.json.77.part"]);
        let half = beside(&place).unwrap();
        assert_eq!(names(&half), [""; 0]);
        write(&half, &[CONFIG, MODEL]);
        into_place(&half, &place).unwrap();
        assert_eq!(names(&place), [CONFIG, MODEL, "notes", "older.txt", "thesis.txt"]);
        assert_eq!(names(root.path()), ["model"]);
        remove_model(&place).unwrap();
        assert_eq!(names(&place), ["notes", "older.txt", "thesis.txt"]);
    }

    /// In a folder of ours, links may lead to anything, and they are never followed when it is cleaned.
    #[cfg(unix)]
    #[test]
    fn what_a_link_leads_to_stays() {
        let root = tempfile::tempdir().unwrap();
        let other = root.path().join("other");
        let all = [CONFIG, MODEL, STATE, "thesis.txt"];
        write(&other, &all);
        let link = |name: &str| std::os::unix::fs::symlink(&other, root.path().join(name)).unwrap();
        let stays = |what: &str| {
            assert_eq!(names(&other), all, "{what}");
        };
        for name in ["model", "model.old", "model.part"] {
            link(name);
            let place = root.path().join("model");
            let half = beside(&place).unwrap();
            write(&half, &[CONFIG]);
            into_place(&half, &place).unwrap();
            stays(name);
            assert_eq!(names(&place), [CONFIG], "{name}");
            assert_eq!(names(root.path()), ["model", "other"], "{name}");
            remove_model(&place).unwrap();
            assert_eq!(names(root.path()), ["other"], "{name}");
        }
        for name in [step_name(5), step_name(5) + OLD] {
            link(&name);
            let step = root.path().join(step_name(5));
            fs::create_dir_all(&step).unwrap();
            remove_step(&step).unwrap();
            stays(&name);
            assert_eq!(names(root.path()), ["other"], "{name}");
        }
        // A link that leads nowhere is one, too.
        link("nowhere");
        fs::rename(&other, root.path().join("elsewhere")).unwrap();
        remove_model(&root.path().join("nowhere")).unwrap();
        assert_eq!(names(root.path()), ["elsewhere"]);
        // What is no file is not opened.
        let pipe = root.path().join("elsewhere").join(README);
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let pipe = |entry: &Entry| entry.path == pipe;
        assert!(
            entries(&root.path().join("elsewhere"))
                .unwrap()
                .iter()
                .any(|entry| pipe(entry) && !entry.own)
        );
    }

    #[test]
    fn a_readme_is_ours_if_it_says_so() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &[CONFIG, README]);
        assert_eq!(entries(root.path()).unwrap().iter().filter(|entry| entry.own).count(), 1);
        fs::write(root.path().join(README), format!("{TITLE}...")).unwrap();
        assert!(entries(root.path()).unwrap().iter().all(|entry| entry.own));
        // One of others need not be text, nor a file.
        fs::write(root.path().join(README), b"# caf\xe9").unwrap();
        assert_eq!(entries(root.path()).unwrap().iter().filter(|entry| entry.own).count(), 1);
        fs::remove_file(root.path().join(README)).unwrap();
        fs::create_dir(root.path().join(README)).unwrap();
        assert_eq!(entries(root.path()).unwrap().iter().filter(|entry| entry.own).count(), 1);
    }

    #[test]
    fn only_names_of_ours_are_ours() {
        for name in [MODEL, STATE, "config.json", "config.json.12.part", "state.json.a0f.part"] {
            assert!(is_own(name), "{name}");
        }
        for name in ["config.json.bak", "part", ".part", "my.part", "thesis.txt.1.part", "a.json"] {
            assert!(!is_own(name), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_nothing() {
        let root = tempfile::tempdir().unwrap();
        assert!(steps(&root.path().join("missing")).unwrap().is_empty());
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(steps(&file), Err(Error::Io { .. })));
    }
}
