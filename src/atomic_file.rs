//! Files that are written whole or not at all.
//!
//! A path that a user gave means what it means elsewhere: a link is followed, and a device or a pipe
//! is written as it is, because replacing it by a file would destroy it. In a folder of ours nobody
//! else puts anything, so a link there is replaced and never followed.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A file that is written next to its place and renamed when it is complete; removed if it never
/// is. No reader ever sees half of it, and a full disk destroys nothing that was there before.
///
/// A device or a pipe is the exception: it is written in place.
#[derive(Debug)]
pub struct AtomicFile {
    place: PathBuf,
    /// `None` if the place itself is written.
    temporary: Option<PathBuf>,
}

/// The most links that lead from one to the next.
const MOST_LINKS: usize = 40;

/// How many names are tried before a folder is given up.
const MOST_NAMES: usize = 16;

/// The longest file name in bytes that the name of the temporary file repeats.
const LONGEST_NAME: usize = 200;

impl AtomicFile {
    /// Starts a file at a path that a user gave, still empty. Links are followed; a device or a
    /// pipe is opened for writing in place.
    ///
    /// # Errors
    /// Those of creating a file in that folder; [`ErrorKind::IsADirectory`] for a folder.
    pub fn create(place: &Path) -> io::Result<(Self, File)> {
        let found = match fs::metadata(place) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            found => Some(found?),
        };
        let target = target(place)?;
        match found {
            Some(found) if found.is_dir() => Err(ErrorKind::IsADirectory.into()),
            // A file that is open but has no name any more can only be written in place, too.
            Some(found) if !found.is_file() || !target.exists() => {
                let file = OpenOptions::new().write(true).truncate(found.is_file()).open(place)?;
                Ok((Self { place: place.to_owned(), temporary: None }, file))
            }
            found => Self::beside(target, found.as_ref()),
        }
    }

    /// Starts a file in a folder of ours, still empty. A link in its place will be replaced.
    ///
    /// # Errors
    /// Those of creating a file in that folder; [`ErrorKind::InvalidInput`] if its place is taken by
    /// a folder, a device or a pipe.
    pub fn create_own(place: &Path) -> io::Result<(Self, File)> {
        match fs::symlink_metadata(place) {
            Err(error) if error.kind() == ErrorKind::NotFound => Self::beside(place.into(), None),
            Err(error) => Err(error),
            Ok(found) if found.is_symlink() => Self::beside(place.into(), None),
            Ok(found) if found.is_file() => Self::beside(place.into(), Some(&found)),
            Ok(_) => {
                let reason = "is not a regular file and is not overwritten; choose another path";
                Err(io::Error::new(ErrorKind::InvalidInput, reason))
            }
        }
    }

    /// Creates the temporary file under a name that nobody can have prepared. It may be read by
    /// whom the file that it replaces allows to.
    fn beside(place: PathBuf, replaced: Option<&fs::Metadata>) -> io::Result<(Self, File)> {
        let mut tries = 0;
        let (temporary, file) = loop {
            let temporary = place.with_file_name(temporary_name(&place));
            match OpenOptions::new().write(true).create_new(true).open(&temporary) {
                Ok(file) => break (temporary, file),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && tries < MOST_NAMES => {
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        };
        let own = Self { place, temporary: Some(temporary) };
        if let Some(replaced) = replaced {
            file.set_permissions(replaced.permissions())?;
        }
        Ok((own, file))
    }

    /// Moves the file to its place, and replaces what was there.
    ///
    /// # Errors
    /// Those of flushing the file to disk and of renaming it.
    pub fn finish(self, file: &File) -> io::Result<()> {
        // A pipe cannot be flushed to a disk.
        let Some(temporary) = &self.temporary else { return Ok(()) };
        file.sync_all()?;
        fs::rename(temporary, &self.place)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Once it has been renamed there is nothing left to remove.
            let _ = fs::remove_file(temporary);
        }
    }
}

/// A name for the temporary file that cannot be guessed: the keys of [`RandomState`] come from the
/// system's random numbers.
fn temporary_name(place: &Path) -> OsString {
    let name = place.file_name().filter(|name| name.len() <= LONGEST_NAME);
    let mut temporary = name.unwrap_or("pellucid".as_ref()).to_owned();
    temporary.push(format!(".{:016x}.part", RandomState::new().hash_one(0)));
    temporary
}

/// Where links lead, whether or not there is anything yet.
fn target(place: &Path) -> io::Result<PathBuf> {
    let mut at = place.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::symlink_metadata(&at) {
            Ok(found) if found.is_symlink() => {
                // A relative link starts where it lies; an absolute one replaces all of the path.
                let to = fs::read_link(&at)?;
                at = at.parent().unwrap_or(Path::new("")).join(to);
            }
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => return Ok(at),
        }
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "its links lead nowhere"))
}

/// Writes a whole file at a path that a user gave, as [`AtomicFile::create`] does, and creates its
/// folder if needed.
///
/// # Errors
/// Those of the operating system, for the folder or the file.
pub fn write(place: &Path, bytes: &[u8]) -> io::Result<()> {
    make_folder(place)?;
    fill(AtomicFile::create(place)?, bytes)
}

/// Writes a whole file in a folder of ours, as [`AtomicFile::create_own`] does, and creates that
/// folder if needed.
///
/// # Errors
/// Those of the operating system, for the folder or the file.
pub fn write_own(place: &Path, bytes: &[u8]) -> io::Result<()> {
    make_folder(place)?;
    fill(AtomicFile::create_own(place)?, bytes)
}

fn make_folder(place: &Path) -> io::Result<()> {
    match place.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => fs::create_dir_all(folder),
        None => Ok(()),
    }
}

fn fill((atomic_file, mut file): (AtomicFile, File), bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    atomic_file.finish(&file)
}

/// Removes a file, a link or a whole folder of ours, if it is there. A link is removed itself; what
/// it leads to stays.
///
/// # Errors
/// Those of the operating system.
pub fn remove_own(place: &Path) -> io::Result<()> {
    match fs::symlink_metadata(place) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.is_dir() => fs::remove_dir_all(place),
        Ok(_) => fs::remove_file(place),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = folder.read_dir().unwrap();
        let mut all: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        all.sort();
        all
    }

    #[test]
    fn a_file_appears_whole_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("new/file");
        write(&place, b"first").unwrap();
        let (half, mut file) = AtomicFile::create(&place).unwrap();
        file.write_all(b"half").unwrap();
        assert_eq!(names(&folder.path().join("new")).len(), 2);
        drop(half);
        assert_eq!(names(&folder.path().join("new")), ["file"]);
        assert_eq!(fs::read(&place).unwrap(), b"first");
        let error = AtomicFile::create(folder.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IsADirectory);
        assert!(AtomicFile::create_own(folder.path()).is_err());
        // A long name leaves no room for more of it.
        let long = folder.path().join("x".repeat(250));
        write(&long, b"long").unwrap();
        assert_eq!(fs::read(&long).unwrap(), b"long");
    }

    #[test]
    fn the_names_of_temporary_files_differ() {
        let all: std::collections::BTreeSet<OsString> =
            (0..100).map(|_| temporary_name(Path::new("a/b"))).collect();
        assert_eq!(all.len(), 100);
        assert!(all.iter().all(|name| name.to_string_lossy().starts_with("b.")));
    }

    #[cfg(unix)]
    mod unix {
        use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

        use super::*;

        /// A link that a user gives is followed; one in a folder of ours is replaced.
        #[test]
        fn links_are_followed_where_a_user_gave_them_and_nowhere_else() {
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| folder.path().join(name);
            fs::create_dir(at("sub")).unwrap();
            fs::write(at("sub/target"), b"old").unwrap();
            symlink("sub/target", at("link")).unwrap();
            symlink("link", at("link to link")).unwrap();
            write(&at("link to link"), b"new").unwrap();
            assert_eq!(fs::read(at("sub/target")).unwrap(), b"new");
            assert_eq!(fs::read_link(at("link")).unwrap(), Path::new("sub/target"));
            assert_eq!(fs::read_link(at("link to link")).unwrap(), Path::new("link"));

            symlink("sub/not yet", at("ahead")).unwrap();
            write(&at("ahead"), b"now").unwrap();
            assert_eq!(fs::read(at("sub/not yet")).unwrap(), b"now");
            assert!(at("ahead").is_symlink());

            write_own(&at("link"), b"own").unwrap();
            assert!(!at("link").is_symlink());
            assert_eq!(fs::read(at("link")).unwrap(), b"own");
            assert_eq!(fs::read(at("sub/target")).unwrap(), b"new");

            symlink("b", at("a")).unwrap();
            symlink("a", at("b")).unwrap();
            assert!(write(&at("a"), b"round").is_err());
            assert!(at("a").is_symlink() && at("b").is_symlink());
        }

        #[test]
        fn pipes_and_devices_stay_what_they_are() {
            let folder = tempfile::tempdir().unwrap();
            let pipe = folder.path().join("pipe");
            let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
            assert!(made.success());
            let link = folder.path().join("link");
            symlink("pipe", &link).unwrap();
            for place in [&pipe, &link] {
                let reader = std::thread::spawn({
                    let pipe = pipe.clone();
                    move || fs::read(pipe).unwrap()
                });
                write(place, b"through").unwrap();
                assert_eq!(reader.join().unwrap(), b"through");
                assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
            }
            assert!(
                write_own(&pipe, b"x").unwrap_err().to_string().contains("is not a regular file")
            );
            assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
            assert_eq!(names(folder.path()), ["link", "pipe"]);
        }

        #[test]
        fn what_only_its_owner_may_read_stays_so() {
            let folder = tempfile::tempdir().unwrap();
            let place = folder.path().join("private");
            fs::write(&place, b"old").unwrap();
            fs::set_permissions(&place, fs::Permissions::from_mode(0o600)).unwrap();
            let (half, file) = AtomicFile::create(&place).unwrap();
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            half.finish(&file).unwrap();
            assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
        }

        #[test]
        fn a_removed_link_leaves_what_it_leads_to() {
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| folder.path().join(name);
            fs::create_dir(at("others")).unwrap();
            fs::write(at("others/file"), b"theirs").unwrap();
            symlink("others", at("link")).unwrap();
            symlink("nowhere", at("dangling")).unwrap();
            for name in ["link", "dangling", "missing"] {
                remove_own(&at(name)).unwrap();
            }
            assert_eq!(names(folder.path()), ["others"]);
            assert_eq!(fs::read(at("others/file")).unwrap(), b"theirs");
            remove_own(&at("others")).unwrap();
            assert!(names(folder.path()).is_empty());
        }
    }
}
