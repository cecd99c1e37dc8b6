//! One error for the whole library: a variant for each way in which things fail.
//!
//! Every message names the file, tensor, option or device at fault and, where there is one, the way on.

use std::fmt;
use std::path::{Path, PathBuf};

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in the words a user can act on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a file.
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file says something that cannot be true.
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// One tensor of a file is missing or lies about itself.
    Tensor {
        /// The file, or the folder that should hold the tensor.
        path: PathBuf,
        /// The tensor's name in that file.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is sound, but Pellucid cannot run it.
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
        /// Which tensor or relation is at fault, with both shapes.
        reason: String,
    },
    /// An argument of the caller is out of range or contradicts another.
    Input(String),
    /// More tokens were asked for than the context holds.
    Context {
        /// Tokens asked for.
        asked: usize,
        /// Tokens that fit.
        limit: usize,
    },
    /// No adapter fits the request.
    Adapter(String),
    /// The device failed while working.
    Device(String),
    /// The device has gone: reset by a watchdog, unplugged, or given up. Another may be opened.
    Lost(String),
    /// A loss or a gradient is infinite or not a number.
    Diverged {
        /// The step, counted from 1.
        step: u64,
        /// The loss before it.
        loss: f64,
        /// The first parameter whose gradient is at fault, if any is.
        tensor: Option<String>,
    },
    /// The plan does not fit into the memory or the limits of the adapter.
    Memory(String),
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

    /// A tensor that is missing or lies about itself.
    pub fn tensor(
        path: impl AsRef<Path>,
        tensor: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self::Tensor { path: path.as_ref().into(), tensor: tensor.into(), reason: reason.into() }
    }

    /// Something that is sound but that Pellucid does not run.
    pub fn unsupported(what: impl Into<String>, supported: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into(), supported: supported.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Self::File { path, reason } => write!(f, "{}: {reason}", path.display()),
            Self::Tensor { path, tensor, reason } => {
                write!(f, "{}: tensor {tensor}: {reason}", path.display())
            }
            Self::Unsupported { what, supported } => {
                write!(f, "{what} is not supported; supported: {supported}")
            }
            Self::Shape { op, reason } => write!(f, "{op}: {reason}"),
            Self::Input(reason) | Self::Adapter(reason) | Self::Device(reason) => {
                write!(f, "{reason}")
            }
            Self::Memory(reason) => write!(f, "{reason}"),
            Self::Diverged { step, loss, tensor } => {
                write!(f, "step {step} diverged, with a loss of {loss}: ")?;
                match tensor {
                    Some(tensor) => write!(f, "the gradient of {tensor} is not finite")?,
                    None => write!(f, "the length of all gradients is not finite")?,
                }
                write!(f, "; try a smaller --rate, a longer --warmup or --clip 1")
            }
            Self::Lost(reason) => {
                write!(f, "the device was lost: {reason}; run again, or use --backend cpu")
            }
            Self::Context { asked, limit } => write!(
                f,
                "{asked} tokens do not fit into a context of {limit}; shorten the text or raise --context"
            ),
        }
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
