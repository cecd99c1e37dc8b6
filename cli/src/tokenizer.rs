//! `pellucid tokenizer`: trains tokenizers.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use pellucid::tokenizer;
use pellucid::tokenizer::{Kind, Learning, Tokenizer, Training};
use pellucid::{Error, Result, atomic_file};
use serde::Serialize;

use crate::output;

/// Train a tokenizer.
#[derive(Debug, Args)]
pub(crate) struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Train(Train),
}

/// Train a tokenizer on text files.
///
/// The tokenizer is byte-level BPE with GPT-2's pre-tokenization and without a prefix space: the
/// most frequent pair of adjacent tokens becomes a token, again and again; ties go to the smaller
/// ids. The same texts always give the same tokenizer.json, which `pellucid tokenize` and other
/// tools can read.
#[derive(Debug, Args)]
struct Train {
    /// UTF-8 text files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// File to write
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "tokenizer.json",
        help_heading = "Output"
    )]
    output: PathBuf,
    /// Kind of tokens
    #[arg(long, value_name = "KIND", default_value = "merges")]
    kind: KindName,
    /// Size of the vocabulary, with --kind merges; includes special tokens and the 256 bytes
    #[arg(long, value_name = "N")]
    vocab_size: Option<usize>,
    /// Merge only pairs that occur at least N times
    #[arg(long, value_name = "N", default_value_t = 2)]
    min_frequency: u64,
    /// Add a special token, such as <|endoftext|>; may be repeated
    ///
    /// Special tokens get the first ids, in the order given.
    #[arg(long, value_name = "TEXT")]
    special_token: Vec<String>,
    /// Print one JSON object instead of a line
    #[arg(long, help_heading = "Output")]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KindName {
    /// The 256 bytes and merges of frequent pairs (BPE)
    Merges,
    /// The 256 bytes only
    Bytes,
    /// The characters of the texts only
    Characters,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    file: &'a Path,
    vocab_size: usize,
    bytes: u64,
}

impl Command {
    pub(crate) fn run(&self) -> Result<()> {
        let Action::Train(train) = &self.action;
        train.run()
    }
}

impl Train {
    fn run(&self) -> Result<()> {
        let kind = match (self.kind, self.vocab_size) {
            (KindName::Merges, Some(vocab_size)) => {
                Kind::Merges { vocab_size, min_frequency: self.min_frequency }
            }
            (KindName::Merges, None) => {
                return Err(Error::Input("--kind merges needs a --vocab-size".to_owned()));
            }
            (_, Some(_)) => {
                return Err(Error::Input("--vocab-size needs --kind merges".to_owned()));
            }
            (KindName::Bytes, None) => Kind::Bytes,
            (KindName::Characters, None) => Kind::Characters,
        };
        let training = Training { kind, special: self.special_token.clone() };
        if let Ok(output) = fs::canonicalize(&self.output)
            && self.files.iter().any(|file| fs::canonicalize(file).is_ok_and(|file| file == output))
        {
            let reason = "is one of the texts and would be replaced; choose another --output";
            return Err(Error::file(&self.output, reason));
        }
        let bar = output::progress_bar("reading {bar:30} {bytes} of {total_bytes}, {eta} left");
        let merging = output::progress_bar("merging {bar:30} {pos} of {len} tokens, {eta} left");
        let sizes = self.files.iter().filter_map(|file| fs::metadata(file).ok());
        bar.set_length(sizes.map(|data| data.len()).sum());
        let mut bytes = 0;
        let mut progress = |learning| match learning {
            Learning::Read(read) => {
                bytes = read;
                bar.set_position(read);
            }
            Learning::Merged(tokens) => {
                if !bar.is_finished() {
                    bar.finish_and_clear();
                    merging.set_length(self.vocab_size.unwrap_or(tokens) as u64);
                    merging.reset_elapsed();
                }
                merging.set_position(tokens as u64);
            }
        };
        let learned = tokenizer::train(&self.files, &training, &mut progress);
        bar.finish_and_clear();
        merging.finish_and_clear();
        let learned = learned?;
        // What was written need not be readable: it may be a pipe.
        let vocab_size = Tokenizer::from_json_text(&self.output, &learned)?.vocab_size();
        atomic_file::write(&self.output, learned.as_bytes())
            .map_err(|error| Error::io(&self.output, error))?;
        let report = Report { file: &self.output, vocab_size, bytes };
        if self.json {
            return output::json(&report);
        }
        if let Some(asked) = self.vocab_size.filter(|asked| *asked > vocab_size) {
            output::note(&format!(
                "no pairs are left to merge; the vocabulary has {vocab_size} tokens, not {asked}"
            ));
        }
        output::line(&format!("{vocab_size} tokens in {}", self.output.display()))
    }
}
