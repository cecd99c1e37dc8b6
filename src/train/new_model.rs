//! New models with their tokenizers.

use std::path::Path;

use serde_json::{Value, json};

use crate::atomic_file;
use crate::checkpoint::TensorLayout;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::tokenizer::Tokenizer;

use super::attention_only;
use super::folder::{beside, into_place};
use super::init::{Sizes, new_model, new_model_in_memory};
use super::model_files::{CONFIG, README};

/// A new model with its tokenizer, before its weights are made.
#[derive(Clone, Debug)]
pub struct NewModel {
    config: Value,
    /// Its other files, by name.
    companions: Vec<(&'static str, String)>,
}

impl NewModel {
    /// A model of these sizes, except that the vocabulary is the tokenizer's, which is given as the
    /// text of its `tokenizer.json`.
    ///
    /// # Errors
    /// Those of the tokenizer, and of sizes that do not fit together; [`Error::Input`] for a tokenizer
    /// without tokens, and for a size that the family does not have.
    pub fn new(sizes: Sizes, tokenizer: String) -> Result<Self> {
        sizes.check()?;
        let own = Tokenizer::from_json_text(Path::new("tokenizer.json"), &tokenizer)?;
        let vocab = own.vocab_size();
        if vocab == 0 {
            return Err(Error::Input("the data holds no text to learn from".to_owned()));
        }
        let (begin, end) = (own.opening().first().copied(), own.end_of_text());
        let mut config = Sizes { vocab, ..sizes }.config(end);
        if begin.is_some() {
            config["bos_token_id"] = begin.into();
        }
        let name = |id: Option<u32>| id.and_then(|id| own.token(id));
        // The class keeps other programs from assuming the tokenizer of the model's family, and blanks
        // before punctuation are part of a text.
        let mut beside = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": false,
            "model_max_length": sizes.context,
        });
        for (field, token) in [("bos_token", name(begin)), ("eos_token", name(end))] {
            if let Some(token) = token {
                beside[field] = token.into();
            }
        }
        let beside = format!("{beside:#}\n");
        let readme = attention_only::readme(&config).map(|text| (README, text));
        let files = [(CONFIG.to_owned(), config.to_string().into_bytes())];
        TensorLayout::from_files(&Files::in_memory("a new model", files), CONFIG)?;
        let companions = [("tokenizer.json", tokenizer), ("tokenizer_config.json", beside)];
        Ok(Self { config, companions: companions.into_iter().chain(readme).collect() })
    }

    /// Makes a folder with the model, as [`new_model`] does; it exists complete or not at all.
    ///
    /// # Errors
    /// As [`new_model`].
    pub fn write(&self, folder: &Path, seed: u64) -> Result<()> {
        let half = beside(folder)?;
        for (name, text) in &self.companions {
            let path = half.join(name);
            atomic_file::write_own(&path, text.as_bytes()).map_err(|e| Error::io(&path, e))?;
        }
        new_model(&half, &self.config, seed)?;
        into_place(&half, folder)
    }

    /// The files of the model in memory.
    ///
    /// # Errors
    /// As [`new_model_in_memory`].
    pub fn in_memory(self, seed: u64) -> Result<Files> {
        let bytes = self.companions.into_iter();
        let bytes = bytes.map(|(name, text)| (name.to_owned(), text.into_bytes()));
        new_model_in_memory(&self.config, seed, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::init::Family;
    use super::super::model_files::ModelFiles;
    use super::*;
    use crate::checkpoint::{Checkpoint, SpecialToken};
    use crate::format::Format;
    use crate::tokenizer::{Encode, Kind, Training, train_text};

    #[test]
    fn a_new_model_fits_its_tokenizer() {
        let special = vec!["<|endoftext|>".to_owned()];
        let training = Training { kind: Kind::Characters, special };
        let tokenizer = train_text("to be or not to be", &training).unwrap();
        let sizes = Sizes { layers: 1, heads: 1, width: 8, context: 4, ..Sizes::default() };
        let new = NewModel::new(sizes, tokenizer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        new.write(folder.path(), 7).unwrap();
        let files = new.in_memory(7).unwrap();
        for name in files.names().unwrap() {
            let on_disk = std::fs::read(folder.path().join(&name)).unwrap();
            if name != CONFIG {
                assert!(files.bytes(&name, u64::MAX).unwrap() == on_disk, "{name}");
            }
        }
        let checkpoint = Checkpoint::open_files(files).unwrap();
        let own = Tokenizer::from_checkpoint(&checkpoint).unwrap().unwrap();
        assert_eq!(checkpoint.config().vocab, own.vocab_size());
        assert_eq!(checkpoint.config().eos, [own.id("<|endoftext|>").unwrap()]);
        assert_eq!(Checkpoint::open(folder.path()).unwrap().config(), checkpoint.config());
        let special = checkpoint.special_tokens().unwrap();
        assert_eq!(special.eos, Some(SpecialToken::Text("<|endoftext|>".to_owned())));
        assert_eq!(special.bos, None);
        // A folder that says it by the id only is exported with the name.
        std::fs::remove_file(folder.path().join("tokenizer_config.json")).unwrap();
        let older = ModelFiles::of(&Checkpoint::open(folder.path()).unwrap()).unwrap();
        let files = older.files(Format::F32).unwrap();
        let named = files.iter().find(|file| file.0 == "tokenizer_config.json").unwrap();
        let named: Value = serde_json::from_slice(&named.1).unwrap();
        assert_eq!(named, json!({"eos_token": "<|endoftext|>"}));
    }

    #[test]
    fn an_attention_only_model_has_an_architecture_of_its_own() {
        let training = Training { kind: Kind::Characters, special: Vec::new() };
        let tokenizer = train_text("abc", &training).unwrap();
        let family = Family::Gpt2AttnOnly;
        let sizes = Sizes { family, layers: 1, heads: 1, width: 8, context: 4, ..Sizes::default() };
        let files = NewModel::new(sizes, tokenizer).unwrap().in_memory(7).unwrap();
        let config: Value = serde_json::from_slice(&files.bytes(CONFIG, 1 << 20).unwrap()).unwrap();
        assert_eq!(config["architectures"], json!(["PellucidAttentionOnlyForCausalLM"]));
        assert_eq!(config["model_type"], "pellucid-attention-only");
        let readme = String::from_utf8(files.bytes(README, 1 << 20).unwrap()).unwrap();
        assert!(readme.contains("transformers has no such architecture"), "{readme}");
        let checkpoint = Checkpoint::open_files(files).unwrap();
        assert_eq!(checkpoint.config().mlp, crate::config::Mlp::None);
        assert_eq!(checkpoint.config().architecture, "gpt2");
        // An older folder is exported under the name too.
        let mut older = config;
        older["architectures"] = json!(["GPT2LMHeadModel"]);
        older["model_type"] = json!("gpt2");
        let older = Checkpoint::open_files(new_model_in_memory(&older, 7, []).unwrap()).unwrap();
        let files = ModelFiles::of(&older).unwrap();
        let exported = files.files(Format::F32).unwrap();
        let file = |name: &str| exported.iter().find(|file| file.0 == name).unwrap().1.clone();
        let config: Value = serde_json::from_slice(&file(CONFIG)).unwrap();
        assert_eq!(config["model_type"], "pellucid-attention-only");
        assert_eq!(config["architectures"], json!(["PellucidAttentionOnlyForCausalLM"]));
        assert_eq!(file(README), readme.as_bytes());
    }

    #[test]
    fn sizes_that_a_family_does_not_have_are_refused() {
        let training = Training { kind: Kind::Characters, special: Vec::new() };
        let tokenizer = train_text("abc", &training).unwrap();
        let sizes = Sizes { layers: 1, heads: 2, width: 8, context: 4, ..Sizes::default() };
        let attention = Sizes { family: Family::Gpt2AttnOnly, ..sizes };
        for (sizes, words) in [
            (Sizes { kv_heads: Some(1), ..sizes }, "key/value heads"),
            (Sizes { kv_heads: Some(2), ..attention }, "key/value heads"),
            (Sizes { hidden: Some(8), ..attention }, "no MLP"),
            (Sizes { hidden: Some(0), ..sizes }, "without MLPs"),
        ] {
            let error = NewModel::new(sizes, tokenizer.clone()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let llama = Sizes { family: Family::Llama, kv_heads: Some(1), hidden: Some(8), ..sizes };
        assert!(NewModel::new(llama, tokenizer).is_ok());
    }

    /// GPT-2's class of tokenizers has an end token even if no file names it; ours is none of these.
    #[test]
    fn a_new_model_reads_its_text_with_the_tokenizer_that_it_was_given() {
        let text = "ab <|endoftext|>";
        let given = Training { kind: Kind::Characters, special: Vec::new() };
        let given = train_text(text, &given).unwrap();
        let sizes = Sizes { layers: 1, heads: 1, width: 8, context: 8, ..Sizes::default() };
        let files = NewModel::new(sizes, given).unwrap().in_memory(1).unwrap();
        let checkpoint = Checkpoint::open_files(files).unwrap();
        let tokenizer = Tokenizer::from_checkpoint(&checkpoint).unwrap().unwrap();
        assert_eq!(tokenizer.vocab_size(), checkpoint.config().vocab);
        let ids = tokenizer.encode(text, Encode::default()).unwrap();
        assert_eq!(ids.len(), text.len());
    }
}
