//! A prompt's keys and values in a file, so that it need not be read again.
//!
//! A sign, the length of a header and the header in JSON; then each layer's keys and values as the
//! runner keeps them; then a hash of all that, which tells a damaged file.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::unfinished::Unfinished;
use crate::weights::Hash;

use super::llm::Llm;
use super::runner::Runner;

/// What such a file begins with; the number counts changes of the format.
const SIGN: &[u8; 8] = b"PELLUCH2";

/// The longest header that is believed: more than any context's tokens.
const LONGEST_HEADER: u64 = 64 << 20;

/// What a file says of its contents.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    /// The model, and the format of its weights where that is another than the file's.
    model: String,
    /// How keys and values lie in it.
    layout: String,
    layers: usize,
    /// Bytes of one position's keys in one layer.
    position_bytes: u64,
    tokens: Vec<u32>,
}

impl Llm {
    /// Writes what the caches hold of the last generation that was finished, its prompt and all
    /// drawn tokens but the last, so that [`Llm::load_cache`] can put it back. Gives the number of
    /// tokens.
    ///
    /// The file appears whole or not at all: it is written under another name and renamed.
    ///
    /// # Errors
    /// [`Error::Io`] for the file, [`Error::Device`] if the device fails.
    pub async fn save_cache(&mut self, path: impl AsRef<Path>) -> Result<usize> {
        let path = path.as_ref();
        let header = self.header(self.known().tokens().to_vec());
        let (unfinished, file) =
            Unfinished::create(path).map_err(|error| Error::io(path, error))?;
        let mut to = Hashed { inner: BufWriter::new(file), hash: Hash::default() };
        let text = serde_json::to_vec(&header)
            .map_err(|error| Error::file(path, format!("cannot be written: {error}")))?;
        let io = |error| Error::io(path, error);
        to.write(SIGN).map_err(io)?;
        to.write(&(text.len() as u64).to_le_bytes()).map_err(io)?;
        to.write(&text).map_err(io)?;
        for layer in 0..header.layers {
            for part in self.runner_mut().read_cache(layer, header.tokens.len()).await? {
                to.write(&part).map_err(io)?;
            }
        }
        let hash = to.hash.value();
        to.inner.write_all(&hash.to_le_bytes()).map_err(io)?;
        let file = to.inner.into_inner().map_err(|error| io(error.into_error()))?;
        unfinished.finish(&file).map_err(io)?;
        Ok(header.tokens.len())
    }

    /// Puts back what [`Llm::save_cache`] wrote; requests with
    /// [`Request::reuse_prefix`](super::Request::reuse_prefix) then do not read again what their
    /// prompt shares with it. Gives the number of tokens.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::File`], which name the file, where it cannot be read, is none of
    /// these files, is damaged, or was written by another model or with another format of keys and
    /// values; [`Error::Context`] where it holds more tokens than the context.
    pub fn load_cache(&mut self, path: impl AsRef<Path>) -> Result<usize> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| Error::io(path, error))?;
        let length = file.metadata().map_err(|error| Error::io(path, error))?.len();
        let mut from = Hashed { inner: BufReader::new(file), hash: Hash::default() };
        let header = from.header(path, length)?;
        let expected = self.header(Vec::new());
        let foreign = |what: &str, theirs: &str, ours: &str| {
            Err(Error::file(path, format!("was saved {what} ({theirs}, not {ours}); save it anew")))
        };
        if header.model != expected.model || header.layers != expected.layers {
            return foreign("by another model", &header.model, &expected.model);
        }
        if header.layout != expected.layout || header.position_bytes != expected.position_bytes {
            let otherwise = "with keys and values stored otherwise";
            return foreign(otherwise, &header.layout, &expected.layout);
        }
        let count = header.tokens.len();
        if count > self.context() {
            return Err(Error::Context { asked: count, limit: self.context() });
        }
        if let Some(id) = header.tokens.iter().find(|id| **id as usize >= self.config().vocab) {
            return Err(Error::file(path, format!("holds token {id}, which the model has not")));
        }
        // Whatever is in the caches is about to be overwritten.
        self.remember(Vec::new());
        let bytes = count * header.position_bytes as usize;
        for layer in 0..header.layers {
            let parts = [from.take(path, bytes)?, from.take(path, bytes)?];
            self.runner_mut().write_cache(layer, count, parts)?;
        }
        let hash = from.hash.value().to_le_bytes();
        if from.take(path, hash.len())? != hash {
            return Err(Error::file(path, "is damaged: its contents do not match their hash"));
        }
        self.remember(header.tokens);
        Ok(count)
    }

    fn header(&self, tokens: Vec<u32>) -> Header {
        let (layout, position_bytes) = self.runner().cache_layout();
        let (model, layers) = (self.fingerprint().to_owned(), self.config().layers);
        Header { model, layout, layers, position_bytes, tokens }
    }
}

impl Header {
    /// The bytes of the whole file, or `None` where that is absurd.
    fn file_bytes(&self, header: u64) -> Option<u64> {
        let layer = self.position_bytes.checked_mul(2)?.checked_mul(self.tokens.len() as u64)?;
        layer.checked_mul(self.layers as u64)?.checked_add(SIGN.len() as u64 + 16 + header)
    }
}

/// A file, and the hash of what went through.
struct Hashed<T> {
    inner: T,
    hash: Hash,
}

impl Hashed<BufWriter<File>> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.hash.add(bytes);
        self.inner.write_all(bytes)
    }
}

impl Hashed<BufReader<File>> {
    /// The next bytes, which were checked against the file's length before.
    fn take(&mut self, path: &Path, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.inner.read_exact(&mut bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Error::file(path, "is truncated"),
            _ => Error::io(path, error),
        })?;
        self.hash.add(&bytes);
        Ok(bytes)
    }

    /// The header of a file of this length, which fits what it claims.
    fn header(&mut self, path: &Path, length: u64) -> Result<Header> {
        let sign =
            (length >= SIGN.len() as u64).then(|| self.take(path, SIGN.len())).transpose()?;
        if sign.as_deref() != Some(SIGN) {
            return Err(Error::file(path, "is no saved prompt cache of this version"));
        }
        let count = self.take(path, 8)?;
        let count = count.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte));
        if count > LONGEST_HEADER.min(length) {
            return Err(Error::file(path, format!("claims a header of {count} bytes: truncated?")));
        }
        let text = self.take(path, count as usize)?;
        let header: Header = serde_json::from_slice(&text)
            .map_err(|error| Error::file(path, format!("its header is damaged: {error}")))?;
        match header.file_bytes(count) {
            Some(expected) if expected == length => Ok(header),
            _ => Err(Error::file(path, format!("has {length} bytes, which is not what it claims"))),
        }
    }
}

impl Runner {
    /// How keys and values lie, and the bytes of one position's keys in one layer.
    fn cache_layout(&self) -> (String, u64) {
        match self {
            Self::Gpu(session) => (session.cache_layout(), session.position_bytes()),
            Self::Cpu { model, .. } => {
                let width = model.config.kv_width();
                (format!("reference, width {width}"), width as u64 * 8)
            }
        }
    }

    async fn read_cache(&mut self, layer: usize, positions: usize) -> Result<[Vec<u8>; 2]> {
        match self {
            Self::Gpu(session) => session.read_cache(layer, positions).await,
            Self::Cpu { cache, .. } => {
                Ok(cache.layer(layer, positions).map(|part| bytemuck::cast_slice(part).to_vec()))
            }
        }
    }

    fn write_cache(&mut self, layer: usize, positions: usize, parts: [Vec<u8>; 2]) -> Result<()> {
        match self {
            Self::Gpu(session) => session.write_cache(layer, &parts[0], &parts[1]),
            Self::Cpu { cache, .. } => {
                let [keys, values] = parts.map(|part| bytemuck::pod_collect_to_vec(&part));
                cache.restore(layer, positions, keys, values);
                Ok(())
            }
        }
    }
}
