//! How likely texts and tokens are.

use crate::error::Result;
use crate::hook::Hook;
use crate::model::Edit;
use crate::sampling::Sampling;

use super::distribution::{Chance, chances};
use super::llm::Llm;
use super::prompt::{CachedPrompt, EditsMark};
use super::score::{self, Score};

impl Llm {
    /// ln p of each token of a text, and of the `top` most probable tokens after each.
    ///
    /// A text longer than the context is scored in windows of that length, half of it apart.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) for no token or ids outside the vocabulary, [`Error::Device`](crate::Error::Device) if the device
    /// fails.
    pub async fn score(&mut self, tokens: &[u32], top: Option<usize>) -> Result<Score> {
        self.score_edited(tokens, top, &[]).await
    }

    /// The same with changes of named values; the positions of an edit count from the start of each
    /// window.
    ///
    /// # Errors
    /// As [`Llm::score`], and [`Error::Input`](crate::Error::Input) for an edit that does not fit the model.
    pub async fn score_edited(
        &mut self,
        tokens: &[u32],
        top: Option<usize>,
        edits: &[(Hook, Edit)],
    ) -> Result<Score> {
        let top = top.map(|k| self.most_probable(k)).transpose()?;
        self.start_over(edits)?;
        score::score(&mut self.runner, tokens, top).await
    }

    /// How likely each token of the vocabulary is to follow these, the most probable first, before and
    /// after the sampling settings: the numbers behind a draw.
    ///
    /// # Errors
    /// As [`Llm::stream`](Llm::stream).
    pub async fn distribution(
        &mut self,
        tokens: &[u32],
        sampling: &Sampling,
    ) -> Result<Vec<Chance>> {
        sampling.check()?;
        let mut prompt = self.read(tokens)?;
        while prompt.next().await?.is_some() {}
        prompt.finish().await?;
        let read = self.known.shared(tokens);
        let known = |tokens: &[u32]| CachedPrompt::new(tokens.to_vec(), EditsMark::default());
        self.known = known(&tokens[..read]);
        let logits = self.runner.logits(tokens, read).await?;
        if !logits.iter().all(|logit| logit.is_finite()) {
            self.known = CachedPrompt::default();
            return Err(self.runner.not_finite(tokens).await);
        }
        self.known = known(tokens);
        let mut counts = vec![0; self.config().vocab];
        tokens.iter().for_each(|token| counts[*token as usize] += 1);
        Ok(chances(&logits, &counts, sampling))
    }
}
