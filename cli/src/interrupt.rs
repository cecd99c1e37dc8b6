//! Ctrl-C, and the signals by which a system or a closed terminal asks for an end: during generation
//! or training what was made is kept; otherwise, or asked twice, the program ends at once.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use pellucid::{Error, Result};

/// The exit code of an interrupted program.
pub(crate) const EXIT_CODE: u8 = 130;

/// Milliseconds in which a second signal is the same request: a terminal that closes and the shell in
/// it both send one.
const SAME_REQUEST: u64 = 500;

static DRAWING: AtomicBool = AtomicBool::new(false);

/// When an end was first asked for, in milliseconds since [`START`]; 0 if it was not.
static ASKED: AtomicU64 = AtomicU64::new(0);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Installs the handler.
///
/// # Errors
/// [`Error::Input`] if the system refuses it.
pub(crate) fn listen() -> Result<()> {
    LazyLock::force(&START);
    let ignored = ignores_hangup();
    let handler = || {
        let now = (START.elapsed().as_millis() as u64).max(1);
        let first = ASKED.compare_exchange(0, now, SeqCst, SeqCst);
        let again = first.is_err_and(|first| now.saturating_sub(first) > SAME_REQUEST);
        if !DRAWING.load(SeqCst) || again {
            std::process::exit(EXIT_CODE.into());
        }
    };
    ctrlc::set_handler(handler)
        .map_err(|error| Error::Input(format!("cannot handle Ctrl-C: {error}")))?;
    if ignored {
        ignore_hangup();
    }
    Ok(())
}

/// Whether whoever started the program has it outlive the terminal, as `nohup` does.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    matches!(ignore_hangup(), Some(nix::sys::signal::SigHandler::SigIgn))
}

/// Ignores the end of the terminal; gives what was done about it before.
#[cfg(unix)]
#[allow(unsafe_code, reason = "the handler that is installed is none of ours")]
fn ignore_hangup() -> Option<nix::sys::signal::SigHandler> {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: ignoring a signal runs no code in a handler.
    unsafe { signal(Signal::SIGHUP, SigHandler::SigIgn) }.ok()
}

#[cfg(not(unix))]
fn ignores_hangup() -> bool {
    false
}

#[cfg(not(unix))]
fn ignore_hangup() {}

/// A stretch of time in which such a signal only asks for an end.
#[derive(Debug)]
pub(crate) struct Stretch(());

impl Stretch {
    pub(crate) fn begin() -> Self {
        ASKED.store(0, SeqCst);
        DRAWING.store(true, SeqCst);
        Self(())
    }

    /// Whether an end was asked for since it began.
    pub(crate) fn is_over(&self) -> bool {
        ASKED.load(SeqCst) > 0
    }
}

impl Drop for Stretch {
    fn drop(&mut self) {
        DRAWING.store(false, SeqCst);
    }
}
