//! Files that are there whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file that lies beside its place until it is whole; gone if it never becomes so. Nobody ever reads
/// half of it, and a full disk costs nothing that was there before.
#[derive(Debug)]
pub struct AtomicFile {
    place: PathBuf,
    beside: OsString,
}

impl AtomicFile {
    /// Makes the file that will go to a place, empty as yet.
    ///
    /// # Errors
    /// Those of making a file in that folder.
    pub fn create(place: &Path) -> io::Result<(Self, File)> {
        let mut beside = place.as_os_str().to_owned();
        beside.push(format!(".{}.part", std::process::id()));
        let file = File::create(&beside)?;
        Ok((Self { place: place.to_owned(), beside }, file))
    }

    /// Puts the file in its place, over what was there.
    ///
    /// # Errors
    /// Those of writing what is still in memory, and of renaming.
    pub fn finish(self, file: &File) -> io::Result<()> {
        file.sync_all()?;
        fs::rename(&self.beside, &self.place)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // Once it has been renamed there is nothing left to remove.
        let _ = fs::remove_file(&self.beside);
    }
}

/// Writes a whole file, and makes its folder if need be.
///
/// # Errors
/// Those of the system, for the folder or the file.
pub fn write(place: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = place.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let (atomic_file, mut file) = AtomicFile::create(place)?;
    file.write_all(bytes)?;
    atomic_file.finish(&file)
}
