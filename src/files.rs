//! Where a model's files come from: a folder on disk, or anything that can be read by position.
//!
//! Nothing is memory-mapped: a file that is truncated while it is read gives an error.
//!
//! What is read from start to end may also be a pipe or a device ([`read`], [`read_stream`]); it has
//! no known end, so at most [`LONGEST_STREAM`] bytes of it are read.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::fs::{self, File};
use std::io::{self, Cursor, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};

/// Bytes that can be read at any position, from any thread.
pub trait ReadAt: Debug + Send + Sync {
    /// The number of bytes.
    fn length(&self) -> u64;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if there are fewer bytes, and those of the source.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl<B: AsRef<[u8]> + Debug + Send + Sync> ReadAt for B {
    fn length(&self) -> u64 {
        self.as_ref().len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut rest = Cursor::new(self.as_ref());
        rest.set_position(offset);
        rest.read_exact(buffer)
    }
}

#[derive(Debug)]
struct OnDisk {
    file: Mutex<File>,
    length: u64,
}

impl ReadAt for OnDisk {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        // A panic cannot leave the file in a bad state, so a poisoned lock is still good.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(buffer))
    }
}

/// An open file, with its name for errors.
pub(crate) struct Source {
    path: PathBuf,
    content: Arc<dyn ReadAt>,
}

impl Source {
    /// Opens a file on disk.
    pub(crate) fn open(path: &Path) -> Result<Arc<Self>> {
        let io = |error| Error::io(path, error);
        // Opening a pipe would wait for its writer, so it is looked at first.
        let found = fs::metadata(path).map_err(io)?;
        if found.is_dir() {
            return Err(io(ErrorKind::IsADirectory.into()));
        }
        if !found.is_file() {
            let reason =
                "is a pipe or a device, but must be read at any place: save it as a file first";
            return Err(Error::file(path, reason));
        }
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let content = Arc::new(OnDisk { file: Mutex::new(file), length });
        Ok(Arc::new(Self { path: path.into(), content }))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes in the file when it was opened.
    pub(crate) fn length(&self) -> u64 {
        self.content.length()
    }

    /// Fills `buffer` from `offset` on.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.content.read_at(offset, buffer).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => {
                Error::file(&self.path, format!("ends while {} bytes are read", buffer.len()))
            }
            _ => Error::io(&self.path, e),
        })
    }
}

/// Leaves the content out, which may be long.
impl Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("path", &self.path).field("length", &self.length()).finish()
    }
}

/// The most bytes that are read from a pipe or a device.
pub const LONGEST_STREAM: u64 = 256 << 20;

/// The bytes of a whole file, or of a pipe or a device up to its end.
///
/// # Errors
/// [`Error::Io`], and [`Error::File`] for more than [`LONGEST_STREAM`] bytes of what is not a regular
/// file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let io = |error| Error::io(path, error);
    let mut file = File::open(path).map_err(io)?;
    if !file.metadata().map_err(io)?.is_file() {
        return read_stream(path, file);
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

/// Opens a file that we wrote. A pipe or a device in its place would be waited for.
///
/// # Errors
/// [`Error::Io`], and [`Error::File`] for what is not a regular file.
pub fn open_own(path: &Path) -> Result<File> {
    let io = |error| Error::io(path, error);
    let found = fs::metadata(path).map_err(io)?;
    if found.is_dir() {
        return Err(io(ErrorKind::IsADirectory.into()));
    }
    if !found.is_file() {
        return Err(Error::file(path, "is not a regular file, as Pellucid writes there"));
    }
    File::open(path).map_err(io)
}

/// The bytes of a whole file that we wrote.
///
/// # Errors
/// As [`open_own`].
pub fn read_own(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_own(path)?.read_to_end(&mut bytes).map_err(|error| Error::io(path, error))?;
    Ok(bytes)
}

/// The bytes of a pipe or a device up to its end; errors name it by the path.
///
/// # Errors
/// [`Error::Io`], and [`Error::File`] for more than [`LONGEST_STREAM`] bytes.
pub fn read_stream(path: &Path, stream: impl Read) -> Result<Vec<u8>> {
    bounded(path, stream, LONGEST_STREAM)
}

fn bounded(path: &Path, stream: impl Read, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(most + 1).read_to_end(&mut bytes).map_err(|error| Error::io(path, error))?;
    if bytes.len() as u64 > most { Err(endless(path, most)) } else { Ok(bytes) }
}

/// The error for a pipe or a device of more than `most` bytes.
pub(crate) fn endless(path: &Path, most: u64) -> Error {
    let reason = format!(
        "holds more than the {} MiB that are read from a pipe or a device: save it as a file first",
        most >> 20
    );
    Error::file(path, reason)
}

/// The files of a model by name: a folder on disk, or a stand-in for one.
#[derive(Clone)]
pub struct Files {
    /// The folder, or a name for errors.
    path: PathBuf,
    given: Option<BTreeMap<String, Arc<dyn ReadAt>>>,
}

impl Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.given.as_ref().map(|files| files.keys().collect::<Vec<_>>());
        f.debug_struct("Files").field("path", &self.path).field("given", &names).finish()
    }
}

impl Files {
    /// The files of a folder.
    pub fn on_disk(folder: impl Into<PathBuf>) -> Self {
        Self { path: folder.into(), given: None }
    }

    /// The given files, with a name for errors.
    pub fn given(
        name: impl Into<PathBuf>,
        files: impl IntoIterator<Item = (String, Arc<dyn ReadAt>)>,
    ) -> Self {
        Self { path: name.into(), given: Some(files.into_iter().collect()) }
    }

    /// Files in memory by name, with a name for errors.
    pub fn in_memory<B: AsRef<[u8]> + Debug + Send + Sync + 'static>(
        name: impl Into<PathBuf>,
        files: impl IntoIterator<Item = (String, B)>,
    ) -> Self {
        let content = |(name, bytes)| (name, Arc::new(bytes) as Arc<dyn ReadAt>);
        Self::given(name, files.into_iter().map(content))
    }

    /// The folder, or the name for errors.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is something of this name. A link that leads nowhere counts, so that what is
    /// damaged is told when it is opened, and not taken for missing.
    pub fn has(&self, name: &str) -> bool {
        match &self.given {
            Some(files) => files.contains_key(name),
            None => self.path.join(name).symlink_metadata().is_ok(),
        }
    }

    /// The names of all files.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be read.
    pub fn names(&self) -> Result<Vec<String>> {
        if let Some(files) = &self.given {
            return Ok(files.keys().cloned().collect());
        }
        let io = |error| Error::io(&self.path, error);
        let items = self.path.read_dir().map_err(io)?;
        items.map(|item| Ok(item.map_err(io)?.file_name().to_string_lossy().into_owned())).collect()
    }

    /// Opens a file.
    pub(crate) fn open(&self, name: &str) -> Result<Arc<Source>> {
        let path = self.path.join(name);
        let Some(files) = &self.given else { return Source::open(&path) };
        let missing = || Error::io(&path, io::Error::from(ErrorKind::NotFound));
        let content = Arc::clone(files.get(name).ok_or_else(missing)?);
        Ok(Arc::new(Source { path, content }))
    }

    /// The bytes of a whole file; `limit`, in bytes, bounds the memory that a hostile file may
    /// take.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::File`] if it is longer.
    pub fn bytes(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let source = self.open(name)?;
        if source.length() > limit {
            let reason = format!("is longer than {limit} bytes");
            return Err(Error::file(source.path(), reason));
        }
        let mut bytes = vec![0; source.length() as usize];
        source.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// The text of a whole file; `limit` is in bytes.
    ///
    /// # Errors
    /// As [`Files::bytes`], and [`Error::File`] with the offset at which it is not UTF-8.
    pub fn text(&self, name: &str, limit: u64) -> Result<String> {
        String::from_utf8(self.bytes(name, limit)?).map_err(|error| {
            let place = error.utf8_error().valid_up_to();
            Error::file(self.path.join(name), format!("not UTF-8 at byte {place}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_files_are_read_as_those_of_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let all = [("a", &b"first"[..]), ("b", b"\xff")];
        for (name, bytes) in all {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        let given = Files::in_memory("given", all.map(|(name, b)| (name.to_owned(), b)));
        for files in [Files::on_disk(folder.path()), given] {
            let mut names = files.names().unwrap();
            names.sort();
            assert_eq!(names, ["a", "b"]);
            assert_eq!((files.has("a"), files.has("c")), (true, false));
            assert_eq!(files.text("a", 5).unwrap(), "first");
            let error = |name, limit| files.text(name, limit).unwrap_err().to_string();
            assert!(error("a", 4).contains("longer than 4 bytes"));
            assert!(error("b", 9).contains("not UTF-8 at byte 0"));
            assert!(matches!(files.bytes("c", 9).unwrap_err(), Error::Io { .. }));
            let mut buffer = [0; 3];
            files.open("a").unwrap().read_at(2, &mut buffer).unwrap();
            assert_eq!(&buffer, b"rst");
            let end = files.open("a").unwrap().read_at(3, &mut buffer).unwrap_err().to_string();
            assert!(end.contains("ends while 3 bytes are read"), "{end}");
        }
    }

    #[test]
    fn a_stream_is_read_up_to_its_bound() {
        let path = Path::new("a pipe");
        assert_eq!(bounded(path, &[7; 2 << 20][..], 2 << 20).unwrap().len(), 2 << 20);
        let error = bounded(path, io::repeat(7), 2 << 20).unwrap_err().to_string();
        assert!(error.starts_with("a pipe: holds more than the 2 MiB"), "{error}");
    }

    /// Where a file is read from start to end a pipe will do; elsewhere it is refused, unopened.
    #[cfg(unix)]
    #[test]
    fn pipes_are_read_to_their_end_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let refused = Source::open(&pipe).unwrap_err().to_string();
        assert!(refused.contains("is a pipe or a device"), "{refused}");
        let writer = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::write(pipe, "through a pipe").unwrap()
        });
        assert_eq!(read(&pipe).unwrap(), b"through a pipe");
        writer.join().unwrap();
        let error = Source::open(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert!(matches!(read(folder.path()).unwrap_err(), Error::Io { .. }));
    }
}
