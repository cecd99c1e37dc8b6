//! Prefill of a prompt without drawing from it, and what the caches hold of it afterwards.

use crate::error::Result;
use crate::model::{Prefill, Session, rows};

/// The tokens of the first sequence whose keys and values are in the caches, from position 0 on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CachedPrompt(Vec<u32>);

impl CachedPrompt {
    pub(super) fn new(tokens: Vec<u32>) -> Self {
        Self(tokens)
    }

    pub(super) fn tokens(&self) -> &[u32] {
        &self.0
    }

    /// How many of a prompt's first tokens need not be read again. Its last one always is: the
    /// first drawn token is predicted from it.
    pub(super) fn shared(&self, prompt: &[u32]) -> usize {
        let alike = self.0.iter().zip(prompt).take_while(|(known, token)| known == token).count();
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
        prefill.submit_rest(session)?;
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
        *self.known = CachedPrompt::new(self.tokens);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::CachedPrompt;

    #[test]
    fn a_prompt_shares_its_beginning_but_never_its_last_token() {
        let known = CachedPrompt::new(vec![1, 2, 3]);
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
}
