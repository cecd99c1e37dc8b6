//! Saved steps of a training run: a folder for each, in Hugging Face's layout, so that it runs as any
//! other model, with the files needed to resume from it.
//!
//! A folder exists complete or not at all, and records the hashes of all of its files, its own
//! record included, so that later damage is noticed.

use std::collections::{BTreeMap, HashMap};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::atomic_file;
use crate::checkpoint::{Hash, NewTensor, Param, read_safetensors, write_safetensors};
use crate::error::{Error, Result};
use crate::files::open_own;
use crate::format::Format;
use crate::select::DeviceProfile;

use super::folder::{
    MODEL, OPTIMIZER, STATE, beside, entries, halves, into_place, is_step, remove_model,
    remove_step, step_name, steps,
};
use super::model_files::ModelFiles;
use super::options::TrainOptions;
use super::trainer::Trainer;

/// What is needed to resume from a step, apart from its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Steps so far.
    pub step: u64,
    /// The options of the run.
    pub options: TrainOptions,
    /// What was known about the device, which decides which variant of each kernel runs.
    pub profile: DeviceProfile,
    /// Identifies the selected variants; under another key, sums are taken in another order.
    pub plan_key: String,
    /// What the caller wants back on resuming.
    pub run: Value,
    /// The size and hash of each other file.
    files: BTreeMap<String, Sum>,
    /// The hash of this file, in which [`BLANK`] stands here; the last field.
    fnv1a: String,
}

/// Stands for a hash of a file in that file.
const BLANK: &str = "0000000000000000";

/// What stands before the last field.
const LAST: &[u8] = b"\"fnv1a\": \"";

/// What a file must match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sum {
    bytes: u64,
    fnv1a: String,
}

/// A saved step whose files were verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    /// Its folder, which is a model folder.
    pub folder: PathBuf,
    /// Everything except its tensors.
    pub state: State,
}

/// The largest state file that is read.
const LONGEST_STATE: u64 = 16 << 20;

impl Trainer {
    /// Saves the model alone, in Hugging Face's layout, with the other files of the model it started
    /// from. The folder exists complete or not at all.
    ///
    /// # Errors
    /// Those of the system, and of the device.
    pub async fn export(
        &mut self,
        folder: &Path,
        files: &ModelFiles,
        format: Format,
    ) -> Result<()> {
        let beside = beside(folder)?;
        self.write_model(&beside, files, format).await?;
        into_place(&beside, folder)
    }

    /// The files of the model alone, as [`Trainer::export`] would save them, in memory.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn files(
        &mut self,
        files: &ModelFiles,
        format: Format,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        let mut all = self.values().await?;
        let mut bytes = Vec::new();
        files.layout.write_to(&mut bytes, MODEL.as_ref(), format, &mut taken(&mut all))?;
        let beside = files.files(format)?.into_iter();
        let mut files: Vec<_> = beside.map(|(name, b)| (name.to_owned(), b.into_owned())).collect();
        files.push((MODEL.to_owned(), bytes));
        Ok(files)
    }

    /// Saves the step in a folder of its own in `run`, and gives that folder.
    ///
    /// # Errors
    /// As [`Trainer::export`].
    pub async fn save(&mut self, run: &Path, files: &ModelFiles, own: Value) -> Result<PathBuf> {
        let folder = run.join(step_name(self.steps()));
        let beside = beside(&folder)?;
        self.write_model(&beside, files, Format::F32).await?;
        self.write_moments(&beside.join(OPTIMIZER)).await?;
        let mut files = BTreeMap::new();
        for entry in entries(&beside)? {
            if let Some(name) = entry.path.file_name().and_then(|name| name.to_str()) {
                files.insert(name.to_owned(), sum(&entry.path)?);
            }
        }
        let state = State {
            step: self.steps(),
            options: *self.options(),
            profile: self.selection().profile.clone(),
            plan_key: self.selection().key(),
            run: own,
            files,
            fnv1a: BLANK.to_owned(),
        };
        let path = beside.join(STATE);
        let mut text =
            serde_json::to_vec_pretty(&state).map_err(|e| Error::file(&path, e.to_string()))?;
        let own = digest(&text);
        if let Some(place) = own_hash(&mut text) {
            place.copy_from_slice(own.as_bytes());
        }
        atomic_file::write_own(&path, &text).map_err(|e| Error::io(&path, e))?;
        into_place(&beside, &folder)?;
        Ok(folder)
    }

    /// Takes over the moments and the step number of a saved step, from whose folder the model was
    /// loaded.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the saved step is from another kind of run; nothing was changed then.
    pub fn resume(&mut self, saved: &Saved) -> Result<()> {
        let path = saved.folder.join(OPTIMIZER);
        let mut tensors = read_safetensors(&path)?;
        let (moments, engine) = self.moments();
        // All is checked before anything is written.
        let mut checked = Vec::new();
        for (name, parameter, held) in moments {
            let values = tensors.remove(&name).filter(|values| values.len() == parameter.count());
            let wrong = || Error::tensor(&path, name.as_str(), "does not match this model");
            checked.push((parameter, held, values.ok_or_else(wrong)?));
        }
        if let Some(name) = tensors.keys().min() {
            return Err(Error::tensor(&path, name.as_str(), "is not a moment of this optimizer"));
        }
        for (parameter, held, values) in checked {
            parameter.write(engine, held, &values)?;
        }
        self.set_steps(saved.state.step);
        Ok(())
    }

    async fn write_model(
        &mut self,
        folder: &Path,
        files: &ModelFiles,
        format: Format,
    ) -> Result<()> {
        let mut all = self.values().await?;
        files.layout.write(&folder.join(MODEL), format, &mut taken(&mut all))?;
        files.write(folder, format)
    }

    async fn write_moments(&mut self, path: &Path) -> Result<()> {
        let (mut new, mut values) = (Vec::new(), Vec::new());
        let (moments, engine) = self.moments();
        for (name, parameter, held) in moments {
            let read = parameter.read(engine, held).await?;
            new.push(NewTensor { name, format: Format::F32, shape: vec![read.len()] });
            values.push(read);
        }
        write_safetensors(path, &new, &[], &mut |index| Ok(std::mem::take(&mut values[index])))
    }
}

/// Hands out the values of each parameter once.
fn taken(
    all: &mut HashMap<(Param, usize), Vec<f32>>,
) -> impl FnMut(Param, usize) -> Result<Vec<f32>> {
    |part, layer| {
        all.remove(&(part, layer)).ok_or_else(|| {
            Error::tensor(MODEL, format!("{part:?}, layer {layer}"), "is not in the model")
        })
    }
}

impl Saved {
    /// Opens a saved step, and verifies that its files have not changed since it was saved.
    ///
    /// # Errors
    /// [`Error::File`] or [`Error::Io`], naming the file at fault.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(STATE);
        let file = open_own(&path)?;
        let mut text = Vec::new();
        file.take(LONGEST_STATE).read_to_end(&mut text).map_err(|e| Error::io(&path, e))?;
        let state: State = serde_json::from_slice(&text)
            .map_err(|e| Error::file(&path, format!("is not the state of a training run: {e}")))?;
        let damaged =
            |path: PathBuf| Error::file(path, "was damaged or changed after it was saved");
        if let Some(place) = own_hash(&mut text) {
            place.copy_from_slice(BLANK.as_bytes());
        }
        if digest(&text) != state.fnv1a {
            return Err(damaged(path));
        }
        for (name, expected) in &state.files {
            let path = folder.join(name);
            if name.contains(['/', '\\']) || sum(&path)? != *expected {
                return Err(damaged(path));
            }
        }
        // A file more, such as another generation_config.json, would change the model.
        for entry in entries(folder)?.into_iter().filter(|entry| entry.own) {
            let name = entry.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name != STATE && !state.files.contains_key(name) {
                return Err(Error::file(entry.path, "was added after the step was saved"));
            }
        }
        Ok(Self { folder: folder.to_owned(), state })
    }

    /// The last intact saved step of a run; `None` if it has saved none. Damaged ones after it are
    /// reported to `damaged`.
    ///
    /// # Errors
    /// [`Error::Io`] if a folder or a file is there but cannot be read, and [`Error::File`] if there
    /// are saved steps, but none is intact.
    pub fn latest(run: &Path, damaged: &mut dyn FnMut(&Path, Error)) -> Result<Option<Self>> {
        let steps = steps(run)?;
        for folder in steps.iter().rev() {
            match Self::open(folder) {
                Ok(saved) => return Ok(Some(saved)),
                // It may be intact: whoever reads on would go back further than needed.
                Err(Error::Io { path, source }) if source.kind() != ErrorKind::NotFound => {
                    return Err(Error::Io { path, source });
                }
                Err(error) => damaged(folder, error),
            }
        }
        match steps.len() {
            0 => Ok(None),
            1 => Err(Error::file(run, "its only saved step is damaged, so it cannot go on")),
            count => Err(Error::file(
                run,
                format!("all of its {count} saved steps are damaged, so it cannot go on"),
            )),
        }
    }

    /// Removes all saved steps of a run except the last `keep`, and folders that a stopped run left
    /// incomplete. What else is there stays, and so does a step to which somebody added a file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn keep_last(run: &Path, keep: usize) -> Result<()> {
        let mut own = Vec::new();
        for folder in steps(run)? {
            if is_step(&folder)? {
                own.push(folder);
            }
        }
        own[..own.len().saturating_sub(keep)].iter().try_for_each(|folder| remove_step(folder))?;
        halves(run)?.iter().try_for_each(|folder| remove_model(folder))
    }
}

/// Where the hash of a state file stands in it.
fn own_hash(text: &mut [u8]) -> Option<&mut [u8]> {
    let at = text.windows(LAST.len()).rposition(|window| window == LAST)?;
    text.get_mut(at + LAST.len()..)?.get_mut(..BLANK.len())
}

fn digest(bytes: &[u8]) -> String {
    let mut hash = Hash::default();
    hash.add(bytes);
    format!("{:016x}", hash.value())
}

/// The size and hash of a file.
fn sum(path: &Path) -> Result<Sum> {
    let io = |error| Error::io(path, error);
    let mut file = open_own(path)?;
    let (mut hash, mut bytes, mut buffer) = (Hash::default(), 0, vec![0; 1 << 20]);
    loop {
        let count = file.read(&mut buffer).map_err(io)?;
        if count == 0 {
            return Ok(Sum { bytes, fnv1a: format!("{:016x}", hash.value()) });
        }
        hash.add(&buffer[..count]);
        bytes += count as u64;
    }
}
