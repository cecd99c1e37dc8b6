//! Ctrl-C, and the signals by which a system or a closed terminal asks for an end: during generation
//! or training what was made is kept; otherwise, or asked twice, the program ends at once.

use std::process::ExitCode;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use pellucid::{Error, Result};

/// What a shell says of a program that a signal ended: this and the number of the signal.
const BY_SIGNAL: u8 = 128;

/// The number of the signal that Ctrl-C sends.
const CTRL_C: u8 = 2;

/// Milliseconds in which a second signal is the same request: a terminal that closes and the shell in
/// it both send one.
const SAME_REQUEST: u64 = 500;

static DRAWING: AtomicBool = AtomicBool::new(false);

/// When an end was first asked for, in milliseconds since [`START`]; 0 if it was not.
static ASKED: AtomicU64 = AtomicU64::new(0);

/// The signal that asked for it.
static SIGNAL: AtomicU8 = AtomicU8::new(CTRL_C);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The exit code of an interrupted program: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.
pub(crate) fn exit_code() -> ExitCode {
    ExitCode::from(BY_SIGNAL + SIGNAL.load(SeqCst))
}

/// Whether whoever asked for an end meant the whole program. Ctrl-C means what is being done.
pub(crate) fn ends_the_program() -> bool {
    SIGNAL.load(SeqCst) != CTRL_C
}

/// What happens when a signal arrives.
fn arrived(signal: u8) {
    let now = (START.elapsed().as_millis() as u64).max(1);
    let first = ASKED.compare_exchange(0, now, SeqCst, SeqCst);
    let again = first.is_err_and(|first| now.saturating_sub(first) > SAME_REQUEST);
    // What asks for more counts: the shell's signal may come before the terminal's.
    if first.is_ok() || signal != CTRL_C {
        SIGNAL.store(signal, SeqCst);
    }
    if !DRAWING.load(SeqCst) || again {
        std::process::exit((BY_SIGNAL + signal).into());
    }
}

/// Waits for signals on a thread of its own. They are blocked on this one, and so on all that it will
/// start: it must be called before any other thread is started. A signal that whoever started the
/// program has it ignore, as `nohup` does with the end of the terminal, stays ignored.
///
/// # Errors
/// [`Error::Input`] if the system refuses it.
#[cfg(unix)]
pub(crate) fn listen() -> Result<()> {
    use nix::sys::signal::{SigSet, Signal};

    LazyLock::force(&START);
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    if !ignores_hangup() {
        signals.add(Signal::SIGHUP);
    }
    signals.thread_block().map_err(|error| refused(&error))?;
    let wait = move || {
        while let Ok(signal) = signals.wait() {
            arrived(signal as i32 as u8);
        }
    };
    let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(wait);
    thread.map(drop).map_err(|error| refused(&error))
}

/// Whether whoever started the program has it outlive the terminal.
#[cfg(unix)]
#[allow(unsafe_code, reason = "the handler that is put back is none of ours")]
fn ignores_hangup() -> bool {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: neither ignoring a signal nor its default runs code in a handler.
    unsafe {
        let before = signal(Signal::SIGHUP, SigHandler::SigIgn);
        if matches!(before, Ok(SigHandler::SigIgn)) {
            return true;
        }
        let _ = signal(Signal::SIGHUP, SigHandler::SigDfl);
    }
    false
}

/// Installs the handler of Ctrl-C, and of a console that is closed, which Windows does not tell apart.
///
/// # Errors
/// [`Error::Input`] if the system refuses it.
#[cfg(not(unix))]
pub(crate) fn listen() -> Result<()> {
    LazyLock::force(&START);
    ctrlc::set_handler(|| arrived(CTRL_C)).map_err(|error| refused(&error))
}

fn refused(error: &dyn std::fmt::Display) -> Error {
    Error::Input(format!("cannot handle Ctrl-C: {error}"))
}

/// A stretch of time in which such a signal only asks for an end.
#[derive(Debug)]
pub(crate) struct Stretch(());

impl Stretch {
    pub(crate) fn begin() -> Self {
        ASKED.store(0, SeqCst);
        SIGNAL.store(CTRL_C, SeqCst);
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
