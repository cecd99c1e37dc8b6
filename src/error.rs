//! One error for the whole library: a variant for each way in which things fail.
//!
//! Every message names the file, tensor, setting or device at fault. What may help is a list of
//! [`Remedy`]: the library knows no command line and no web page, so each front end puts them into
//! words.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The most characters of a fault that is told: names in files may be of any length.
pub const LONGEST_FAULT: usize = 4000;

/// What went wrong, in words that a user can act on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing a file failed.
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file says something that cannot be true.
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// One tensor of a file is missing or invalid.
    Tensor {
        /// The file, or the folder that should hold the tensor.
        path: PathBuf,
        /// The tensor's name in that file.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is valid, but Pellucid cannot run it.
    Unsupported {
        /// What was asked for.
        what: String,
        /// What is supported instead.
        supported: String,
    },
    /// An operation was given tensors whose shapes do not fit.
    Shape {
        /// The operation.
        op: &'static str,
        /// Which tensor is at fault, with both shapes.
        reason: String,
    },
    /// An argument of the caller is out of range or contradicts another.
    Input(String),
    /// More tokens were requested than the context holds.
    Context {
        /// Tokens requested.
        asked: usize,
        /// Tokens that fit.
        limit: usize,
    },
    /// No adapter fits the request.
    Adapter {
        /// What was asked for, and what there is.
        reason: String,
        /// What may help.
        remedies: Vec<Remedy>,
    },
    /// The device failed during a computation.
    Device(String),
    /// Kernels that every device should run give wrong results on this one.
    Wrong {
        /// The adapter.
        adapter: String,
        /// The kernels, in the variants that failed.
        kernels: Vec<String>,
        /// How the first of them differs from the reference.
        reason: String,
    },
    /// The device was lost: reset by a watchdog, unplugged, or released. Another one may be opened.
    Lost(String),
    /// A loss or a gradient is infinite or NaN.
    Diverged {
        /// The step, counted from 1.
        step: u64,
        /// The loss before it, or that of the validation data after it if that is not finite.
        loss: f64,
        /// The first parameter whose gradient is not finite, if there is one.
        tensor: Option<String>,
    },
    /// The logits that a token would be drawn from are infinite or NaN.
    NotFinite {
        /// How many tokens they follow.
        tokens: usize,
        /// The first of the values before them that are at fault, in words: "those of layer 3".
        first: String,
        /// What may help.
        remedies: Vec<Remedy>,
    },
    /// Something exceeds the memory or the limits of the adapter.
    Memory {
        /// What is needed, and what there is.
        reason: String,
        /// What would need less.
        remedies: Vec<Remedy>,
    },
}

/// What the user of a program may do about an error.
///
/// [`Display`](fmt::Display) words it for programmers. A front end matches on it without a wildcard
/// and names its own options instead; [`Error::message`] appends its words to the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Give a shorter text.
    ShorterText,
    /// Ask for a longer context.
    LongerContext,
    /// Ask for a shorter context.
    ShorterContext {
        /// The longest that would fit, in tokens, if known.
        fits: Option<usize>,
    },
    /// Store keys and values as f16.
    CacheF16,
    /// Store keys and values as f32.
    CacheF32,
    /// Store the weights as `Q4_0`.
    WeightsQ4 {
        /// The bytes that they would then take.
        bytes: u64,
    },
    /// Use less memory in any way that the program offers: a shorter context, smaller formats, a
    /// smaller batch.
    LessMemory,
    /// Run fewer sequences at once.
    FewerSequences,
    /// Ask for fewer named values at once.
    FewerValues,
    /// Train on a smaller batch, and accumulate gradients over more of them.
    SmallerBatch,
    /// Train by stochastic gradient descent, which keeps no moments.
    PlainDescent,
    /// Take a smaller model.
    SmallerModel,
    /// Lower the learning rate.
    LowerRate,
    /// Warm the learning rate up over more steps.
    LongerWarmup,
    /// Limit the norm of the gradients to 1.
    ClipGradients,
    /// Run again.
    RunAgain,
    /// Run the reference on the CPU.
    OnCpu,
    /// Look for OpenGL adapters too, which are left out if there are others.
    OpenGl,
    /// Install a driver.
    InstallDriver,
    /// Update the driver.
    UpdateDriver,
    /// Choose another adapter.
    OtherAdapter,
}

impl Error {
    /// Wraps an operating-system error with the file it concerns.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { path: path.as_ref().into(), source }
    }

    /// A file that says something that cannot be true.
    pub fn file(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::File { path: path.as_ref().into(), reason: reason.into() }
    }

    /// A tensor that is missing or invalid.
    pub fn tensor(
        path: impl AsRef<Path>,
        tensor: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self::Tensor { path: path.as_ref().into(), tensor: tensor.into(), reason: reason.into() }
    }

    /// Something that is valid but that Pellucid does not run.
    pub fn unsupported(what: impl Into<String>, supported: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into(), supported: supported.into() }
    }

    /// Something that does not fit, and what would need less.
    pub fn memory(reason: impl Into<String>, remedies: impl Into<Vec<Remedy>>) -> Self {
        Self::Memory { reason: reason.into(), remedies: remedies.into() }
    }

    /// An adapter that does not exist or cannot be used, and what may help.
    pub fn adapter(reason: impl Into<String>, remedies: impl Into<Vec<Remedy>>) -> Self {
        Self::Adapter { reason: reason.into(), remedies: remedies.into() }
    }

    /// What may help, the best first.
    pub fn remedies(&self) -> &[Remedy] {
        match self {
            Self::Adapter { remedies, .. }
            | Self::Memory { remedies, .. }
            | Self::NotFinite { remedies, .. } => remedies,
            Self::Wrong { .. } => &[Remedy::UpdateDriver, Remedy::OtherAdapter, Remedy::OnCpu],
            Self::Lost(_) => &[Remedy::RunAgain, Remedy::OnCpu],
            Self::Diverged { .. } => {
                &[Remedy::LowerRate, Remedy::LongerWarmup, Remedy::ClipGradients]
            }
            Self::Context { .. } => &[Remedy::ShorterText, Remedy::LongerContext],
            _ => &[],
        }
    }

    /// The whole sentence: the fault, then each remedy in the words of a front end, as an
    /// instruction such as "lower the context". A fault of over [`LONGEST_FAULT`] characters is told
    /// without its middle.
    pub fn message(&self, words: impl Fn(Remedy) -> String) -> String {
        let mut message = shortened(&self.fault(), LONGEST_FAULT).into_owned();
        let remedies: Vec<String> = self.remedies().iter().map(|remedy| words(*remedy)).collect();
        if let Some((last, before)) = remedies.split_last() {
            message.push_str("; ");
            if !before.is_empty() {
                message.push_str(&before.join(", "));
                message.push_str(if before.len() > 1 { ", or " } else { " or " });
            }
            message.push_str(last);
        }
        message
    }

    /// What is wrong, without remedies.
    pub fn fault(&self) -> String {
        match self {
            Self::Io { path, source } => format!("{}: {source}", path.display()),
            Self::File { path, reason } => format!("{}: {reason}", path.display()),
            Self::Tensor { path, tensor, reason } => {
                format!("{}: tensor {tensor}: {reason}", path.display())
            }
            Self::Unsupported { what, supported } => {
                format!("{what} is not supported; supported: {supported}")
            }
            Self::Shape { op, reason } => format!("{op}: {reason}"),
            Self::Input(reason) | Self::Device(reason) => reason.clone(),
            Self::Adapter { reason, .. } | Self::Memory { reason, .. } => reason.clone(),
            Self::Wrong { adapter, kernels, reason } => format!(
                "{adapter} gives wrong results in kernels that every device should run: {}; {reason}",
                kernels.join(", ")
            ),
            Self::Diverged { step, loss, tensor } => {
                let fault = match tensor {
                    Some(tensor) => format!(": the gradient of {tensor} is not finite"),
                    None if loss.is_finite() => ": the norm of all gradients is not finite".into(),
                    None => String::new(),
                };
                format!("step {step} diverged, with a loss of {loss}{fault}")
            }
            Self::NotFinite { tokens, first, .. } => format!(
                "the logits after {tokens} tokens are infinite or NaN, so there is no next one; the \
                 first values at fault are {first}"
            ),
            Self::Lost(reason) => format!("the device was lost: {reason}"),
            Self::Context { asked, limit } => {
                format!("{asked} tokens do not fit into a context of {limit}")
            }
        }
    }
}

/// At most `most` characters of a text: its beginning and its end, which say what is wrong and what
/// to do about it.
pub fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    let count = text.chars().count();
    if count <= most {
        return text.into();
    }
    let end = most / 4;
    let begin = most - end;
    let at = |index: usize| text.char_indices().nth(index).map_or(text.len(), |(at, _)| at);
    let (first, last) = (&text[..at(begin)], &text[at(count - end)..]);
    format!("{first} [... {} more characters ...] {last}", count - begin - end).into()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message(|remedy| remedy.to_string()))
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::ShorterText => "shorten the text",
            Self::LongerContext => "use a longer context",
            Self::ShorterContext { fits: Some(fits) } => {
                return write!(f, "use a shorter context (at most {fits} fits)");
            }
            Self::ShorterContext { fits: None } => "use a shorter context",
            Self::CacheF16 => "store keys and values as f16",
            Self::CacheF32 => "store keys and values as f32",
            Self::WeightsQ4 { bytes } => {
                return write!(f, "store the weights as q4_0 ({} MiB)", bytes.div_ceil(1 << 20));
            }
            Self::LessMemory => {
                "use less memory: a shorter context, smaller formats or a smaller batch"
            }
            Self::FewerSequences => "run fewer sequences at once",
            Self::FewerValues => "ask for fewer values at once",
            Self::SmallerBatch => "use a smaller batch and accumulate more of them",
            Self::PlainDescent => "train with SGD, which keeps no moments",
            Self::SmallerModel => "use a smaller model",
            Self::LowerRate => "lower the learning rate",
            Self::LongerWarmup => "use a longer warm-up",
            Self::ClipGradients => "clip the gradients to a norm of 1",
            Self::RunAgain => "run again",
            Self::OnCpu => "run the reference on the CPU",
            Self::OpenGl => "include OpenGL's adapters",
            Self::InstallDriver => "install a Vulkan driver",
            Self::UpdateDriver => "update its driver",
            Self::OtherAdapter => "choose another adapter",
        };
        f.write_str(words)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_are_one_list_in_a_front_ends_own_words() {
        let error = |remedies: &[Remedy]| Error::memory("too large", remedies);
        let own = |remedy| match remedy {
            Remedy::CacheF16 => "a".to_owned(),
            other => other.to_string(),
        };
        let [a, b, c] = [Remedy::CacheF16, Remedy::RunAgain, Remedy::SmallerModel];
        assert_eq!(error(&[]).message(own), "too large");
        assert_eq!(error(&[a]).message(own), "too large; a");
        assert_eq!(error(&[a, b]).message(own), "too large; a or run again");
        let all = error(&[a, b, c]);
        assert_eq!(all.message(own), "too large; a, run again, or use a smaller model");
        assert_eq!(
            all.to_string(),
            "too large; store keys and values as f16, run again, or use a smaller model"
        );
    }

    #[test]
    fn messages_say_what_would_fit() {
        let quantize = Remedy::WeightsQ4 { bytes: (150 << 20) - 5 };
        assert_eq!(quantize.to_string(), "store the weights as q4_0 (150 MiB)");
        let shorter = Remedy::ShorterContext { fits: Some(2048) };
        assert_eq!(shorter.to_string(), "use a shorter context (at most 2048 fits)");
        let context = Error::Context { asked: 9, limit: 8 };
        assert_eq!(
            context.to_string(),
            "9 tokens do not fit into a context of 8; shorten the text or use a longer context"
        );
    }

    #[test]
    fn a_long_text_keeps_its_ends() {
        assert_eq!(shortened("abc", 3), "abc");
        let long = format!("first {}; shorten it", "ö".repeat(100_000));
        let short = shortened(&long, 100);
        assert!(short.starts_with("first öö") && short.ends_with("öö; shorten it"), "{short}");
        assert!(short.contains(" [... 99918 more characters ...] "), "{short}");
    }

    #[test]
    fn a_message_ends_whatever_a_file_says() {
        let error = Error::tensor("model.gguf", "x".repeat(1 << 24), "is missing");
        let message = error.to_string();
        assert!(message.chars().count() < LONGEST_FAULT + 50, "{}", message.len());
        assert!(
            message.starts_with("model.gguf: tensor xxx") && message.ends_with("x: is missing")
        );
    }
}
