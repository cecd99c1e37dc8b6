//! Downloads one file into the cache: whole or not at all, resuming where it was interrupted.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use indicatif::ProgressBar;
use pellucid::{Error, Result};
use sha2::{Digest, Sha256};
use ureq::http::StatusCode;

use super::cache::Repository;
use super::client::{Client, Facts, Failure};
use super::id::Id;
use crate::output;

/// How often a connection that delivers nothing is retried.
const TRIES: u32 = 3;

/// Bytes written at once.
const PIECE: usize = 1 << 20;

/// A file to download.
#[derive(Debug)]
pub(super) struct Download<'a> {
    pub(super) client: &'a Client,
    pub(super) id: &'a Id,
    pub(super) repository: &'a Repository,
    pub(super) commit: &'a str,
    pub(super) name: &'a str,
}

/// A partial file; it stays when the program ends.
struct Part {
    path: PathBuf,
    file: File,
    length: u64,
    /// Of its contents, if the hub names the file by that hash.
    hash: Option<Sha256>,
}

impl Download<'_> {
    /// The path of the file, downloaded if it is not there.
    pub(super) fn run(&self) -> Result<PathBuf> {
        let path = self.repository.snapshot(self.commit).join(self.name);
        if path.is_file() {
            return Ok(path);
        }
        let facts = self.client.facts(self.id, self.commit, self.name);
        let facts = facts.map_err(|failure| self.refusal(failure, 0, None))?;
        let blob = self.repository.blob(&facts.etag)?;
        if !blob.is_file() {
            self.fetch(&facts, &blob)?;
        }
        self.repository.link(self.commit, self.name, &blob)?;
        Ok(path)
    }

    fn fetch(&self, facts: &Facts, blob: &Path) -> Result<()> {
        let mut part = Part::open(blob, facts)?;
        // Another program may have fetched it while this one waited for its turn.
        if blob.is_file() {
            part.remove();
            return Ok(());
        }
        if facts.size.is_some_and(|size| part.length > size) {
            part.clear()?;
        }
        let bar = output::download_bar(self.name, facts.size);
        let mut tries = 0;
        while facts.size.is_none_or(|size| part.length < size) {
            let before = part.length;
            match self.go_on(&mut part, facts.size, &bar) {
                Ok(()) => break,
                Err(Failure::Refused(error)) => return Err(error),
                Err(failure) => {
                    tries = if part.length > before { 0 } else { tries + 1 };
                    if tries >= TRIES {
                        return Err(self.refusal(failure, part.length, facts.size));
                    }
                    log::debug!("{}: {failure:?}, after {} bytes", self.name, part.length);
                    sleep(Duration::from_millis(500) * tries);
                }
            }
        }
        bar.finish_and_clear();
        self.check(&mut part, facts)?;
        part.file.sync_all().map_err(|error| Error::io(&part.path, error))?;
        std::fs::rename(&part.path, blob).map_err(|error| Error::io(blob, error))
    }

    /// Downloads what one connection delivers.
    fn go_on(&self, part: &mut Part, size: Option<u64>, bar: &ProgressBar) -> Result<(), Failure> {
        let mut answer = self.client.bytes(self.id, self.commit, self.name, part.length)?;
        let range = answer.headers().get("content-range").and_then(|range| range.to_str().ok());
        let continued = answer.status() == StatusCode::PARTIAL_CONTENT
            && range.is_some_and(|range| range.starts_with(&format!("bytes {}-", part.length)));
        if part.length > 0 && !continued {
            part.clear()?;
        }
        if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Err(Failure::Network("the hub has no more bytes".to_owned()));
        }
        bar.set_position(part.length);
        let mut reader = answer.body_mut().with_config().limit(u64::MAX).reader();
        let mut piece = vec![0; PIECE];
        loop {
            let read = reader.read(&mut piece).map_err(|e| Failure::Network(e.to_string()))?;
            if read == 0 {
                break;
            }
            part.push(&piece[..read])?;
            bar.set_position(part.length);
        }
        match size {
            Some(size) if part.length < size => Err(Failure::Network("it ended early".to_owned())),
            _ => Ok(()),
        }
    }

    /// Fails, and deletes the file, if it is not the one that the hub named.
    fn check(&self, part: &mut Part, facts: &Facts) -> Result<()> {
        let found = part.hash.clone().map(|hash| hex(&hash.finalize()));
        let reason = match (facts.size, found) {
            (Some(size), _) if size != part.length => {
                format!("{} bytes arrived instead of {size}", part.length)
            }
            (_, Some(found)) if found != facts.etag.to_ascii_lowercase() => {
                format!("its SHA-256 is {found}, not {}", facts.etag)
            }
            _ => return Ok(()),
        };
        part.clear()?;
        std::fs::remove_file(&part.path).map_err(|error| Error::io(&part.path, error))?;
        Err(Error::Input(format!(
            "{}: {} arrived damaged: {reason}; run again to download it again",
            self.id.repository, self.name
        )))
    }

    fn refusal(&self, failure: Failure, got: u64, size: Option<u64>) -> Error {
        let (repository, name) = (&self.id.repository, self.name);
        match failure {
            Failure::Refused(error) => error,
            Failure::Network(reason) if got == 0 => {
                Error::Input(format!("{repository}: {name} cannot be downloaded: {reason}"))
            }
            Failure::Network(reason) => {
                let of = size.map_or_else(String::new, |size| format!(" of {size}"));
                Error::Input(format!(
                    "{repository}: {name} was interrupted after {got}{of} bytes ({reason}); run \
                     again to resume"
                ))
            }
        }
    }
}

impl Part {
    /// Opens a partial file; waits while another program is downloading it.
    fn open(blob: &Path, facts: &Facts) -> Result<Self> {
        let mut path = blob.as_os_str().to_owned();
        path.push(".incomplete");
        let path = PathBuf::from(path);
        let io = |error| Error::io(&path, error);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(io)?;
        file.lock().map_err(io)?;
        let named_by_hash =
            facts.etag.len() == 64 && facts.etag.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut hash = named_by_hash.then(Sha256::new);
        let mut length = 0;
        let mut piece = vec![0; PIECE];
        loop {
            let read = file.read(&mut piece).map_err(io)?;
            if read == 0 {
                break;
            }
            hash.iter_mut().for_each(|hash| hash.update(&piece[..read]));
            length += read as u64;
        }
        Ok(Self { path, file, length, hash })
    }

    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| Error::io(&self.path, error))?;
        self.hash.iter_mut().for_each(|hash| hash.update(bytes));
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Starts over.
    fn clear(&mut self) -> Result<()> {
        let cleared = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        cleared.map_err(|error| Error::io(&self.path, error))?;
        self.hash = self.hash.as_ref().map(|_| Sha256::new());
        self.length = 0;
        Ok(())
    }

    /// Removes the file that opening may have made; the file itself may have been renamed
    /// meanwhile.
    fn remove(self) {
        drop(self.file);
        let _ = std::fs::remove_file(&self.path);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
