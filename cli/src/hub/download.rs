//! Downloads one file into the cache: whole or not at all, resuming where it was interrupted.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Instant;

use indicatif::ProgressBar;
use pellucid::{Error, Result};
use sha2::{Digest, Sha256};
use ureq::Body;
use ureq::http::{Response, StatusCode};

use super::cache::{self, Repository};
use super::client::{Client, Facts, Failure, validator};
use super::hash::{self, Kind, hex};
use super::id::Id;
use super::pace::{Pace, Tries};
use crate::output;

/// How often a file that arrives damaged is downloaded.
const DOWNLOADS: u32 = 2;

/// Bytes written at once.
const PIECE: usize = 1 << 20;

/// The most bytes of a file whose size nobody says.
const MOST_UNANNOUNCED: u64 = 64 << 20;

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
struct PartialFile {
    path: PathBuf,
    file: File,
    length: u64,
    /// Of its contents, if the Hub names the file by that hash.
    hash: Option<Sha256>,
    /// Names the file to whoever sends its bytes.
    validator: Option<String>,
}

impl Download<'_> {
    /// The path of the file, downloaded if it is not there or damaged.
    pub(super) fn run(&self) -> Result<PathBuf> {
        let path = self.repository.snapshot(self.commit).join(self.name);
        if path.is_file() {
            let Some(reason) = self.repository.damage(&path, Some(cache::QUICK))? else {
                return Ok(path);
            };
            log::warn!("{}: {reason}; downloading it again", path.display());
            self.repository.discard(&path)?;
        }
        let facts = self.client.facts(self.id, self.commit, self.name);
        let facts = facts.map_err(|failure| self.refusal(failure, 0, None))?;
        let blob = self.repository.blob(&facts.etag)?;
        if blob.is_file()
            && facts.size.is_some_and(|size| blob.metadata().is_ok_and(|found| found.len() != size))
        {
            log::warn!(
                "{} does not have the size reported by the Hub; downloading it again",
                blob.display()
            );
            cache::remove(&blob)?;
        }
        if !blob.is_file() {
            // What is there but leads nowhere is in the way.
            cache::remove(&blob)?;
            self.fetch(&facts, &blob)?;
        }
        self.repository.link(self.commit, self.name, &blob)?;
        Ok(path)
    }

    fn fetch(&self, facts: &Facts, blob: &Path) -> Result<()> {
        let mut part = PartialFile::open(blob, facts)?;
        // Another program may have fetched it while this one waited for its turn.
        if blob.is_file() {
            part.remove();
            return Ok(());
        }
        for download in 1.. {
            let size = self.complete(&mut part, facts)?;
            let Some(reason) = part.damage(size, facts)? else { break };
            part.clear()?;
            if download < DOWNLOADS {
                log::warn!("{} arrived damaged: {reason}; downloading it again", self.name);
                continue;
            }
            std::fs::remove_file(&part.path).map_err(|error| Error::io(&part.path, error))?;
            return Err(Error::Input(format!(
                "{}: {} arrived damaged: {reason}; run again to download it again",
                self.id.repository, self.name
            )));
        }
        part.file.sync_all().map_err(|error| Error::io(&part.path, error))?;
        std::fs::rename(&part.path, blob).map_err(|error| Error::io(blob, error))
    }

    /// Downloads what is missing, by as many connections as it takes; gives the size that was
    /// announced.
    fn complete(&self, part: &mut PartialFile, facts: &Facts) -> Result<Option<u64>> {
        let mut size = facts.size;
        if size.is_some_and(|size| part.length > size) {
            part.clear()?;
        }
        let bar = output::download_bar(self.name, size);
        let mut tries = Tries::new(part.length, self.client.patience().first_pause);
        while size.is_none_or(|size| part.length < size) {
            let failure = match self.go_on(part, &mut size, &bar) {
                Ok(()) => break,
                Err(Failure::Refused(error)) => return Err(error),
                Err(failure) => failure,
            };
            log::debug!("{}: {failure:?}, after {} bytes", self.name, part.length);
            match tries.pause(part.length, matches!(failure, Failure::Slow)) {
                Some(pause) => sleep(pause),
                None => return Err(self.refusal(failure, part.length, size)),
            }
        }
        bar.finish_and_clear();
        Ok(size)
    }

    /// Downloads what one connection delivers, but no byte more than was announced.
    fn go_on(
        &self,
        part: &mut PartialFile,
        size: &mut Option<u64>,
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        let from = (part.length, part.validator.as_deref());
        let mut answer = self.client.bytes(self.id, self.commit, self.name, from)?;
        if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            part.clear()?;
            return Err(Failure::Network("the Hub has no more bytes".to_owned()));
        }
        let start = start(&answer)?;
        if start == 0 && part.length > 0 {
            // Ranges are not supported, or it is another file by now.
            part.clear()?;
        }
        if start != part.length {
            let reason = format!("the Hub sends bytes from {start} on, not from {}", part.length);
            return Err(Failure::Network(reason));
        }
        part.validator = validator(&answer).or_else(|| part.validator.take());
        if size.is_none() {
            *size = answer.body().content_length().map(|length| start.saturating_add(length));
        }
        bar.set_position(part.length);
        let end = size.unwrap_or(MOST_UNANNOUNCED);
        let mut reader = answer.body_mut().with_config().limit(u64::MAX).reader();
        let (mut piece, mut pace) = (vec![0; PIECE], Pace::new(Instant::now()));
        while part.length < end {
            let most = (end - part.length).min(PIECE as u64) as usize;
            let read = reader.read(&mut piece[..most]);
            let read = read.map_err(|error| Failure::Network(error.to_string()))?;
            if read == 0 {
                return match size {
                    Some(_) => Err(Failure::Network("it ended early".to_owned())),
                    None => Ok(()),
                };
            }
            part.push(&piece[..read])?;
            bar.set_position(part.length);
            if !pace.admits(read as u64, Instant::now()) {
                return Err(Failure::Slow);
            }
        }
        if size.is_none() {
            let reason = format!("the Hub does not say its size, and it is over {end} bytes");
            return Err(Failure::Refused(self.refusal(Failure::Network(reason), 0, None)));
        }
        Ok(())
    }

    fn refusal(&self, failure: Failure, got: u64, size: Option<u64>) -> Error {
        let (repository, name) = (&self.id.repository, self.name);
        let reason = match failure {
            Failure::Refused(error) => return error,
            other => other.reason(),
        };
        if got == 0 {
            return Error::Input(format!("{repository}: {name} cannot be downloaded: {reason}"));
        }
        let of = size.map_or_else(String::new, |size| format!(" of {size}"));
        Error::Input(format!(
            "{repository}: {name} was interrupted after {got}{of} bytes ({reason}); run again to \
             resume"
        ))
    }
}

/// At which byte of the file an answer begins.
fn start(answer: &Response<Body>) -> Result<u64, Failure> {
    if answer.status() != StatusCode::PARTIAL_CONTENT {
        return Ok(0);
    }
    let range = answer.headers().get("content-range").and_then(|range| range.to_str().ok());
    let start =
        range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
    start.ok_or_else(|| Failure::Network("the Hub sends a part and does not say which".to_owned()))
}

impl PartialFile {
    /// Opens a partial file; waits while another program is downloading it.
    fn open(blob: &Path, facts: &Facts) -> Result<Self> {
        let mut path = blob.as_os_str().to_owned();
        path.push(".incomplete");
        let path = PathBuf::from(path);
        let io = |error| Error::io(&path, error);
        // Only a plain file is ours: a link would be followed, and a pipe would wait.
        if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
            cache::remove(&path)?;
        }
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(io)?;
        if path.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
            return Err(Error::file(
                &path,
                "was replaced by a link: another program is changing the cache",
            ));
        }
        file.lock().map_err(io)?;
        let kind = Kind::of(&facts.etag);
        let hash = (kind == Some(Kind::Sha256)).then(Sha256::new);
        let mut part = Self { path, file, length: 0, hash, validator: facts.validator.clone() };
        let io = |error| Error::io(blob, error);
        if kind.is_none() {
            // Nothing would tell whether what is there is the beginning of this file.
            part.clear()?;
            return Ok(part);
        }
        let mut piece = vec![0; PIECE];
        loop {
            let read = part.file.read(&mut piece).map_err(io)?;
            if read == 0 {
                return Ok(part);
            }
            part.hash.iter_mut().for_each(|hash| hash.update(&piece[..read]));
            part.length += read as u64;
        }
    }

    /// How it differs from what the Hub named; `None` if it does not.
    fn damage(&self, size: Option<u64>, facts: &Facts) -> Result<Option<String>> {
        if let Some(size) = size.filter(|size| *size != self.length) {
            return Ok(Some(format!("{} bytes arrived instead of {size}", self.length)));
        }
        let Some(hash) = &self.hash else {
            let found = hash::difference(&self.path, &facts.etag);
            return found.map_err(|error| Error::io(&self.path, error));
        };
        let found = hex(&hash.clone().finalize());
        let named = facts.etag.to_ascii_lowercase();
        Ok((found != named).then(|| format!("its SHA-256 is {found}, not {named}")))
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
