//! Ctrl-C: while a text is drawn it ends the text, which is kept; else, or pressed twice, the program.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use pellucid::{Error, Result};

/// The code by which shells know that a program was interrupted.
pub(crate) const EXIT_CODE: u8 = 130;

static DRAWING: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C do so from now on.
///
/// # Errors
/// [`Error::Input`] where the system lets nobody hear of it.
pub(crate) fn listen() -> Result<()> {
    let heard = || {
        if !DRAWING.load(SeqCst) || ASKED.swap(true, SeqCst) {
            std::process::exit(EXIT_CODE.into());
        }
    };
    ctrlc::set_handler(heard)
        .map_err(|error| Error::Input(format!("Ctrl-C cannot be heard: {error}")))
}

/// A stretch in which Ctrl-C only asks for an end.
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
