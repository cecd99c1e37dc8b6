//! Prefill of a prompt without drawing from it, and what the caches hold of it afterwards.

use serde::{Deserialize, Serialize};

use crate::checkpoint::Hash;
use crate::error::Result;
use crate::hook::Hook;
use crate::model::{Edit, Prefill, Session, rows};

/// The tokens of the first sequence whose keys and values are in the caches, from position 0 on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CachedPrompt {
    tokens: Vec<u32>,
    /// The edits that they were read with.
    edits: EditsMark,
    /// Whether they come from a file.
    pub(super) loaded: bool,
}

/// What tells one list of edits from another; empty for none. That of edits whose effect only the
/// caller knows is like no other, and not like itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EditsMark(String);

/// Where code of the caller's acts.
const FOREIGN: &str = "foreign";

impl EditsMark {
    pub(super) fn of(edits: &[(Hook, Edit)]) -> Self {
        if edits.is_empty() {
            return Self::default();
        }
        if edits.iter().any(|(_, edit)| edit.is_foreign()) {
            return Self(FOREIGN.to_owned());
        }
        let mut hash = Hash::default();
        // Rust writes different numbers differently.
        hash.add(format!("{edits:?}").as_bytes());
        Self(format!("{:016x}", hash.value()))
    }

    /// Whether the edits of both do the same.
    pub(super) fn same(&self, other: &Self) -> bool {
        self == other && self.0 != FOREIGN
    }
}

impl CachedPrompt {
    pub(super) fn new(tokens: Vec<u32>, edits: EditsMark) -> Self {
        Self { tokens, edits, loaded: false }
    }

    pub(super) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The edits that the tokens were read with.
    pub(super) fn edits(&self) -> &EditsMark {
        &self.edits
    }

    /// How many of a prompt's first tokens need not be read again. Its last one always is: the
    /// first drawn token is predicted from it.
    pub(super) fn shared(&self, prompt: &[u32]) -> usize {
        let both = self.tokens.iter().zip(prompt);
        let alike = both.take_while(|(known, token)| known == token).count();
        alike.min(prompt.len().saturating_sub(1))
    }
}

/// A prompt that is being read, up to its last token; made by [`Llm::read`](super::Llm::read).
#[derive(Debug)]
pub struct Prompt<'a> {
    known: &'a mut CachedPrompt,
    tokens: Vec<u32>,
    /// `None` on the reference, which reads a prompt when something is asked about it.
    prefill: Option<(Prefill, &'a mut Session)>,
    /// How many tokens were already in the caches.
    kept: usize,
}

impl<'a> Prompt<'a> {
    /// Starts to read a non-empty prompt in a session whose caches hold what is `known`.
    pub(super) fn new(
        session: Option<&'a mut Session>,
        known: &'a mut CachedPrompt,
        tokens: &[u32],
    ) -> Result<Self> {
        let kept = known.shared(tokens);
        let prefill = match session {
            None => None,
            Some(session) => {
                let unread = rows(tokens, 0)[kept..tokens.len() - 1].to_vec();
                let prefill = Prefill::new(session, unread)?;
                // If this is not finished, nothing is known about the caches.
                *known = CachedPrompt::default();
                Some((prefill, session))
            }
        };
        Ok(Self { known, tokens: tokens.to_vec(), prefill, kept })
    }

    /// Reads the next piece; gives how many tokens' worth of reading is done, or `None` at the end.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the device fails,
    /// [`Error::Lost`](crate::Error::Lost) where it is lost.
    pub async fn next(&mut self) -> Result<Option<usize>> {
        let Some((prefill, session)) = &mut self.prefill else { return Ok(None) };
        if let Some(read) = prefill.next(session).await? {
            return Ok(Some(self.kept + read));
        }
        prefill.submit_rest(session).await?;
        Ok(None)
    }

    /// Ends the reading, wherever it is; the caches keep what was read.
    ///
    /// # Errors
    /// As [`Prompt::next`].
    pub async fn finish(mut self) -> Result<()> {
        let Some((prefill, session)) = &mut self.prefill else { return Ok(()) };
        prefill.poll(session).await?;
        self.tokens.truncate(self.tokens.len() - 1 - prefill.unread());
        // A prompt is read without edits.
        *self.known = CachedPrompt::new(self.tokens, EditsMark::default());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{CachedPrompt, EditsMark};
    use crate::hook::Hook;
    use crate::model::{Change, Edit, HookFn};

    #[test]
    fn a_prompt_shares_its_beginning_but_never_its_last_token() {
        let known = CachedPrompt::new(vec![1, 2, 3], EditsMark::default());
        for (prompt, shared) in [
            (&[1, 2, 3, 4][..], 3),
            (&[1, 2, 3], 2),
            (&[1, 2], 1),
            (&[1, 5, 3, 4], 1),
            (&[5, 2, 3], 0),
            (&[1], 0),
            (&[], 0),
        ] {
            assert_eq!(known.shared(prompt), shared, "{prompt:?}");
        }
        assert_eq!(CachedPrompt::default().shared(&[1, 2]), 0);
    }

    #[test]
    fn edits_are_told_apart_by_what_they_do() {
        let scaled = |factor| vec![(Hook::ResidPre(1), Edit::all(Change::Scale(factor)))];
        let mark = EditsMark::of(&scaled(0.1));
        assert_eq!(mark, EditsMark::of(&scaled(0.1)));
        assert_ne!(mark, EditsMark::of(&scaled(0.1 + f32::EPSILON / 8.0)));
        assert_ne!(mark, EditsMark::of(&[]));
        assert_eq!(EditsMark::of(&[]), EditsMark::default());
        assert!(mark.same(&EditsMark::of(&scaled(0.1))));
        // A function may do something else the next time.
        let called = vec![(Hook::Embed, Edit::all(Change::Call(HookFn::new(|_| Ok(())))))];
        assert!(!EditsMark::of(&called).same(&EditsMark::of(&called)));
    }
}
