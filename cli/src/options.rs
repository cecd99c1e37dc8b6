//! The options that several commands share.

use std::cell::{Cell, OnceCell};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use pellucid::checkpoint::Checkpoint;
use pellucid::format::Format;
use pellucid::generate::{self, Llm, Progress};
use pellucid::gpu::AdapterChoice;
use pellucid::ops::CacheFormat;
use pellucid::tokenizer::{Bos, Encode, Special};
use pellucid::{Error, Result};

use crate::hub::{self, Wanted};
use crate::tokenize;

/// Which model to run, on which device, and in which formats.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelOptions {
    /// GGUF file, folder, or owner/name on the Hugging Face Hub [default: the built-in model]
    ///
    /// A folder has Hugging Face's layout: config.json with safetensors. A model on the Hub, such as
    /// openai-community/gpt2, is downloaded once into the cache that other tools share. Its name may
    /// end with the GGUF file or the revision to use: owner/name:file.gguf, owner/name:revision.
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// The model's file or folder, once it is known.
    #[arg(skip)]
    path: OnceCell<PathBuf>,
    /// Whether the adapter and the memory in use were already named.
    #[arg(skip)]
    planned: Cell<bool>,
    /// Context length in tokens, prompt included [default: the model's own, at most 4096]
    #[arg(long, value_name = "N")]
    context: Option<usize>,
    /// Format of the KV cache; f16 takes half the memory
    #[arg(long, value_name = "FORMAT", default_value = "f32")]
    cache_type: CacheType,
    /// Quantize the weights to this format [default: the format of the file]
    #[arg(long, value_name = "FORMAT")]
    quantize: Option<Quantize>,
    #[command(flatten)]
    pub(crate) device: DeviceOptions,
    #[command(flatten)]
    kernels: KernelOptions,
    /// Allow f16 matrix products where `tune --f16` found them faster; less exact
    #[arg(long = "f16", help_heading = "Device")]
    f16: bool,
}

/// The device to run on.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Device")]
pub(crate) struct DeviceOptions {
    /// Graphics API, or `cpu` for the slow reference [default: that of the best GPU]
    #[arg(long)]
    backend: Option<Backend>,
    /// GPU to use: its index, or part of its name, as listed by `pellucid adapters`
    ///
    /// An index counts the adapters of --backend, if that is given.
    #[arg(long, value_name = "NAME-OR-INDEX")]
    adapter: Option<String>,
}

/// Which kernels may run there.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Device")]
pub(crate) struct KernelOptions {
    /// Skip the check of the kernels against the reference
    ///
    /// The kernels that a model needs are checked when it first runs on an adapter, and the result
    /// is kept in the cache folder.
    #[arg(long)]
    pub(crate) no_check: bool,
    /// Ignore the results of `pellucid tune` and use the default kernel variants
    #[arg(long)]
    pub(crate) no_tune: bool,
}

/// The values of `--backend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    Vulkan,
    Metal,
    Dx12,
    Gl,
    Cpu,
}

/// The values of `--cache-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CacheType {
    F32,
    F16,
}

/// The values of `--quantize`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Quantize {
    #[value(name = "q8_0")]
    Q8_0,
    #[value(name = "q4_0")]
    Q4_0,
}

/// How text becomes tokens.
#[derive(Clone, Debug, Args)]
pub(crate) struct TextOptions {
    /// Do not start with a beginning-of-text token, even if the tokenizer adds one
    #[arg(long, help_heading = "Input")]
    no_bos: bool,
    /// Parse the names of special tokens in the text as special tokens
    #[arg(long, help_heading = "Input")]
    special: bool,
}

impl Backend {
    /// The library's name for it; `None` for the reference.
    pub(crate) fn interface(self) -> Option<&'static str> {
        match self {
            Self::Vulkan => Some("vulkan"),
            Self::Metal => Some("metal"),
            Self::Dx12 => Some("dx12"),
            Self::Gl => Some("gl"),
            Self::Cpu => None,
        }
    }
}

impl DeviceOptions {
    /// The requested adapter; `None` for the reference.
    ///
    /// # Errors
    /// [`Error::Input`] for an adapter together with the reference.
    pub(crate) fn choice(&self) -> Result<Option<AdapterChoice>> {
        let interface = match self.backend {
            None => None,
            Some(backend) => match (backend.interface(), &self.adapter) {
                (None, None) => return Ok(None),
                (None, Some(_)) => {
                    let reason = "--adapter names a GPU, but --backend cpu uses none";
                    return Err(Error::Input(reason.to_owned()));
                }
                (interface, _) => interface.map(str::to_owned),
            },
        };
        let adapter = self.adapter.clone();
        Ok(Some(AdapterChoice { backend: interface, adapter, ..AdapterChoice::default() }))
    }

    /// The requested adapter, for commands that need a GPU; `why` ends the sentence "--backend cpu
    /// ..".
    ///
    /// # Errors
    /// As [`DeviceOptions::choice`], and for the reference.
    pub(crate) fn gpu(&self, why: &str) -> Result<AdapterChoice> {
        self.choice()?.ok_or_else(|| Error::Input(format!("--backend cpu {why}")))
    }
}

impl ModelOptions {
    /// Whether f16 products are allowed.
    pub(crate) fn f16(&self) -> bool {
        self.f16
    }

    /// Whether a model is given.
    pub(crate) fn is_given(&self) -> bool {
        self.model.is_some()
    }

    /// Opens the model, downloaded if necessary; the built-in model if none is given.
    ///
    /// # Errors
    /// Those of [`hub::resolve`] and of the file.
    pub(crate) fn checkpoint(&self) -> Result<Checkpoint> {
        let Some(model) = &self.model else { return Checkpoint::built_in() };
        if let Some(path) = self.path.get() {
            return Checkpoint::open(path);
        }
        let path = hub::resolve(model, Wanted::Model)?;
        let checkpoint = match Checkpoint::open(&path) {
            // The cache may hold something else than what was downloaded.
            Err(Error::Io { .. } | Error::File { .. } | Error::Tensor { .. })
                if hub::discard_damaged(model)? =>
            {
                Checkpoint::open(&hub::resolve(model, Wanted::Model)?)?
            }
            opened => opened?,
        };
        self.path.get_or_init(|| path);
        Ok(checkpoint)
    }

    /// Fails for an empty prompt, unless the model's texts begin with a token of their own. Only
    /// the tokenizer is read, so the error comes before the weights are loaded.
    ///
    /// # Errors
    /// [`Error::Input`] for such a prompt, and those of the tokenizer.
    pub(crate) fn check_prompt(&self, text: &str, encode: Encode) -> Result<()> {
        if !text.is_empty() {
            return Ok(());
        }
        let begins = encode.bos != Bos::Never
            && !tokenize::tokenizer(self.model.as_deref())?.encode(text, encode)?.is_empty();
        let empty = || Error::Input("the prompt is empty; give some text".to_owned());
        begins.then_some(()).ok_or_else(empty)
    }

    /// Loads the model, and measures how long that takes.
    ///
    /// # Errors
    /// Those of [`Llm::load`] and [`ModelOptions::checkpoint`].
    pub(crate) async fn load(&self) -> Result<(Llm, Duration)> {
        self.load_with(&self.options()?).await
    }

    /// The same; if only token ids go in, a tokenizer that cannot be read is no obstacle.
    ///
    /// # Errors
    /// As [`ModelOptions::load`].
    pub(crate) async fn load_for(&self, ids_only: bool) -> Result<(Llm, Duration)> {
        self.load_with(&generate::Options { ids_only, ..self.options()? }).await
    }

    /// Loads the model with options other than those of the command line.
    ///
    /// # Errors
    /// As [`ModelOptions::load`].
    pub(crate) async fn load_with(&self, options: &generate::Options) -> Result<(Llm, Duration)> {
        let checkpoint = self.checkpoint()?;
        let start = Instant::now();
        let bar = crate::output::loading_bar();
        let progress = |progress: Progress<'_>| match progress {
            // A command that loads twice names the adapter once.
            Progress::Planned(adapter, fit) if !self.planned.replace(true) => {
                crate::output::planned(adapter, fit);
            }
            Progress::Planned(..) => {}
            Progress::Loaded { done, total } => {
                bar.set_length(total);
                bar.set_position(done);
            }
        };
        let loaded = Llm::open(checkpoint, options, progress).await;
        bar.finish_and_clear();
        let llm = loaded?;
        if llm.adapter().is_none() && (self.quantize.is_some() || self.cache_type != CacheType::F32)
        {
            log::warn!("the reference on the CPU ignores --quantize and --cache-type");
        }
        Ok((llm, start.elapsed()))
    }

    /// The command line's options in the library's types.
    ///
    /// # Errors
    /// As [`DeviceOptions::choice`].
    pub(crate) fn options(&self) -> Result<generate::Options> {
        let backend = match (self.device.choice()?, self.device.backend) {
            (None, _) => generate::Backend::Cpu,
            (Some(choice), None) => generate::Backend::Auto(choice),
            (Some(choice), Some(_)) => generate::Backend::Gpu(choice),
        };
        Ok(generate::Options {
            backend,
            context: self.context,
            sequences: 1,
            cache: match self.cache_type {
                CacheType::F32 => CacheFormat::F32,
                CacheType::F16 => CacheFormat::F16,
            },
            quantize: self.quantize.map(|format| match format {
                Quantize::Q8_0 => Format::Q8_0,
                Quantize::Q4_0 => Format::Q4_0,
            }),
            check: !self.kernels.no_check,
            tuned: !self.kernels.no_tune,
            f16: self.f16,
            ids_only: false,
            storage: None,
        })
    }
}

impl TextOptions {
    /// The command line's options in the library's types.
    pub(crate) fn encode(&self) -> Encode {
        Encode {
            bos: if self.no_bos { Bos::Never } else { Bos::Auto },
            special: if self.special { Special::Recognize } else { Special::AsText },
        }
    }
}

/// The tokens of a text.
///
/// # Errors
/// [`Error::Input`] for a model without a tokenizer, naming the option that needs none.
pub(crate) fn encode(llm: &Llm, text: &str, encode: Encode) -> Result<Vec<u32>> {
    if llm.tokenizer().is_none() {
        let reason = "the model has no tokenizer; give token ids with --tokens";
        return Err(Error::Input(reason.to_owned()));
    }
    llm.encode(text, encode)
}

/// Fails if `asked` is more than the vocabulary.
///
/// # Errors
/// [`Error::Input`], naming the option.
pub(crate) fn check_top(option: &str, asked: Option<usize>, vocab: usize) -> Result<()> {
    match asked {
        Some(k) if k > vocab => {
            Err(Error::Input(format!("{option} {k} is more than the vocabulary's {vocab} tokens")))
        }
        _ => Ok(()),
    }
}

/// A random seed, of few enough bits that every JSON reader keeps them all.
pub(crate) fn seed() -> u64 {
    RandomState::new().build_hasher().finish() >> 11
}
