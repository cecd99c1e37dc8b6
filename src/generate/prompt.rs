//! Reading a prompt without drawing from it.

use crate::error::{Error, Result};
use crate::model::{Reading, Row};

use super::llm::Llm;
use super::runner::Runner;

/// A prompt that is being read, but for its last token; made by [`Llm::read`].
#[derive(Debug)]
pub struct Prompt<'a> {
    llm: &'a mut Llm,
    tokens: Vec<u32>,
    /// None by the reference, which reads a prompt with what is asked of it.
    reading: Option<Reading>,
    /// How many tokens were read before.
    kept: usize,
}

impl Llm {
    /// Begins to read a prompt but for its last token, and for the beginning that was read before: for
    /// those who will want what comes next, and may change their minds before a long one is read.
    ///
    /// # Errors
    /// As [`Llm::stream`].
    pub fn read(&mut self, prompt: &[u32]) -> Result<Prompt<'_>> {
        if prompt.is_empty() {
            return Err(Error::Input("there is no token to read".to_owned()));
        }
        if prompt.len() > self.context() {
            return Err(Error::Context { asked: prompt.len(), limit: self.context() });
        }
        let kept = self.known().shared(prompt);
        let unread = kept..prompt.len() - 1;
        let reading = match self.runner_mut() {
            Runner::Cpu { .. } => None,
            Runner::Gpu(session) => Some(Reading::new(session, rows(prompt)[unread].to_vec())?),
        };
        if reading.is_some() {
            // Should this not be finished, nothing is known of the caches.
            self.remember(Vec::new());
        }
        Ok(Prompt { llm: self, tokens: prompt.to_vec(), reading, kept })
    }
}

impl Prompt<'_> {
    /// Reads on; gives how many tokens' worth of reading is done, or `None` at the end.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails, [`Error::Lost`] where it is lost.
    pub async fn next(&mut self) -> Result<Option<usize>> {
        let (Some(reading), Runner::Gpu(session)) = (&mut self.reading, self.llm.runner_mut())
        else {
            return Ok(None);
        };
        if let Some(read) = reading.next(session).await? {
            return Ok(Some(self.kept + read));
        }
        reading.hand_over(session)?;
        Ok(None)
    }

    /// Ends it, wherever it is; what was read is known from then on.
    ///
    /// # Errors
    /// As [`Prompt::next`].
    pub async fn finish(mut self) -> Result<()> {
        let (Some(reading), Runner::Gpu(session)) = (&mut self.reading, self.llm.runner_mut())
        else {
            return Ok(());
        };
        reading.hear(session).await?;
        self.tokens.truncate(self.tokens.len() - 1 - reading.unread());
        self.llm.remember(self.tokens);
        Ok(())
    }
}

/// The rows of the first sequence's tokens, from position 0 on.
pub(super) fn rows(tokens: &[u32]) -> Vec<Row> {
    let row = |(position, &token)| Row { token, position, sequence: 0, step: 0 };
    (0..).zip(tokens).map(row).collect()
}
