//! Saved steps of a training run: a folder for each, in Hugging Face's layout, so that it runs as any
//! other model, with the files needed to resume from it.
//!
//! A folder exists complete or not at all, and records the hashes of its files, so that later damage
//! is noticed.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::atomic_file;
use crate::checkpoint::{Hash, NewTensor, Param, read_safetensors, write_safetensors};
use crate::error::{Error, Result};
use crate::format::Format;
use crate::select::DeviceProfile;

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
    /// The size and hash of each file.
    files: BTreeMap<String, Sum>,
}

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

const STATE: &str = "state.json";
const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";

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
        for name in [MODEL, OPTIMIZER] {
            files.insert(name.to_owned(), sum(&beside.join(name))?);
        }
        let state = State {
            step: self.steps(),
            options: *self.options(),
            profile: self.selection().profile.clone(),
            plan_key: self.selection().key(),
            run: own,
            files,
        };
        let path = beside.join(STATE);
        let text =
            serde_json::to_vec_pretty(&state).map_err(|e| Error::file(&path, e.to_string()))?;
        atomic_file::write_own(&path, &text).map_err(|e| Error::io(&path, e))?;
        into_place(&beside, &folder)?;
        Ok(folder)
    }

    /// Takes over the moments and the step number of a saved step, from whose folder the model was
    /// loaded.
    ///
    /// # Errors
    /// [`Error::File`] if the saved step is from another kind of run.
    pub fn resume(&mut self, saved: &Saved) -> Result<()> {
        let path = saved.folder.join(OPTIMIZER);
        let mut tensors = read_safetensors(&path)?;
        let (moments, engine) = self.moments();
        for (name, parameter, held) in moments {
            let wrong = || Error::tensor(&path, name.as_str(), "does not match this model");
            let values = tensors.remove(&name).ok_or_else(wrong)?;
            if values.len() != parameter.count() {
                return Err(wrong());
            }
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
        let file = fs::File::open(&path).map_err(|e| Error::io(&path, e))?;
        let mut text = String::new();
        file.take(LONGEST_STATE).read_to_string(&mut text).map_err(|e| Error::io(&path, e))?;
        let state: State = serde_json::from_str(&text)
            .map_err(|e| Error::file(&path, format!("is not the state of a training run: {e}")))?;
        for (name, expected) in &state.files {
            let path = folder.join(name);
            if name.contains(['/', '\\']) || sum(&path)? != *expected {
                return Err(Error::file(path, "was damaged or changed after it was saved"));
            }
        }
        Ok(Self { folder: folder.to_owned(), state })
    }

    /// The last intact saved step of a run. Damaged ones after it are reported to `damaged`.
    ///
    /// # Errors
    /// [`Error::Io`] if the run's folder cannot be read.
    pub fn latest(run: &Path, damaged: &mut dyn FnMut(&Path, Error)) -> Result<Option<Self>> {
        for folder in steps(run)?.into_iter().rev() {
            match Self::open(&folder) {
                Ok(saved) => return Ok(Some(saved)),
                Err(error) => damaged(&folder, error),
            }
        }
        Ok(None)
    }

    /// Removes all saved steps of a run except the last `keep`, and folders that a stopped run left
    /// incomplete.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn keep_last(run: &Path, keep: usize) -> Result<()> {
        let steps = steps(run)?;
        let old = &steps[..steps.len().saturating_sub(keep)];
        let halves = entries(run)?.into_iter().filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            [HALF, OLD].iter().any(|end| name.strip_suffix(end).and_then(step_of).is_some())
        });
        for folder in old.iter().cloned().chain(halves) {
            atomic_file::remove_own(&folder).map_err(|e| Error::io(&folder, e))?;
        }
        Ok(())
    }
}

/// The suffix of a folder's name until it is complete.
const HALF: &str = ".part";

/// The suffix of a folder that is about to be replaced.
const OLD: &str = ".old";

/// An empty folder next to its final place.
fn beside(place: &Path) -> Result<PathBuf> {
    let beside = with_end(place, HALF);
    let io = |error| Error::io(&beside, error);
    atomic_file::remove_own(&beside).map_err(io)?;
    if let Some(run) = beside.parent().filter(|run| !run.as_os_str().is_empty()) {
        fs::create_dir_all(run).map_err(io)?;
    }
    // Nothing may have come there meanwhile: not even a link to another folder.
    fs::create_dir(&beside).map_err(io)?;
    Ok(beside)
}

/// Moves a complete folder to its place. Only then is the previous one removed.
fn into_place(beside: &Path, place: &Path) -> Result<()> {
    let old = with_end(place, OLD);
    atomic_file::remove_own(&old).map_err(|e| Error::io(&old, e))?;
    // A link is moved itself, even if it leads nowhere.
    if place.symlink_metadata().is_ok() {
        fs::rename(place, &old).map_err(|e| Error::io(place, e))?;
    }
    fs::rename(beside, place).map_err(|e| Error::io(place, e))?;
    atomic_file::remove_own(&old).map_err(|e| Error::io(&old, e))
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// The name of a step's folder.
fn step_name(step: u64) -> String {
    format!("step-{step:08}")
}

/// The step that a folder of this very name is of; other names are somebody else's.
fn step_of(name: &str) -> Option<u64> {
    let step = name.strip_prefix("step-")?.parse().ok()?;
    (step_name(step) == name).then_some(step)
}

/// The saved steps of a run, in order.
fn steps(run: &Path) -> Result<Vec<PathBuf>> {
    let step = |path: &Path| step_of(path.file_name()?.to_str()?);
    let all = entries(run)?;
    let mut all: Vec<(u64, PathBuf)> =
        all.into_iter().filter_map(|path| Some((step(&path)?, path))).collect();
    all.sort();
    Ok(all.into_iter().map(|(_, path)| path).collect())
}

/// The entries of a folder; none if the folder does not exist.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let all = match fs::read_dir(folder) {
        Ok(all) => all,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(folder, error)),
    };
    all.map(|entry| entry.map(|entry| entry.path()).map_err(|e| Error::io(folder, e))).collect()
}

/// The size and hash of a file.
fn sum(path: &Path) -> Result<Sum> {
    let io = |error| Error::io(path, error);
    let mut file = fs::File::open(path).map_err(io)?;
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
