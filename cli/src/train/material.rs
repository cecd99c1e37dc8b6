//! What a run starts with: a model, and the tokens to train on.

use std::path::Path;

use pellucid::checkpoint::Checkpoint;
use pellucid::tokenizer::{self, Encode, Kind, Tokenizer, Training, without_opening};
use pellucid::train::{
    Corpus, Data, ModelFiles, NewModel, Saved, Tokens, read_tokens, text_of_lines,
};
use pellucid::{Error, Result};
use sha2::{Digest, Sha256};

use super::report;
use super::settings::Settings;
use crate::hub::{self, Wanted};
use crate::{input, output};

/// A model and its data.
pub(super) struct Material {
    /// The model that the run starts from, or continues with.
    initial: Initial,
    /// The model's own context.
    pub(super) context: usize,
    pub(super) vocab: usize,
    pub(super) data: Data,
    /// The hash of all tokens.
    pub(super) hash: String,
    /// The hash of the tokenizer that was given for a new model.
    pub(super) tokenizer: Option<String>,
    /// The fingerprint of the model that is fine-tuned.
    pub(super) from: Option<String>,
}

/// The model that a run starts from.
enum Initial {
    Opened(Box<Checkpoint>),
    /// A new one, which is not written yet.
    New(NewModel),
}

/// The content of a file of data, which is read once: it may be a pipe.
enum Content {
    Text(String),
    /// JSON lines.
    Lines(String),
    Ids,
}

/// A file of data.
struct Source<'a> {
    path: &'a Path,
    content: Content,
}

/// A new model's tokenizer puts its first token before a text only if the data shows so many texts, of
/// which it can learn what that token means.
const ENOUGH: usize = 16;

/// The name of the token that parts documents, as the documentation says.
const END: &str = "<|endoftext|>";

impl Material {
    /// Finds the model, or decides what a new one will be, and reads the data. Writes nothing.
    pub(super) fn read(settings: &Settings, saved: Option<&Saved>) -> Result<Self> {
        if settings.data.is_empty() {
            return Err(Error::Input("give one or more FILEs to train on".to_owned()));
        }
        let train =
            settings.data.iter().map(|path| Source::read(path)).collect::<Result<Vec<_>>>()?;
        let valid =
            settings.val_data.iter().map(|path| Source::read(path)).collect::<Result<Vec<_>>>()?;
        let opened = match (saved, &settings.from) {
            (Some(saved), _) => Some(Checkpoint::open(&saved.folder)?),
            (None, Some(from)) => Some(Checkpoint::open(&hub::resolve(from, Wanted::Model)?)?),
            (None, None) => None,
        };
        match opened {
            Some(checkpoint) => {
                let from = saved.is_none().then(|| checkpoint.fingerprint()).transpose()?;
                Ok(Self { from, ..Self::of(checkpoint, &train, &valid, settings)? })
            }
            None => Self::new(&train, &valid, settings),
        }
    }

    /// With an existing model.
    fn of(
        checkpoint: Checkpoint,
        train: &[Source<'_>],
        valid: &[Source<'_>],
        settings: &Settings,
    ) -> Result<Self> {
        // A kind of file that cannot be written is better known now.
        ModelFiles::of(&checkpoint)?;
        let tokenizer = Tokenizer::from_checkpoint(&checkpoint)?;
        check_sample(settings, tokenizer.as_ref())?;
        let (names, learn) = (settings.names(), settings.learn());
        let corpus = tokenizer.as_ref();
        let mut corpus =
            corpus.map(|tokenizer| Corpus::of(&checkpoint, tokenizer, names, learn)).transpose()?;
        let vocab = checkpoint.config().vocab;
        let data = tokens(train, valid, settings, corpus.as_mut(), vocab)?;
        if let (Some(corpus), Some(tokenizer)) = (&corpus, &tokenizer) {
            report::found(corpus.found(), settings);
            let opening = tokenizer.opening();
            let ids = train.iter().any(|source| matches!(source.content, Content::Ids));
            if ids && !opening.is_empty() && occurrences(&data.train, opening) == 0 {
                log::warn!(
                    "the tokenizer puts {} before a text, but the training data never has it",
                    spelled(tokenizer, opening)
                );
            }
        }
        let context = checkpoint.config().context;
        Ok(Self::with(Initial::Opened(Box::new(checkpoint)), context, vocab, data))
    }

    /// With a new model.
    fn new(train: &[Source<'_>], valid: &[Source<'_>], settings: &Settings) -> Result<Self> {
        let sizes = settings.sizes()?;
        let (name, mut text) = match &settings.tokenizer {
            Some(path) => (path.as_path(), input::file(path)?),
            None => (Path::new("tokenizer.json"), characters(train, valid, settings)?),
        };
        let hash = settings.tokenizer.as_ref().map(|_| text_hash(&text));
        let read = |text: &str| -> Result<(Tokenizer, Data)> {
            let tokenizer = Tokenizer::from_json_text(name, text)?;
            let mut corpus = Corpus::new(&tokenizer, settings.names(), settings.learn());
            let vocab = tokenizer.vocab_size();
            let data = tokens(train, valid, settings, Some(&mut corpus), vocab)?;
            let count = occurrences(&data.train, tokenizer.opening());
            if tokenizer.opening().is_empty() || count >= ENOUGH {
                report::found(corpus.found(), settings);
            }
            Ok((tokenizer, data))
        };
        let (mut tokenizer, mut data) = read(&text)?;
        let opening = tokenizer.opening();
        let count = occurrences(&data.train, opening);
        if !opening.is_empty() && count < ENOUGH {
            output::note(&format!(
                "the tokenizer puts {} before a text, but the training data has {count} of them, too few \
                 to learn that from; the model's own tokenizer.json puts nothing there",
                spelled(&tokenizer, opening)
            ));
            text = without_opening(name, &text)?;
            (tokenizer, data) = read(&text)?;
        }
        check_sample(settings, Some(&tokenizer))?;
        let vocab = tokenizer.vocab_size();
        let model = NewModel::new(sizes, text)?;
        let tokenizer = hash;
        Ok(Self { tokenizer, ..Self::with(Initial::New(model), sizes.context, vocab, data) })
    }

    fn with(initial: Initial, context: usize, vocab: usize, data: Data) -> Self {
        output::note(&format!(
            "{} training tokens, {} validation tokens",
            indicatif::HumanCount(data.train.len() as u64),
            indicatif::HumanCount(data.valid.len() as u64)
        ));
        let hash = data.fingerprint();
        Self { initial, context, vocab, data, hash, tokenizer: None, from: None }
    }

    /// The model's checkpoint, which is written into a folder if it is new, and the data.
    pub(super) fn into_parts(self, new: &Path, seed: u64) -> Result<(Checkpoint, Data)> {
        let checkpoint = match self.initial {
            Initial::Opened(checkpoint) => *checkpoint,
            Initial::New(model) => {
                model.write(new, seed)?;
                Checkpoint::open(new)?
            }
        };
        Ok((checkpoint, self.data))
    }
}

fn text_hash(text: &str) -> String {
    hub::hex(&Sha256::digest(text.as_bytes()))
}

/// The hash of the tokenizer that was given for a new model.
pub(super) fn tokenizer_hash(path: Option<&Path>) -> Result<Option<String>> {
    path.map(|path| Ok(text_hash(&input::file(path)?))).transpose()
}

/// The fingerprint of the model that is fine-tuned.
pub(super) fn model_hash(path: Option<&Path>) -> Result<Option<String>> {
    let hash = |path| Checkpoint::open(&hub::resolve(path, Wanted::Model)?)?.fingerprint();
    path.map(hash).transpose()
}

/// Fails for a sample that cannot be encoded: better now than at the first checkpoint.
fn check_sample(settings: &Settings, tokenizer: Option<&Tokenizer>) -> Result<()> {
    if let (Some(text), Some(tokenizer)) = (&settings.sample, tokenizer) {
        let invalid = |error| Error::Input(format!("--sample {text:?}: {error}"));
        tokenizer.encode(text, Encode::default()).map_err(invalid)?;
    }
    Ok(())
}

/// A tokenizer of the characters of the texts, and of the token that ends a text if they name it.
fn characters(train: &[Source<'_>], valid: &[Source<'_>], settings: &Settings) -> Result<String> {
    let mut all = String::new();
    for Source { path, content } in train.iter().chain(valid) {
        match content {
            Content::Text(text) => all.push_str(text),
            Content::Lines(lines) => all.push_str(&text_of_lines(path, lines)?),
            Content::Ids => {
                return Err(Error::Input(format!(
                    "{} holds token ids: give the --tokenizer that made them",
                    path.display()
                )));
            }
        }
    }
    let parts = settings.special != Some(false) && all.contains(END);
    let lines = train.iter().any(|source| matches!(source.content, Content::Lines(_)));
    let special = (parts || lines).then(|| END.to_owned()).into_iter().collect();
    tokenizer::train_text(&all, &Training { kind: Kind::Characters, special })
}

impl<'a> Source<'a> {
    fn read(path: &'a Path) -> Result<Self> {
        let ends = |end: &str| path.extension().is_some_and(|own| own.eq_ignore_ascii_case(end));
        let content = if ends("bin") {
            Content::Ids
        } else if ends("jsonl") {
            Content::Lines(input::file(path)?)
        } else {
            Content::Text(input::file(path)?)
        };
        Ok(Self { path, content })
    }

    /// Its tokens.
    fn tokens(&self, corpus: Option<&mut Corpus<'_>>, vocab: usize) -> Result<Tokens> {
        match (&self.content, corpus) {
            (Content::Ids, _) => Ok(read_tokens(self.path, vocab)?.into()),
            (Content::Text(text), Some(corpus)) => {
                corpus.text(text).map_err(|error| Error::file(self.path, output::sentence(&error)))
            }
            (Content::Lines(lines), Some(corpus)) => corpus.lines(self.path, lines),
            (_, None) => Err(Error::file(
                self.path,
                "is text, and the model has no tokenizer; give token ids in a .bin file",
            )),
        }
    }
}

/// The tokens of all files.
fn tokens(
    train: &[Source<'_>],
    valid: &[Source<'_>],
    settings: &Settings,
    mut corpus: Option<&mut Corpus<'_>>,
    vocab: usize,
) -> Result<Data> {
    let mut all = |sources: &[Source<'_>]| -> Result<Tokens> {
        let mut all = Tokens::default();
        for source in sources {
            let tokens = source.tokens(corpus.as_deref_mut(), vocab)?;
            if tokens.ids.is_empty() && sources.len() > 1 {
                log::warn!("{}: holds nothing to learn from", source.path.display());
            }
            all.append(tokens);
        }
        Ok(all)
    };
    let tokens = all(train)?;
    if let Some(path) = &settings.val_data {
        let valid = all(valid)?;
        if valid.ids.is_empty() {
            return Err(Error::file(path, "holds nothing to validate on"));
        }
        return Ok(Data { train: tokens, valid });
    }
    let count = tokens.ids.len();
    let data = Data::split(tokens, settings.val_fraction.unwrap_or(Data::VALIDATION_SHARE))?;
    match settings.val_fraction {
        Some(share) if share > 0.0 && data.valid.ids.is_empty() => Err(Error::Input(format!(
            "--val-fraction {share} of {count} tokens is less than one; 0 trains without validation data"
        ))),
        _ => Ok(data),
    }
}

/// How often some tokens stand in a row.
fn occurrences(tokens: &Tokens, wanted: &[u32]) -> usize {
    if wanted.is_empty() {
        return 0;
    }
    tokens.ids.windows(wanted.len()).filter(|window| *window == wanted).count()
}

/// The names of some tokens.
fn spelled(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    ids.iter().filter_map(|id| tokenizer.token(*id)).collect()
}
