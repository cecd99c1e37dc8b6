//! What a reader ignored, guessed or replaced: never in silence.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Sentences for the user, in the order in which they arose; each once.
#[derive(Debug, Default)]
pub(super) struct Notes(Mutex<Vec<String>>);

impl Notes {
    /// Adds a sentence about a file.
    pub(super) fn add(&self, path: &Path, text: impl AsRef<str>) {
        let note = format!("{}: {}", path.display(), text.as_ref());
        // A panic cannot leave the list in a bad state, so a poisoned lock is still good.
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// All of them.
    pub(super) fn into_sentences(self) -> Vec<String> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
