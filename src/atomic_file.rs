//! Files that are written whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file that is written next to its place and renamed when it is complete; removed if it never
/// is. No reader ever sees half of it, and a full disk destroys nothing that was there before.
#[derive(Debug)]
pub struct AtomicFile {
    place: PathBuf,
    temporary: OsString,
}

impl AtomicFile {
    /// Creates the temporary file for a place, still empty.
    ///
    /// # Errors
    /// Those of creating a file in that folder.
    pub fn create(place: &Path) -> io::Result<(Self, File)> {
        let mut temporary = place.as_os_str().to_owned();
        temporary.push(format!(".{}.part", std::process::id()));
        let file = File::create(&temporary)?;
        Ok((Self { place: place.to_owned(), temporary }, file))
    }

    /// Moves the file to its place, and replaces what was there.
    ///
    /// # Errors
    /// Those of flushing the file to disk and of renaming it.
    pub fn finish(self, file: &File) -> io::Result<()> {
        file.sync_all()?;
        fs::rename(&self.temporary, &self.place)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // Once it has been renamed there is nothing left to remove.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Writes a whole file, and creates its folder if needed.
///
/// # Errors
/// Those of the operating system, for the folder or the file.
pub fn write(place: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = place.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let (atomic_file, mut file) = AtomicFile::create(place)?;
    file.write_all(bytes)?;
    atomic_file.finish(&file)
}
