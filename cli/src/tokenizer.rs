//! `pellucid tokenizer`: makes tokenizers.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use pellucid::tokenizer;
use pellucid::tokenizer::{Kind, Tokenizer, Training};
use pellucid::{Error, Result, atomic_file};
use serde::Serialize;

use crate::output;

/// Makes tokenizers.
#[derive(Debug, Args)]
pub(crate) struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Learns a tokenizer from text files
    Train(Train),
}

/// Learns a tokenizer from text files.
///
/// Byte-level BPE, with GPT-2's pattern and without a space before the text: again and again the most
/// frequent pair of neighbouring tokens becomes a token; of equally frequent pairs the one with the
/// smaller ids. The same texts always give the same file, which `tokenize`, and other tools, read.
#[derive(Debug, Args)]
struct Train {
    /// Files of UTF-8 text
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Where the tokenizer goes
    #[arg(short, long, value_name = "FILE", default_value = "tokenizer.json")]
    output: PathBuf,
    /// What tokens are
    #[arg(long, value_name = "KIND", default_value = "merges")]
    kind: KindName,
    /// Tokens in all, special ones and the 256 bytes among them, for --kind merges
    #[arg(long, value_name = "N")]
    vocab_size: Option<usize>,
    /// How often a pair must occur to become a token
    #[arg(long, value_name = "N", default_value_t = 2)]
    min_frequency: u64,
    /// A special token, such as <|endoftext|>; may be given several times. They take the first ids
    #[arg(long, value_name = "TEXT")]
    special: Vec<String>,
    /// Print one JSON object instead of a line
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KindName {
    /// Bytes, and what frequent neighbours make together
    Merges,
    /// The 256 bytes
    Bytes,
    /// The characters of the texts, and no others
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
                return Err(Error::Input("--vocab-size goes with --kind merges only".to_owned()));
            }
            (KindName::Bytes, None) => Kind::Bytes,
            (KindName::Characters, None) => Kind::Characters,
        };
        let training = Training { kind, special: self.special.clone() };
        let bar = output::progress_bar("reading {bar:30} {bytes} of {total_bytes}");
        let sizes = self.files.iter().filter_map(|file| fs::metadata(file).ok());
        bar.set_length(sizes.map(|data| data.len()).sum());
        let mut bytes = 0;
        let mut progress = |read| {
            bytes = read;
            bar.set_position(read);
        };
        let learned = tokenizer::train(&self.files, &training, &mut progress);
        bar.finish_and_clear();
        atomic_file::write(&self.output, learned?.as_bytes())
            .map_err(|error| Error::io(&self.output, error))?;
        let vocab_size = Tokenizer::from_json(&self.output)?.vocab_size();
        let report = Report { file: &self.output, vocab_size, bytes };
        if self.json {
            return output::json(&report);
        }
        if let Some(asked) = self.vocab_size.filter(|asked| *asked > vocab_size) {
            output::note(&format!(
                "no pair is left to merge: {vocab_size} tokens, though {asked} were asked for"
            ));
        }
        output::line(&format!("{vocab_size} tokens in {}", self.output.display()))
    }
}
