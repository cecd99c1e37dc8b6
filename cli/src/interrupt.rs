//! Ctrl-C: during generation or training it asks for an end, and what was made is kept; otherwise,
//! or pressed twice, it ends the program.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use pellucid::{Error, Result};

/// The exit code of an interrupted program.
pub(crate) const EXIT_CODE: u8 = 130;

static DRAWING: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicBool = AtomicBool::new(false);

/// Installs the handler.
///
/// # Errors
/// [`Error::Input`] if the system refuses it.
pub(crate) fn listen() -> Result<()> {
    let handler = || {
        if !DRAWING.load(SeqCst) || ASKED.swap(true, SeqCst) {
            std::process::exit(EXIT_CODE.into());
        }
    };
    ctrlc::set_handler(handler)
        .map_err(|error| Error::Input(format!("cannot handle Ctrl-C: {error}")))
}

/// A stretch of time in which Ctrl-C only asks for an end.
#[derive(Debug)]
pub(crate) struct Stretch(());

impl Stretch {
    pub(crate) fn begin() -> Self {
        ASKED.store(false, SeqCst);
        DRAWING.store(true, SeqCst);
        Self(())
    }

    /// Whether Ctrl-C was pressed since it began.
    pub(crate) fn is_over(&self) -> bool {
        ASKED.load(SeqCst)
    }
}

impl Drop for Stretch {
    fn drop(&mut self) {
        DRAWING.store(false, SeqCst);
    }
}
