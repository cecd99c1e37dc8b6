//! The folder of a run: whose it is, and that one process at a time trains in it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use pellucid::files::read_own;
use pellucid::train::remove_model;
use pellucid::{Error, Result, atomic_file};
use serde::{Deserialize, Serialize};

use super::settings::Settings;

/// What a run is: its settings, and the hashes of what it started with. Paths only say where that was
/// found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Own {
    pub(super) settings: Settings,
    /// The hash of all tokens, and of which of them are learned.
    pub(super) data: String,
    /// The hash of the tokenizer that was given for a new model.
    pub(super) tokenizer: Option<String>,
    /// The fingerprint of the model that is fine-tuned.
    pub(super) from: Option<String>,
    /// The lowest validation loss so far, and its step: that of `model/`.
    pub(super) best: Option<(u64, f64)>,
}

/// Marks the folder as a run's, and is locked while a process trains in it. The lock goes with the
/// process, however that ends; the file stays.
const LOCK: &str = "pellucid.lock";

/// What the run is, written when its first step has been made, and again when it goes on.
const RUN: &str = "run.json";

/// The log: a line for each step and each evaluation.
pub(super) const LOG: &str = "log.jsonl";
/// The time that each step took.
pub(super) const TIMINGS: &str = "timings.jsonl";
/// The plot of the losses.
pub(super) const PLOT: &str = "loss.svg";
/// The best model, or the last.
pub(super) const MODEL: &str = "model";
/// A new model with its initial weights.
pub(super) const NEW: &str = "new";

/// Model folders of a run, and the files next to them.
const FOLDERS: [&str; 2] = [NEW, MODEL];
const FILES: [&str; 3] = [LOG, TIMINGS, PLOT];

/// A folder in which this process trains, or may.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    lock: Option<File>,
    /// The folders that had to be made for it, the innermost first.
    made: Vec<PathBuf>,
    /// Whether a run has begun in it. Until then, all that is in it is removed in the end.
    begun: bool,
}

impl Folder {
    /// Looks at a folder: it holds a run, whose lock is taken, or nothing, which is left as it is.
    ///
    /// # Errors
    /// [`Error::Input`] if there is something else in it, or another process trains there.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut folder = Self { path: path.to_owned(), lock: None, made: Vec::new(), begun: false };
        folder.begun = folder.has_run()?;
        if folder.begun {
            folder.lock()?;
        } else if !folder.is_free()? {
            return Err(Error::Input(format!(
                "{} is not empty and holds no run of `pellucid train`; choose another --output",
                path.display()
            )));
        }
        Ok(folder)
    }

    /// Whether a run has begun in it.
    pub(super) fn begun(&self) -> bool {
        self.begun
    }

    /// What the run in it is, as it was begun.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::File`] if that cannot be read.
    pub(super) fn own(&self) -> Result<Own> {
        let path = self.path.join(RUN);
        let text = read_own(&path)?;
        serde_json::from_slice(&text).map_err(|error| {
            Error::file(&path, format!("is not a run of `pellucid train`: {error}"))
        })
    }

    /// Takes the folder for a new run, and makes it if needed.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Input`] if another process was faster.
    pub(super) fn take(&mut self) -> Result<()> {
        let missing = self.path.ancestors().take_while(|path| is_missing(path));
        let missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        if self.path.is_symlink() && is_missing(&self.path) {
            return Err(Error::file(&self.path, "is a link that leads nowhere"));
        }
        fs::create_dir_all(&self.path).map_err(|error| Error::io(&self.path, error))?;
        self.made = missing;
        self.lock()?;
        if self.has_run()? {
            self.lock = None;
            return Err(Error::Input(format!(
                "another process has just started a run in {}; choose another --output",
                self.path.display()
            )));
        }
        // What a process left that ended before its first step.
        self.clear()
    }

    /// Marks the folder as that of a run that has begun: from now on it stays.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn begin(&mut self, own: &Own) -> Result<()> {
        let path = self.path.join(RUN);
        let text = serde_json::to_string_pretty(own)
            .map_err(|error| Error::file(&path, error.to_string()))?;
        let written = atomic_file::write_own(&path, format!("{text}\n").as_bytes());
        written.map_err(|error| Error::io(&path, error))?;
        self.begun = true;
        Ok(())
    }

    /// Takes the mark back: what is in the folder is removed in the end.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn forget(&mut self) -> Result<()> {
        let path = self.path.join(RUN);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::io(path, error));
            }
            _ => {}
        }
        self.begun = false;
        Ok(())
    }

    fn lock(&mut self) -> Result<()> {
        let path = self.path.join(LOCK);
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(|error| Error::io(&path, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Input(format!(
                    "another process is training in {}; wait until it ends, or choose another --output",
                    self.path.display()
                )));
            }
            Err(TryLockError::Error(error)) => log::warn!(
                "{}: cannot be locked ({error}); make sure that no other process trains in this folder",
                path.display()
            ),
        }
        self.lock = Some(file);
        Ok(())
    }

    /// Whether there is a run: others may write files of such a name, too, but not with a lock of ours.
    fn has_run(&self) -> Result<bool> {
        let exists = |name: &str| {
            let path = self.path.join(name);
            path.try_exists().map_err(|error| Error::io(&path, error))
        };
        Ok(exists(RUN)? && (exists(LOCK)? || self.own().is_ok()))
    }

    /// Whether the folder is missing or empty, or holds only what a run leaves that ended before its
    /// first step.
    fn is_free(&self) -> Result<bool> {
        let io = |error| Error::io(&self.path, error);
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(io(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry.map_err(io)?.file_name().to_string_lossy().into_owned());
        }
        let own = |name: &String| {
            let half = name.ends_with(".part") || name.ends_with(".old");
            let whole = [LOCK].iter().chain(&FOLDERS).chain(&FILES).any(|own| name == own);
            whole || half && FOLDERS.iter().any(|folder| name.starts_with(folder))
        };
        let marked = names.iter().any(|name| name == LOCK);
        Ok(names.is_empty() || marked && names.iter().all(own))
    }

    /// Removes what a run writes before its first step.
    fn clear(&self) -> Result<()> {
        for name in FILES {
            let path = self.path.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::io(path, error));
                }
                _ => {}
            }
        }
        let halves =
            FOLDERS.iter().flat_map(|name| [format!("{name}.part"), format!("{name}.old")]);
        let folders = FOLDERS.iter().map(|name| (*name).to_owned());
        folders.chain(halves).try_for_each(|name| remove_model(&self.path.join(name)))
    }
}

/// What was refused leaves nothing behind.
impl Drop for Folder {
    fn drop(&mut self) {
        if self.begun || self.lock.is_none() {
            return;
        }
        // The error that led here matters more than one of cleaning up.
        let _ = self.clear();
        let _ = fs::remove_file(self.path.join(LOCK));
        self.lock = None;
        for folder in &self.made {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Whether there is nothing of this name; the current folder, which may have none, is there.
fn is_missing(path: &Path) -> bool {
    !path.as_os_str().is_empty() && matches!(path.try_exists(), Ok(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Own {
        let settings = Settings { steps: Some(3), lr: Some(0.1 + 0.2), ..Settings::default() };
        let best = Some((2, 1.0 / 3.0));
        Own { settings, data: "d".to_owned(), tokenizer: None, from: None, best }
    }

    #[test]
    fn what_was_refused_leaves_nothing_and_what_began_stays() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        let mut folder = Folder::open(&path).unwrap();
        assert!(!folder.begun() && !path.exists());
        folder.take().unwrap();
        fs::create_dir(path.join(NEW)).unwrap();
        fs::write(path.join("new/config.json"), "{}").unwrap();
        fs::write(path.join(LOG), "").unwrap();
        // Meanwhile it is another's.
        let other = Folder::open(&path).unwrap().take().unwrap_err().to_string();
        assert!(other.contains("another process is training in"), "{other}");
        assert!(path.join("new/config.json").exists());
        drop(folder);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);

        let mut folder = Folder::open(&path).unwrap();
        folder.take().unwrap();
        folder.begin(&own()).unwrap();
        drop(folder);
        let mut folder = Folder::open(&path).unwrap();
        assert!(folder.begun());
        let read = folder.own().unwrap();
        assert_eq!((read.settings, read.best), (own().settings, own().best));
        assert!(Folder::open(&path).unwrap_err().to_string().contains("another process"));
        drop(folder);
        folder = Folder::open(&path).expect("the lock goes with its holder");
        folder.forget().unwrap();
        drop(folder);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        Folder::open(&path).unwrap().take().unwrap();
        fs::write(path.join(LOCK), "").unwrap();
        fs::write(path.join(RUN), "{").unwrap();
        assert!(Folder::open(&path).unwrap().own().unwrap_err().to_string().contains("run.json"));
    }

    #[test]
    fn a_process_that_was_killed_before_its_first_step_stops_nobody() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path();
        fs::write(path.join(LOCK), "").unwrap();
        fs::write(path.join(LOG), "").unwrap();
        for name in ["new", "new.part"] {
            fs::create_dir(path.join(name)).unwrap();
            fs::write(path.join(name).join("model.safetensors"), "").unwrap();
        }
        let mut folder = Folder::open(path).unwrap();
        folder.take().unwrap();
        assert_eq!(fs::read_dir(path).unwrap().count(), 1);
        drop(folder);
        assert!(path.exists() && fs::read_dir(path).unwrap().count() == 0);
    }

    #[test]
    fn a_folder_of_somebody_else_is_not_touched() {
        for name in ["thesis.txt", LOG, RUN, NEW, "step-00000001", "pellucid.lock.txt"] {
            let root = tempfile::tempdir().unwrap();
            fs::write(root.path().join(name), "mine").unwrap();
            let error = Folder::open(root.path()).unwrap_err().to_string();
            assert!(error.contains("holds no run"), "{error}");
            assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
        }
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        assert!(matches!(Folder::open(&root.path().join("file")), Err(Error::Io { .. })));
    }
}
