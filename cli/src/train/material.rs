//! What a run starts with: a model, and the tokens to train on.

use std::path::{Path, PathBuf};

use pellucid::checkpoint::Checkpoint;
use pellucid::tokenizer;
use pellucid::tokenizer::{Encode, Kind, Tokenizer, Training};
use pellucid::train::{Data, NewModel, Saved, read_tokens};
use pellucid::{Error, Result};

use super::settings::Settings;
use crate::hub::{self, Wanted};
use crate::output;

/// A model and its data.
pub(super) struct Material {
    /// The model that the run starts from, or continues with.
    pub(super) initial: Checkpoint,
    pub(super) data: Data,
    /// The hash of all tokens.
    pub(super) hash: String,
}

impl Material {
    /// Finds or makes the model, and reads the data.
    pub(super) fn prepare(
        settings: &Settings,
        output: &Path,
        saved: Option<&Saved>,
    ) -> Result<Self> {
        if settings.data.is_empty() {
            return Err(Error::Input("give one or more FILEs to train on".to_owned()));
        }
        let initial = match (saved, &settings.from) {
            (Some(saved), _) => Checkpoint::open(&saved.folder)?,
            (None, Some(from)) => Checkpoint::open(&hub::resolve(from, Wanted::Model)?)?,
            (None, None) => new(settings, &output.join("new"))?,
        };
        let tokenizer = Tokenizer::from_checkpoint(&initial)?;
        if let (Some(text), Some(tokenizer)) = (&settings.sample, &tokenizer) {
            // Better now than at the first checkpoint.
            let invalid = |error| Error::Input(format!("--sample {text:?}: {error}"));
            tokenizer.encode(text, Encode::default()).map_err(invalid)?;
        }
        let tokens = |path: &PathBuf| read(path, tokenizer.as_ref());
        let all = settings.data.iter().map(tokens).collect::<Result<Vec<_>>>()?.concat();
        let data = match &settings.val_data {
            Some(path) => Data { train: all, valid: tokens(path)? },
            None => Data::split(all, settings.val_fraction.unwrap_or(0.1))?,
        };
        output::note(&format!(
            "{} training tokens, {} validation tokens",
            indicatif::HumanCount(data.train.len() as u64),
            indicatif::HumanCount(data.valid.len() as u64)
        ));
        let hash = data.fingerprint();
        Ok(Self { initial, data, hash })
    }
}

/// Makes a new model in a folder, with its tokenizer.
fn new(settings: &Settings, folder: &Path) -> Result<Checkpoint> {
    let tokenizer = match &settings.tokenizer {
        Some(path) => crate::input::file(path)?,
        None => {
            let files: Vec<PathBuf> =
                settings.data.iter().chain(&settings.val_data).cloned().collect();
            if let Some(path) = files.iter().find(|path| is_tokens(path)) {
                return Err(Error::Input(format!(
                    "{} holds token ids: give the --tokenizer that made them",
                    path.display()
                )));
            }
            // The texts are read once for the tokenizer and once for the tokens.
            if let Some(path) = files.iter().find(|path| path.exists() && !path.is_file()) {
                let reason = "is a pipe or a device, which can be read once only: save it as a file \
                              first, or give a --tokenizer";
                return Err(Error::file(path, reason));
            }
            let training = Training { kind: Kind::Characters, special: Vec::new() };
            tokenizer::train(&files, &training, &mut |_| {})?
        }
    };
    let model = NewModel::new(settings.sizes()?, tokenizer)?;
    model.write(folder, settings.seed.unwrap_or(0))?;
    Checkpoint::open(folder)
}

fn is_tokens(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "bin")
}

/// The tokens of a file of text or of tokens.
fn read(path: &Path, tokenizer: Option<&Tokenizer>) -> Result<Vec<u32>> {
    if is_tokens(path) {
        return read_tokens(path);
    }
    let tokenizer = tokenizer.ok_or_else(|| {
        Error::file(path, "is text, and the model has no tokenizer; give token ids in a .bin file")
    })?;
    let text = crate::input::file(path)?;
    let options = Encode { bos: tokenizer::Bos::Never, ..Encode::default() };
    tokenizer.encode(&text, options).map_err(|error| Error::file(path, error.to_string()))
}
