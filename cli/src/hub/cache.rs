//! The cache of hub files, in the layout that other tools share: each file once under `blobs/` by
//! its hash, named again in `snapshots/COMMIT/`, and the commit of each revision in `refs/`.

use std::path::{Path, PathBuf};

use pellucid::{Error, Result, atomic_file};

use super::hash;
use super::id::{is_safe, shown};

/// The largest file in bytes whose contents are compared with its hash whenever it is used.
pub(super) const QUICK: u64 = 16 << 20;

/// One repository's part of the cache.
#[derive(Clone, Debug)]
pub(super) struct Repository {
    folder: PathBuf,
}

/// The folder of all repositories: `HF_HUB_CACHE`, `HF_HOME/hub`, or that of the system's cache.
pub(super) fn root() -> Result<PathBuf> {
    if let Some(folder) = variable("HF_HUB_CACHE").or_else(|| variable("HUGGINGFACE_HUB_CACHE")) {
        return Ok(folder.into());
    }
    Ok(home()?.join("hub"))
}

/// The folder of the Hub's tools: `HF_HOME`, or `huggingface` in the user's cache.
pub(super) fn home() -> Result<PathBuf> {
    if let Some(folder) = variable("HF_HOME") {
        return Ok(folder.into());
    }
    if let Some(folder) = variable("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(folder).join("huggingface"));
    }
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    let home = home.ok_or_else(|| {
        Error::Input("there is no home folder for downloads; set HF_HOME to a folder".to_owned())
    })?;
    Ok(home.join(".cache").join("huggingface"))
}

/// An environment variable that is set and not empty.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// Whether a text is a commit's full name.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Repository {
    pub(super) fn new(root: &Path, repository: &str) -> Self {
        Self { folder: root.join(format!("models--{}", repository.replace('/', "--"))) }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The commit of a revision, when it was last asked for.
    pub(super) fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let text = std::fs::read_to_string(self.folder.join("refs").join(revision)).ok()?;
        Some(text.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Notes the commit of a revision.
    pub(super) fn set_commit(&self, revision: &str, commit: &str) -> Result<()> {
        if is_commit(revision) || self.commit(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.folder.join("refs").join(revision);
        atomic_file::write_own(&path, commit.as_bytes()).map_err(|error| Error::io(&path, error))
    }

    /// The folder of a commit's files.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// The names of a commit's files that are there.
    pub(super) fn files(&self, commit: &str) -> Vec<String> {
        let root = self.snapshot(commit);
        let (mut found, mut folders) = (Vec::new(), vec![root.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in folder.read_dir().into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.is_file()
                    && let Ok(name) = path.strip_prefix(&root)
                {
                    found.push(name.to_string_lossy().replace('\\', "/"));
                }
            }
        }
        found.sort();
        found
    }

    /// Where a file with this hash lies once it is whole.
    pub(super) fn blob(&self, etag: &str) -> Result<PathBuf> {
        let plain = !etag.is_empty() && !etag.contains('/') && is_safe(etag);
        if !plain {
            return Err(Error::Input(format!(
                "the Hub names a file by {}, which is not a hash",
                shown(etag)
            )));
        }
        let path = self.folder.join("blobs").join(etag);
        make_parent(&path)?;
        Ok(path)
    }

    /// What is wrong with a file of a snapshot, by the hash that names its blob; `None` if it is whole
    /// or cannot be compared. Files of more than `most` bytes are taken for whole.
    pub(super) fn damage(&self, file: &Path, most: Option<u64>) -> Result<Option<String>> {
        let Some((blob, name)) = self.blob_of(file) else { return Ok(None) };
        let io = |error| Error::io(&blob, error);
        let length = blob.metadata().map_err(io)?.len();
        if most.is_some_and(|most| length > most) {
            return Ok(None);
        }
        hash::difference(&blob, &name).map_err(io)
    }

    /// Removes a file of a snapshot and its blob.
    pub(super) fn discard(&self, file: &Path) -> Result<()> {
        if let Some((blob, _)) = self.blob_of(file) {
            remove(&blob)?;
        }
        remove(file)
    }

    /// The blob that a file of a snapshot is a link to, and its name; `None` for a copy.
    fn blob_of(&self, file: &Path) -> Option<(PathBuf, String)> {
        let target = file.read_link().ok()?;
        let name = target.file_name()?.to_str()?.to_owned();
        Some((self.folder.join("blobs").join(&name), name))
    }

    /// Names a whole file in a commit's folder: by a link where the system has them, else by a
    /// copy.
    pub(super) fn link(&self, commit: &str, name: &str, blob: &Path) -> Result<()> {
        let link = self.snapshot(commit).join(name);
        make_parent(&link)?;
        // A link to a blob that has gone is in the way, and a copy would follow it.
        remove(&link)?;
        let depth = name.split('/').count() + 1;
        let mut target: PathBuf = std::iter::repeat_n("..", depth).collect();
        target.push("blobs");
        target.push(blob.file_name().unwrap_or_default());
        #[cfg(unix)]
        let linked = std::os::unix::fs::symlink(&target, &link);
        #[cfg(windows)]
        let linked = std::os::windows::fs::symlink_file(&target, &link);
        linked
            .or_else(|_| std::fs::hard_link(blob, &link))
            .or_else(|_| std::fs::copy(blob, &link).map(drop))
            .map_err(|error| Error::io(&link, error))
    }
}

/// Removes a file, a link or a pipe, if it is there; never a folder, in which more may be.
pub(super) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, error)),
        _ => Ok(()),
    }
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    std::fs::create_dir_all(parent).map_err(|error| Error::io(parent, error))
}
