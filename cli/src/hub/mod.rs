//! Models from the Hub: found in its cache, or downloaded into it.

mod cache;
mod client;
mod download;
mod hash;
mod id;
#[cfg(test)]
mod lying;
mod pace;
mod transport;

pub(crate) use hash::hex;
pub(crate) use id::Id;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use pellucid::checkpoint::gguf_files;
use pellucid::{Error, Result};
use serde::Deserialize;

use cache::Repository;
use client::{Client, Failure};
use download::Download;
use id::{is_gguf, is_safe};

/// How much of a model is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All files that it needs to run.
    Model,
    /// The tokenizer only.
    Tokenizer,
}

/// The files of a folder in Hugging Face's layout, next to the weights.
const BESIDE: [&str; 12] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
    "encoder.json",
    "vocab.bpe",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
];

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The longest index of shards that is read.
const LONGEST_INDEX: u64 = 64 << 20;

/// The files of a repository that make up a model.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    /// One GGUF file, and the other parts of its model if it is a part.
    Gguf(String),
    /// A folder with these files, to which an index of shards may add others.
    Folder(Vec<String>),
}

/// The file or folder of a model: the path itself if it exists, otherwise the Hub's model of that
/// name, from the cache where possible.
///
/// # Errors
/// [`Error::Input`] for a refusal of the Hub, [`Error::Io`] for the cache.
pub(crate) fn resolve(model: &Path, wanted: Wanted) -> Result<PathBuf> {
    match Id::parse(model) {
        Some(id) if !model.exists() => Hub::new(id)?.resolve(wanted),
        _ => Ok(model.to_owned()),
    }
}

/// Removes the files of a hub's model from the cache that are not what their hashes say, which takes
/// reading all of them. Gives whether there were any: then [`resolve`] downloads them again.
///
/// # Errors
/// [`Error::Io`] for the cache.
pub(crate) fn discard_damaged(model: &Path) -> Result<bool> {
    let Some(id) = Id::parse(model).filter(|_| !model.exists() && !is_offline()) else {
        return Ok(false);
    };
    let Hub { id, repository } = Hub::new(id)?;
    let Some(commit) = repository.commit(&id.revision) else { return Ok(false) };
    let mut found = false;
    for name in repository.files(&commit) {
        let path = repository.snapshot(&commit).join(name);
        if let Some(reason) = repository.damage(&path, None)? {
            log::warn!("{}: {reason}; downloading it again", path.display());
            repository.discard(&path)?;
            found = true;
        }
    }
    Ok(found)
}

/// A model on the Hub and its place in the cache.
struct Hub {
    id: Id,
    repository: Repository,
}

impl Hub {
    fn new(id: Id) -> Result<Self> {
        let repository = Repository::new(&cache::root()?, &id.repository);
        Ok(Self { id, repository })
    }

    fn resolve(&self, wanted: Wanted) -> Result<PathBuf> {
        let cached = self.repository.commit(&self.id.revision);
        if is_offline() {
            return self.cached(cached, wanted, "HF_HUB_OFFLINE is set");
        }
        self.fetch(&Client::new()?, cached, wanted)
    }

    /// What a hub sends, or what the cache has of this commit if the Hub cannot be reached.
    fn fetch(&self, client: &Client, cached: Option<String>, wanted: Wanted) -> Result<PathBuf> {
        let listing = match client.list(&self.id) {
            Ok(listing) => listing,
            Err(Failure::Refused(error)) => return Err(error),
            Err(failure) => {
                let reason = format!("the Hub cannot be reached ({})", failure.reason());
                if cached.is_some() {
                    log::warn!("{reason}; using the cache");
                }
                return self.cached(cached, wanted, &reason);
            }
        };
        let commit = &listing.commit;
        let choice = self.choose(&listing.files, wanted)?;
        let fetch = |name: &str| {
            let download =
                Download { client, id: &self.id, repository: &self.repository, commit, name };
            download.run()
        };
        let path = match choice {
            Choice::Gguf(name) => {
                let there = |part: &String| listing.files.contains(part);
                for part in gguf_files(&name).into_iter().filter(there) {
                    fetch(&part)?;
                }
                fetch(&name)?
            }
            Choice::Folder(names) => {
                for name in &names {
                    let path = fetch(name)?;
                    if name == INDEX {
                        for shard in shards(&path)? {
                            fetch(&shard)?;
                        }
                    }
                }
                self.repository.snapshot(commit)
            }
        };
        self.repository.set_commit(&self.id.revision, commit)?;
        Ok(path)
    }

    /// What the cache has of a commit.
    fn cached(&self, commit: Option<String>, wanted: Wanted, why: &str) -> Result<PathBuf> {
        let missing = |how: &str| {
            let folder = self.repository.folder().display();
            Error::Input(format!("{} is {how} the cache {folder}, and {why}", self.id.repository))
        };
        let commit = commit.ok_or_else(|| missing("not in"))?;
        let folder = self.repository.snapshot(&commit);
        // With several GGUF files one must be named; otherwise something was never downloaded.
        let files = self.repository.files(&commit);
        let several = self.id.file.is_none() && files.iter().any(|file| is_gguf(file));
        let (path, names) = match self.choose(&files, wanted) {
            Ok(Choice::Gguf(name)) => (folder.join(&name), vec![name]),
            Ok(Choice::Folder(names)) => (folder.clone(), names),
            Err(error) if several => return Err(error),
            Err(_) => return Err(missing("incomplete in")),
        };
        for name in names {
            if let Some(reason) = self.repository.damage(&folder.join(&name), Some(cache::QUICK))? {
                return Err(missing(&format!("damaged ({name}: {reason}) in")));
            }
        }
        Ok(path)
    }

    /// Which of these files of a repository to use.
    fn choose(&self, files: &[String], wanted: Wanted) -> Result<Choice> {
        let repository = &self.id.repository;
        let has = |name: &str| files.iter().any(|file| file == name);
        let found: Vec<&String> = files.iter().filter(|file| is_gguf(file)).collect();
        let listed = || found.iter().map(|file| file.as_str()).collect::<Vec<_>>().join(", ");
        if let Some(file) = &self.id.file {
            if has(file) {
                return Ok(Choice::Gguf(file.clone()));
            }
            let has = if found.is_empty() { "none".to_owned() } else { listed() };
            return Err(Error::Input(format!("{repository} has no {file}; it has {has}")));
        }
        let mut names: Vec<String> =
            BESIDE.iter().filter(|name| has(name)).map(|name| (*name).to_owned()).collect();
        let weights: Vec<&String> = files
            .iter()
            .filter(|file| file.ends_with(".safetensors") && !file.contains('/'))
            .collect();
        let in_folder = match wanted {
            Wanted::Tokenizer => ["tokenizer.json", "merges.txt", "vocab.bpe", "tokenizer.model"]
                .into_iter()
                .any(has),
            Wanted::Model => has("config.json") && !weights.is_empty(),
        };
        if in_folder {
            if wanted == Wanted::Model {
                match weights.as_slice() {
                    _ if has(SINGLE) => names.push(SINGLE.to_owned()),
                    _ if has(INDEX) => names.push(INDEX.to_owned()),
                    [one] => names.push((*one).clone()),
                    _ => {
                        let reason =
                            format!("{repository} has several *.safetensors but no {INDEX}");
                        return Err(Error::Input(reason));
                    }
                }
            }
            return Ok(Choice::Folder(names));
        }
        match found.as_slice() {
            [one] => Ok(Choice::Gguf((*one).clone())),
            // All parts of one model.
            [first, ..] if found.iter().all(|file| gguf_files(first).contains(file)) => {
                Ok(Choice::Gguf((*first).clone()))
            }
            [] if wanted == Wanted::Tokenizer => {
                Err(Error::Input(format!("{repository} has no tokenizer of a supported kind")))
            }
            [] => Err(Error::unsupported(
                format!("{repository}: a model without *.safetensors and *.gguf"),
                "safetensors with a config.json, and GGUF",
            )),
            _ => Err(Error::Input(format!(
                "{repository} has several GGUF files; name one, as in --model {repository}:{}; it has {}",
                found[0],
                listed()
            ))),
        }
    }
}

/// Whether downloads are disabled.
fn is_offline() -> bool {
    let yes = |value: String| {
        matches!(value.trim().to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on")
    };
    cache::variable("HF_HUB_OFFLINE").is_some_and(yes)
}

/// The shards that an index names.
fn shards(index: &Path) -> Result<BTreeSet<String>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let mut text = Vec::new();
    let file = std::fs::File::open(index).map_err(|error| Error::io(index, error))?;
    let read = file.take(LONGEST_INDEX + 1).read_to_end(&mut text);
    if read.map_err(|error| Error::io(index, error))? as u64 > LONGEST_INDEX {
        let reason = format!("is too long for an index: over {} MiB", LONGEST_INDEX >> 20);
        return Err(Error::file(index, reason));
    }
    let parsed: Index = serde_json::from_slice(&text)
        .map_err(|error| Error::file(index, format!("is not an index of shards: {error}")))?;
    let shards: BTreeSet<String> = parsed.weight_map.into_values().collect();
    match shards.iter().find(|shard| !is_safe(shard)) {
        Some(shard) => Err(Error::file(index, format!("names the shard {}", id::shown(shard)))),
        None => Ok(shards),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(id: &str, files: &[&str], wanted: Wanted) -> Result<Choice, String> {
        let id = Id::parse(Path::new(id)).unwrap();
        let hub = Hub { repository: Repository::new(Path::new("/c"), &id.repository), id };
        let files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
        hub.choose(&files, wanted).map_err(|error| error.to_string())
    }

    #[test]
    fn a_repositorys_files_decide_what_it_is() {
        let folder = |names: &[&str]| {
            Ok(Choice::Folder(names.iter().map(|name| (*name).to_owned()).collect()))
        };
        let files =
            ["README.md", "config.json", "model.safetensors", "tokenizer.json", "onnx/model.onnx"];
        let found = choose("o/n", &files, Wanted::Model);
        assert_eq!(found, folder(&["config.json", "tokenizer.json", "model.safetensors"]));
        let found = choose("o/n", &files, Wanted::Tokenizer);
        assert_eq!(found, folder(&["config.json", "tokenizer.json"]));
        let older = ["tokenizer.model", "tokenizer_config.json", "added_tokens.json", "x.bin"];
        let found = choose("o/n", &older, Wanted::Tokenizer);
        let names = ["tokenizer_config.json", "added_tokens.json", "tokenizer.model"];
        assert_eq!(found, folder(&names));
        let sharded = ["config.json", "model-1.safetensors", "model-2.safetensors", INDEX];
        assert_eq!(choose("o/n", &sharded, Wanted::Model), folder(&["config.json", INDEX]));
        let error = choose("o/n", &sharded[..3], Wanted::Model).unwrap_err();
        assert!(error.contains("several *.safetensors"), "{error}");

        let one = ["README.md", "m.Q8_0.gguf"];
        assert_eq!(choose("o/n", &one, Wanted::Model), Ok(Choice::Gguf("m.Q8_0.gguf".to_owned())));
        let several = ["a.gguf", "b.gguf"];
        let error = choose("o/n", &several, Wanted::Model).unwrap_err();
        assert!(error.contains("--model o/n:a.gguf; it has a.gguf, b.gguf"), "{error}");
        let named = choose("o/n:b.gguf", &several, Wanted::Tokenizer);
        assert_eq!(named, Ok(Choice::Gguf("b.gguf".to_owned())));
        let parts = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"];
        assert_eq!(choose("o/n", &parts, Wanted::Model), Ok(Choice::Gguf(parts[0].to_owned())));
        let error = choose("o/n", &[parts[0], "a.gguf"], Wanted::Model).unwrap_err();
        assert!(error.contains("has several GGUF files"), "{error}");
        let error = choose("o/n:c.gguf", &several, Wanted::Model).unwrap_err();
        assert_eq!(error, "o/n has no c.gguf; it has a.gguf, b.gguf");
        let error =
            choose("o/n", &["pytorch_model.bin", "config.json"], Wanted::Model).unwrap_err();
        assert!(error.contains("without *.safetensors and *.gguf is not supported"), "{error}");
    }

    #[test]
    fn an_index_has_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(INDEX);
        std::fs::write(&path, r#"{"weight_map": {"a": "x", "b": "y", "c": "x"}}"#).unwrap();
        assert_eq!(shards(&path).unwrap(), BTreeSet::from(["x".to_owned(), "y".to_owned()]));
        std::fs::File::create(&path).unwrap().set_len(LONGEST_INDEX + 1).unwrap();
        let told = shards(&path).unwrap_err().to_string();
        assert!(told.ends_with("is too long for an index: over 64 MiB"), "{told}");
    }
}
