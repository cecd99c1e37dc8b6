//! How much a tokenizer's steps may make of a text, and how long its expressions may take: a file from
//! a stranger must neither fill the memory nor keep the program busy.

use std::cell::Cell;
use std::time::Duration;

use web_time::Instant;

/// The most steps of a normalizer, of a pre-tokenizer or of a decoder.
pub(super) const STEPS: usize = 64;

/// How many times its length a text may become. The worst of real steps are NFKC, which makes
/// eleven bytes of one, and a byte-level alphabet, which doubles them.
pub(super) const TIMES: usize = 24;

/// What a short text may gain on top.
const SPARE: usize = 1024;

/// How long all expressions of all steps may take for all pieces of a text: a hundred times what the
/// slowest known tokenizer needs.
const TIME: Duration = Duration::from_secs(1);
const TIME_PER_BYTE: Duration = Duration::from_micros(20);

/// The bytes that a text may still gain, and the time that it may still take.
#[derive(Debug)]
pub(super) struct Growth {
    most: usize,
    left: Cell<usize>,
    time: Duration,
    time_left: Cell<Duration>,
}

impl Growth {
    /// For a text of `length` bytes.
    pub(super) fn of(length: usize) -> Self {
        let most = length.saturating_mul(TIMES - 1).saturating_add(SPARE);
        let bytes = u32::try_from(length).unwrap_or(u32::MAX);
        let time = TIME.saturating_add(TIME_PER_BYTE.saturating_mul(bytes));
        Self { most, left: Cell::new(most), time, time_left: Cell::new(time) }
    }

    /// Takes the time since `start`.
    ///
    /// # Errors
    /// That it is more than is left, with the name of what takes it.
    pub(super) fn spend(
        &self,
        start: Instant,
        name: impl FnOnce() -> String,
    ) -> tokenizers::Result<()> {
        match self.time_left.get().checked_sub(start.elapsed()) {
            Some(left) => {
                self.time_left.set(left);
                Ok(())
            }
            None => {
                let (name, most) = (name(), self.time.as_secs_f32());
                Err(format!("{name} takes too long: over {most:.0} s in all steps").into())
            }
        }
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
