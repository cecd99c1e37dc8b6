//! How much a tokenizer's steps may make of a text: a file from a stranger must not fill the
//! memory.

use std::cell::Cell;

/// The most steps of a normaliser, of a pre-tokenizer or of a decoder.
pub(super) const STEPS: usize = 64;

/// How many times its length a text may become. The worst of real steps are NFKC, which makes
/// eleven bytes of one, and a byte-level alphabet, which doubles them.
pub(super) const TIMES: usize = 24;

/// What a short text may gain on top.
const SPARE: usize = 1024;

/// The bytes that a text may still gain.
#[derive(Debug)]
pub(super) struct Growth {
    most: usize,
    left: Cell<usize>,
}

impl Growth {
    /// For a text of `length` bytes.
    pub(super) fn of(length: usize) -> Self {
        let most = length.saturating_mul(TIMES - 1).saturating_add(SPARE);
        Self { most, left: Cell::new(most) }
    }

    /// Takes what a step adds when it makes `after` bytes of `before`.
    ///
    /// # Errors
    /// That the step makes too much of the text, with its name.
    pub(super) fn allow(
        &self,
        before: usize,
        after: usize,
        name: impl Fn() -> String,
    ) -> tokenizers::Result<()> {
        let more = after.saturating_sub(before);
        match self.left.get().checked_sub(more) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => {
                let (name, most) = (name(), self.most);
                let reason = "more than this text may gain";
                Err(format!("{name} adds {more} bytes, {reason} ({most} in all steps)").into())
            }
        }
    }
}
