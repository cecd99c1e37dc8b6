//! Folders as one file: ZIP archives with uncompressed members.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use pellucid::files::ReadAt;
use pellucid::{Error, Result};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// The most files that a model's folder may have.
const MOST_FILES: usize = 1000;

/// A folder's files as one archive. Weights hardly get smaller by compression, and uncompressed
/// members can be read by position.
pub(crate) fn pack(files: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let bad = |error: zip::result::ZipError| Error::file("the archive", error.to_string());
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in files {
        archive.start_file(format!("model/{name}"), options).map_err(bad)?;
        archive.write_all(bytes).map_err(|error| Error::io(name, error))?;
    }
    Ok(archive.finish().map_err(bad)?.into_inner())
}

/// The files of an archive, by name without folders.
pub(crate) fn open(
    path: &Path,
    content: &Arc<dyn ReadAt>,
) -> Result<Vec<(String, Arc<dyn ReadAt>)>> {
    let bad = |error: zip::result::ZipError| Error::file(path, error.to_string());
    let reader = Reader { content: Arc::clone(content), at: 0 };
    let mut archive = ZipArchive::new(reader).map_err(bad)?;
    if archive.len() > MOST_FILES {
        return Err(Error::file(path, format!("holds more than {MOST_FILES} files")));
    }
    let mut files: Vec<(String, Arc<dyn ReadAt>)> = Vec::new();
    for index in 0..archive.len() {
        let file = archive.by_index_raw(index).map_err(bad)?;
        let name = file.name().rsplit('/').next().unwrap_or_default().to_owned();
        if file.is_dir() || name.is_empty() {
            continue;
        }
        if file.compression() != CompressionMethod::Stored {
            let reason = format!("{name} is compressed; drop the files themselves instead");
            return Err(Error::file(path, reason));
        }
        let start = file.data_start().unwrap_or_default();
        let member = Member { content: Arc::clone(content), start, length: file.size() };
        files.push((name, Arc::new(member)));
    }
    Ok(files)
}

/// A file within an archive.
#[derive(Debug)]
struct Member {
    content: Arc<dyn ReadAt>,
    start: u64,
    length: u64,
}

impl ReadAt for Member {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if offset.saturating_add(buffer.len() as u64) > self.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.content.read_at(self.start.saturating_add(offset), buffer)
    }
}

/// Bytes by position, read as a stream.
struct Reader {
    content: Arc<dyn ReadAt>,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.content.length().saturating_sub(self.at);
        let count = left.min(buffer.len() as u64) as usize;
        self.content.read_at(self.at, &mut buffer[..count])?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.content.length().checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
