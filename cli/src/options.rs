//! The options that commands share, and the reading of what they are to work on.

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

/// Which model, where it runs, and how it is stored there.
#[derive(Clone, Debug, Args)]
pub(crate) struct ModelOptions {
    /// A GGUF file, a folder in Hugging Face's layout, or a model of the hub: owner/name, with
    /// :file.gguf or :revision where one must be named [default: the small model that is built in]
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// The model's file or folder, once it is known.
    #[arg(skip)]
    path: OnceCell<PathBuf>,
    /// Whether the adapter and the memory in use were already named.
    #[arg(skip)]
    planned: Cell<bool>,
    #[command(flatten)]
    pub(crate) device: DeviceOptions,
    /// Positions of a sequence [default: the smaller of the model's own and 4096]
    #[arg(long, value_name = "N")]
    context: Option<usize>,
    /// How keys and values are stored
    #[arg(long, value_name = "FORMAT", default_value = "f32")]
    cache_type: CacheType,
    /// Store the weights in this format instead of the file's
    #[arg(long, value_name = "FORMAT")]
    quantize: Option<Quantize>,
    /// Do not hold the kernels against the reference at the adapter's first use
    #[arg(long)]
    no_check: bool,
    /// Use the built-in variants, not those that `tune` found to be faster
    #[arg(long)]
    no_tune: bool,
    /// Multiply in half floats where `tune --f16` found that to be faster; less exact
    #[arg(long = "f16")]
    f16: bool,
}

/// Where a model runs.
#[derive(Clone, Debug, Args)]
pub(crate) struct DeviceOptions {
    /// The graphics interface, or the reference on the CPU
    #[arg(long)]
    backend: Option<Backend>,
    /// A part of the adapter's name, or its index, as `adapters` lists them for the same --backend
    #[arg(long, value_name = "NAME-OR-INDEX")]
    adapter: Option<String>,
}

/// The interfaces of `--backend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    Vulkan,
    Metal,
    Dx12,
    Gl,
    Cpu,
}

/// The formats of `--cache-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CacheType {
    F32,
    F16,
}

/// The formats of `--quantize`.
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
    /// Put no beginning-of-text token first, even where the tokenizer asks for one
    #[arg(long)]
    no_bos: bool,
    /// Read the names of special tokens in the text as those tokens
    #[arg(long)]
    special: bool,
}

impl Backend {
    /// The name that the library knows; `None` for the reference.
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
    /// The adapter that is asked for; `None` for the reference.
    ///
    /// # Errors
    /// [`Error::Input`] for an adapter of the reference, which has none.
    pub(crate) fn choice(&self) -> Result<Option<AdapterChoice>> {
        let interface = match self.backend {
            None => None,
            Some(backend) => match (backend.interface(), &self.adapter) {
                (None, None) => return Ok(None),
                (None, Some(_)) => {
                    let reason = "--adapter names a GPU, but --backend cpu runs on none";
                    return Err(Error::Input(reason.to_owned()));
                }
                (interface, _) => interface.map(str::to_owned),
            },
        };
        let adapter = self.adapter.clone();
        Ok(Some(AdapterChoice { backend: interface, adapter, ..AdapterChoice::default() }))
    }

    /// The adapter that is asked for, where nothing else will do; `why` ends the sentence "--backend
    /// cpu ..".
    ///
    /// # Errors
    /// As [`DeviceOptions::choice`], and for the reference.
    pub(crate) fn gpu(&self, why: &str) -> Result<AdapterChoice> {
        self.choice()?.ok_or_else(|| Error::Input(format!("--backend cpu {why}")))
    }
}

impl ModelOptions {
    /// Whether products in half floats are welcome.
    pub(crate) fn f16(&self) -> bool {
        self.f16
    }

    /// Whether a model is given.
    pub(crate) fn is_given(&self) -> bool {
        self.model.is_some()
    }

    /// Opens the model, fetched from the hub if need be; without one, that which is built in.
    ///
    /// # Errors
    /// Those of [`hub::resolve`] and of the file.
    pub(crate) fn checkpoint(&self) -> Result<Checkpoint> {
        let Some(model) = &self.model else { return Checkpoint::built_in() };
        if let Some(path) = self.path.get() {
            return Checkpoint::open(path);
        }
        let path = hub::resolve(model, Wanted::Model)?;
        Checkpoint::open(self.path.get_or_init(|| path))
    }

    /// Fails for an empty prompt, unless the model's texts begin with a token of their own. Of the
    /// model only the tokenizer is read, so that nobody waits for weights first.
    ///
    /// # Errors
    /// [`Error::Input`] for such a prompt, and those of the tokenizer.
    pub(crate) fn check_prompt(&self, text: &str, encode: Encode) -> Result<()> {
        if !text.is_empty() {
            return Ok(());
        }
        let begins = encode.bos != Bos::Never
            && !tokenize::tokenizer(self.model.as_deref())?.encode(text, encode)?.is_empty();
        let empty = || Error::Input("the prompt is empty: give some text to continue".to_owned());
        begins.then_some(()).ok_or_else(empty)
    }

    /// Loads the model; also says how long that took.
    ///
    /// # Errors
    /// Those of [`Llm::load`] and [`ModelOptions::checkpoint`].
    pub(crate) async fn load(&self) -> Result<(Llm, Duration)> {
        self.load_with(&self.options()?).await
    }

    /// Loads the model with other options than those that the command line gives.
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
            log::warn!("the reference on the CPU heeds neither --quantize nor --cache-type");
        }
        Ok((llm, start.elapsed()))
    }

    /// What the command line says, in the library's words.
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
            check: !self.no_check,
            tuned: !self.no_tune,
            f16: self.f16,
            storage: None,
        })
    }
}

impl TextOptions {
    /// What the command line says, in the library's words.
    pub(crate) fn encode(&self) -> Encode {
        Encode {
            bos: if self.no_bos { Bos::Never } else { Bos::Auto },
            special: if self.special { Special::Recognise } else { Special::AsText },
        }
    }
}

/// The tokens of a text.
///
/// # Errors
/// [`Error::Input`] for a model without a tokenizer, naming the option that does without.
pub(crate) fn encode(llm: &Llm, text: &str, encode: Encode) -> Result<Vec<u32>> {
    if llm.tokenizer().is_none() {
        let reason = "the model has no tokenizer; give token ids with --tokens";
        return Err(Error::Input(reason.to_owned()));
    }
    llm.encode(text, encode)
}

/// Fails where more most probable tokens are asked for than there are tokens.
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

/// A seed from the system's randomness; few enough bits that every reader of JSON keeps them all.
pub(crate) fn seed() -> u64 {
    RandomState::new().build_hasher().finish() >> 11
}
