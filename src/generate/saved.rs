//! A prompt's keys and values in a file, so that it need not be read again.
//!
//! A magic number, the length of a header and the header in JSON; then each layer's keys and values
//! as the runner keeps them; then a hash of all that, which reveals a damaged file.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::atomic_file::AtomicFile;
use crate::checkpoint::Hash;
use crate::config::Config;
use crate::error::{Error, Result};

use super::prompt::{CachedPrompt, EditsMark};
use super::runner::Runner;

/// The magic number of such a file; the digit counts changes of the format.
const SIGN: &[u8; 8] = b"PELLUCH4";

/// The longest header that is accepted: more than any context's tokens.
const LONGEST_HEADER: u64 = 64 << 20;

/// What a file says about its contents.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    /// The model, and the format of its weights if that differs from the file's.
    model: String,
    /// The hash of every byte of its weights.
    weights: String,
    /// The hash of the rotations of its keys, which may depend on the context.
    rotation: String,
    /// Positions of the context in which it was saved.
    context: usize,
    /// How keys and values are laid out in it.
    layout: String,
    layers: usize,
    /// Bytes of one position's keys in one layer.
    position_bytes: u64,
    tokens: Vec<u32>,
    /// The edits that they were read with.
    edits: EditsMark,
}

/// Writes what the caches of the model with this fingerprint are known to hold.
///
/// The file appears whole or not at all: it is written under another name and renamed. A device or a
/// pipe is written in place.
pub(super) async fn save(
    path: &Path,
    runner: &mut Runner,
    model: &str,
    known: &CachedPrompt,
) -> Result<()> {
    let header = Header::new(runner, model, known);
    let tokens = known.tokens();
    let (atomic_file, file) = AtomicFile::create(path).map_err(|error| Error::io(path, error))?;
    let mut to = Hashed { inner: BufWriter::new(file), hash: Hash::default() };
    let text = serde_json::to_vec(&header)
        .map_err(|error| Error::file(path, format!("cannot be written: {error}")))?;
    let io = |error| Error::io(path, error);
    to.write(SIGN).map_err(io)?;
    to.write(&(text.len() as u64).to_le_bytes()).map_err(io)?;
    to.write(&text).map_err(io)?;
    for layer in 0..header.layers {
        for part in runner.read_cache(layer, tokens.len()).await? {
            to.write(&part).map_err(io)?;
        }
    }
    let hash = to.hash.value();
    to.inner.write_all(&hash.to_le_bytes()).map_err(io)?;
    let file = to.inner.into_inner().map_err(|error| io(error.into_error()))?;
    atomic_file.finish(&file).map_err(io)
}

/// Puts back into the caches what [`save`] wrote; `known` becomes its tokens.
pub(super) fn load(
    path: &Path,
    runner: &mut Runner,
    model: &str,
    known: &mut CachedPrompt,
) -> Result<()> {
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    let found = file.metadata().map_err(|error| Error::io(path, error))?;
    // A pipe is read from start to end as a file is; only its length is not known before.
    let length = found.is_file().then_some(found.len());
    let mut from = Hashed { inner: BufReader::new(file), hash: Hash::default() };
    let header = from.header(path, length)?;
    let expected = Header::new(runner, model, &CachedPrompt::default());
    let foreign = |what: &str, theirs: &str, ours: &str| {
        Err(Error::file(path, format!("was saved {what} ({theirs}, not {ours}); save it again")))
    };
    if header.model != expected.model || header.layers != expected.layers {
        return foreign("by another model", &header.model, &expected.model);
    }
    if header.weights != expected.weights {
        let otherwise = "by another model of the same sizes, with other weights";
        return foreign(otherwise, &header.weights, &expected.weights);
    }
    if header.layout != expected.layout || header.position_bytes != expected.position_bytes {
        let otherwise = "with another layout of keys and values";
        return foreign(otherwise, &header.layout, &expected.layout);
    }
    if header.rotation != expected.rotation {
        return Err(Error::file(
            path,
            format!(
                "was saved with a context of {}, for which this model rotates keys differently than for {}; \
                 use the same context, or save it again",
                header.context, expected.context
            ),
        ));
    }
    let (count, vocab) = (header.tokens.len(), runner.config().vocab);
    if count > runner.context() {
        return Err(Error::Context { asked: count, limit: runner.context() });
    }
    if let Some(id) = header.tokens.iter().find(|id| **id as usize >= vocab) {
        return Err(Error::file(path, format!("holds token {id}, which the model does not have")));
    }
    // The contents of the caches are about to be overwritten.
    *known = CachedPrompt::default();
    let bytes = count * header.position_bytes as usize;
    for layer in 0..header.layers {
        let parts = [from.take(path, bytes)?, from.take(path, bytes)?];
        runner.write_cache(layer, count, parts)?;
    }
    let hash = from.hash.value().to_le_bytes();
    if from.take(path, hash.len())? != hash {
        return Err(Error::file(path, "is damaged: its contents do not match their hash"));
    }
    if from.inner.read(&mut [0]).map_err(|error| Error::io(path, error))? > 0 {
        return Err(Error::file(path, "goes on after its end"));
    }
    *known = CachedPrompt::new(header.tokens, header.edits);
    known.loaded = true;
    Ok(())
}

impl Header {
    fn new(runner: &Runner, model: &str, known: &CachedPrompt) -> Self {
        let (layout, position_bytes) = runner.cache_layout();
        let (config, context) = (runner.config(), runner.context());
        Self {
            model: model.to_owned(),
            weights: runner.weights_hash().to_owned(),
            rotation: rotation(config, context),
            context,
            layout,
            layers: config.layers,
            position_bytes,
            tokens: known.tokens().to_vec(),
            edits: known.edits().clone(),
        }
    }

    /// The bytes of the whole file, or `None` if that overflows.
    fn file_bytes(&self, header: u64) -> Option<u64> {
        let layer = self.position_bytes.checked_mul(2)?.checked_mul(self.tokens.len() as u64)?;
        layer.checked_mul(self.layers as u64)?.checked_add(SIGN.len() as u64 + 16 + header)
    }
}

/// The hash of the rotations of all layers' keys in a context.
fn rotation(config: &Config, context: usize) -> String {
    let mut hash = Hash::default();
    for layer in 0..config.layers {
        let rotation = config.rope(layer).map(|rope| rope.rotation(context));
        hash.add(format!("{rotation:?}").as_bytes());
    }
    format!("{:016x}", hash.value())
}

/// A file, and the hash of what was read from it.
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
    /// The next bytes, whose number was checked before: against the length of the file, or against
    /// what the model takes.
    fn take(&mut self, path: &Path, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.inner.read_exact(&mut bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Error::file(path, "is truncated"),
            _ => Error::io(path, error),
        })?;
        self.hash.add(&bytes);
        Ok(bytes)
    }

    /// The header of a file of this length, checked against it.
    fn header(&mut self, path: &Path, length: Option<u64>) -> Result<Header> {
        let long_enough = length.is_none_or(|length| length >= SIGN.len() as u64);
        let sign = long_enough.then(|| self.take(path, SIGN.len())).transpose()?;
        if sign.as_deref() != Some(SIGN) {
            return Err(Error::file(path, "is not a saved prompt cache of this version"));
        }
        let count = self.take(path, 8)?;
        let count = count.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte));
        if count > LONGEST_HEADER.min(length.unwrap_or(u64::MAX)) {
            return Err(Error::file(path, format!("claims a header of {count} bytes: truncated?")));
        }
        let text = self.take(path, count as usize)?;
        let header: Header = serde_json::from_slice(&text)
            .map_err(|error| Error::file(path, format!("its header is damaged: {error}")))?;
        match (header.file_bytes(count), length) {
            (Some(_), None) => Ok(header),
            (Some(expected), Some(length)) if expected == length => Ok(header),
            (None, None) => Err(Error::file(path, "claims more bytes than any file has")),
            (_, Some(length)) => {
                Err(Error::file(path, format!("has {length} bytes, which is not what it claims")))
            }
        }
    }
}
