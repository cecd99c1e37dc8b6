//! One text being continued, token by token.

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::ops::UNDRAWN;

use super::decode::Decoder;
use super::options::Options;
use super::prompt::{CachedPrompt, EditsMark};
use super::request::{Event, Generation, Piece, Request};
use super::runner::{Decoding, Runner};
use super::tail::Tail;

/// A generation under way; made by [`Llm::stream`](super::Llm::stream).
#[derive(Debug)]
pub struct Stream<'a> {
    pub(super) decoding: Decoding<'a>,
    pub(super) tail: Tail,
    pub(super) known: &'a mut CachedPrompt,
    pub(super) prompt: Vec<u32>,
    pub(super) request: Request,
    /// How many most probable tokens are given.
    pub(super) logprobs: Option<usize>,
    pub(super) reused: usize,
    /// What is opened again if the device is lost, and with which options.
    pub(super) source: (&'a Checkpoint, &'a Options),
    /// A device that is lost twice in one generation is not worth a third try.
    pub(super) revived: bool,
}

impl Stream<'_> {
    /// What happens next: the prompt is read a piece of the work at a time, then a token is drawn;
    /// `None` when the generation has ended.
    ///
    /// # Errors
    /// As [`Stream::next`].
    pub async fn event(&mut self) -> Result<Option<Event>> {
        let total = self.prompt.len();
        match self.read_prompt().await? {
            Some(done) => Ok(Some(Event::Prefill { done, total })),
            None => Ok(self.next().await?.map(Event::Token)),
        }
    }

    /// Reads the next piece of a long prompt; gives how many tokens' worth of it is done, or `None` if
    /// nothing more has to be waited for before the first token. [`Stream::next`] does this by itself;
    /// this is for callers that show progress or may want to stop.
    ///
    /// # Errors
    /// As [`Stream::next`].
    pub async fn read_prompt(&mut self) -> Result<Option<usize>> {
        let read = match self.decoding.read().await {
            Err(Error::Lost(reason)) if !self.revived => {
                self.revive(&reason).await?;
                return Ok(Some(0));
            }
            read => read?,
        };
        let kept = if self.revived { 0 } else { self.reused };
        Ok(read.map(|read| kept + read))
    }

    /// The next token, or `None` when the generation has ended.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails, [`Error::NotFinite`] if the logits are infinite or NaN.
    /// A lost device is opened again, once; after that the error is [`Error::Lost`].
    pub async fn next(&mut self) -> Result<Option<Piece>> {
        if self.tail.finish.is_some() {
            return Ok(None);
        }
        let wanted = self.tail.limit();
        let step = match self.decoding.next(wanted).await {
            Err(Error::Lost(reason)) if !self.revived => {
                self.revive(&reason).await?;
                self.decoding.next(wanted).await?
            }
            step => step?,
        };
        let Some(step) = step else { return Ok(None) };
        if step.ids[0] == UNDRAWN {
            let so_far = [&*self.prompt, self.tail.tokens()].concat();
            return Err(self.decoding.not_finite(&so_far).await);
        }
        let top = step.top.and_then(|rows| rows.into_iter().next());
        Ok(Some(self.tail.push(step.ids[0], top)))
    }

    /// Loses the device on purpose, as a driver reset would: for tests of what happens then.
    pub fn lose_device(&self) {
        if let Decoding::Gpu { session, .. } = &self.decoding {
            session.engine().gpu().destroy();
        }
    }

    /// Continues after the loss of the device: a new one reads the prompt and the text so far again.
    /// The noise of a draw depends on its step, so the text is what it would have been.
    async fn revive(&mut self, reason: &str) -> Result<()> {
        let Decoding::Gpu { session, decoder } = &mut self.decoding else {
            return Err(Error::Lost(reason.to_owned()));
        };
        log::warn!("the device was lost: {reason}; opening it again");
        self.revived = true;
        let (checkpoint, options) = self.source;
        let Runner::Gpu(opened) = Runner::open(checkpoint, options, &mut |_| {}).await? else {
            let reason = "no other device is left";
            return Err(Error::Lost(reason.to_owned()));
        };
        **session = *opened;
        session.set_edits(&self.request.edits)?;
        session.keep(&self.request.keep)?;
        let drawn = self.tail.tokens();
        let so_far = [self.prompt.as_slice(), drawn].concat();
        let sampling = &self.request.sampling;
        **decoder = Decoder::new(session, &[&so_far], 0, drawn.len(), sampling, self.logprobs)?;
        Ok(())
    }

    /// Ends the generation, whether or not it is complete, and gives what there is.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails.
    pub async fn finish(mut self) -> Result<Generation> {
        let (counters, unread) = (self.decoding.counters(), self.decoding.unread());
        let kept =
            if self.request.keep.is_empty() { Vec::new() } else { self.decoding.take_kept() };
        match self.decoding.close().await {
            // What there is was drawn before the loss.
            Err(Error::Lost(_)) => {}
            closed => closed?,
        }
        let mut generation = self.tail.into_generation(counters, self.reused);
        generation.kept = kept;
        // The last drawn token was not read, nor was a prompt's last one if none was drawn.
        let mut known = self.prompt;
        known.extend(&generation.tokens);
        known.truncate(known.len().saturating_sub(1 + unread));
        *self.known = CachedPrompt::new(known, EditsMark::of(&self.request.edits));
        Ok(generation)
    }
}

/// Continues several texts to their ends, with a prompt and a tail for each.
pub(super) async fn finish_together(
    mut decoding: Decoding<'_>,
    prompts: &[&[u32]],
    mut tails: Vec<Tail>,
) -> Result<Vec<Generation>> {
    while tails.iter().any(|tail| tail.finish.is_none()) {
        let wanted = tails[0].limit();
        let Some(step) = decoding.next(wanted).await? else { break };
        let mut tops = step.top.map(Vec::into_iter);
        for ((tail, prompt), id) in tails.iter_mut().zip(prompts).zip(step.ids) {
            let top = tops.as_mut().and_then(Iterator::next);
            if tail.finish.is_none() {
                if id == UNDRAWN {
                    let so_far = [prompt, tail.tokens()].concat();
                    return Err(decoding.not_finite(&so_far).await);
                }
                tail.push(id, top);
            }
        }
    }
    let counters = decoding.counters();
    decoding.close().await?;
    Ok(tails.into_iter().map(|tail| tail.into_generation(counters, 0)).collect())
}
