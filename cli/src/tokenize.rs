//! `pellucid tokenize`: prints the tokens of a text.

use std::path::{Path, PathBuf};

use clap::Args;
use pellucid::checkpoint::Checkpoint;
use pellucid::tokenizer::Tokenizer;
use pellucid::{Error, Result};
use serde::Serialize;

use crate::hub::{self, Wanted};
use crate::input;
use crate::options::TextOptions;
use crate::output;
use crate::visible;

/// Print the tokens of a text.
#[derive(Debug, Args)]
pub(crate) struct Tokenize {
    /// Text to tokenize, or - for standard input
    #[arg(value_name = "TEXT")]
    input: String,
    /// Print one JSON object instead of a line per token
    #[arg(long, help_heading = "Output")]
    json: bool,
    #[command(flatten)]
    text: TextOptions,
    /// tokenizer.json, GGUF file, folder, or owner/name on the Hugging Face Hub [default: the
    /// built-in model's tokenizer]
    ///
    /// A folder has tokenizer.json, vocab.json with merges.txt, or tokenizer.model. A name on the Hub may
    /// end with the GGUF file or the revision to use: owner/name:file.gguf, owner/name:revision.
    #[arg(long, value_name = "MODEL", help_heading = "Model")]
    model: Option<PathBuf>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    ids: Vec<u32>,
    tokens: Vec<Option<String>>,
}

impl Tokenize {
    pub(crate) fn run(&self) -> Result<()> {
        let text = input::text(&self.input)?;
        let tokenizer = tokenizer(self.model.as_deref())?;
        let ids = tokenizer.encode(&text, self.text.encode())?;
        let tokens = ids.iter().map(|&id| tokenizer.token(id)).collect();
        let report = Report { ids, tokens };
        if self.json {
            return output::json(&report);
        }
        for (id, token) in report.ids.iter().zip(&report.tokens) {
            let token = visible::name(token.as_deref().unwrap_or_default());
            output::line(&format!("{id:>6}  {token}"))?;
        }
        Ok(())
    }
}

/// The tokenizer of a model or of a file of its own; that of the built-in model if none is given.
/// No weights are read, nor downloaded if the tokenizer has files of its own.
///
/// # Errors
/// Those of the files, and [`Error::File`] if there is no tokenizer.
pub(crate) fn tokenizer(model: Option<&Path>) -> Result<Tokenizer> {
    let Some(model) = model else {
        let model = Checkpoint::built_in()?;
        let tokenizer = Tokenizer::from_checkpoint(&model)?;
        return tokenizer.ok_or_else(|| Error::file(model.path(), "has no tokenizer"));
    };
    // A pipe has no name that tells what is in it, and only a tokenizer.json is read from start to end.
    let is_stream =
        |path: &Path| path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir());
    if is_stream(model) {
        return Tokenizer::from_json(model);
    }
    let path = hub::resolve(model, Wanted::Tokenizer)?;
    let found = if path.is_dir() {
        Tokenizer::from_folder(&path)?
    } else if path.is_file() && path.extension().is_some_and(|extension| extension == "json") {
        Some(Tokenizer::from_json(&path)?)
    } else {
        Tokenizer::from_checkpoint(&Checkpoint::open(&path)?)?
    };
    let files = "tokenizer.json, vocab.json with merges.txt, or tokenizer.model";
    found.ok_or_else(|| Error::file(path, format!("has no tokenizer ({files})")))
}
