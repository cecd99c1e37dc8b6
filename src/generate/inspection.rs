//! What analyses need of a model: named values of a text, variants of it, and weights.

use std::ops::Range;

use crate::checkpoint::{Matrix, Param, dequantize, quantize};
use crate::error::{Error, Result};
use crate::hook::Hook;
#[cfg(feature = "inspect")]
use crate::model::Readout;
use crate::model::{Action, Edit, Observed, Trace, VariantOutcome, actions, rows};
use crate::ops::MAX_TOP_K;
use crate::reference::log_softmax;
#[cfg(feature = "inspect")]
use crate::reference::{Diverged, divergence, top_k};

use super::llm::Llm;
use super::observe::{self, TextPart};
use super::runner::Runner;
use super::watch::{Watch, bind};

/// A text that was run once, and what it left: from there variants of it run.
#[derive(Clone, Debug)]
pub struct BaseRun {
    /// The text.
    pub tokens: Vec<u32>,
    /// The edits that it ran with, which its variants have too.
    pub edits: Vec<(Hook, Edit)>,
    trace: Trace,
}

impl Llm {
    /// Runs a text from its first token on, reads and changes named values, and gives the logits
    /// after some of its tokens: their positions, in ascending order.
    ///
    /// # Errors
    /// [`Error::Input`] for a value that the model does not have, an edit that does not fit it, and
    /// positions out of order or beyond the text; [`Error::Memory`] for more values than there is
    /// memory for, which [`Llm::observe_each`] does not need; [`Error::Context`] for a text longer
    /// than the context.
    pub async fn observe(
        &mut self,
        tokens: &[u32],
        actions: &[(Hook, Action)],
        logits_of: &[usize],
    ) -> Result<Observed> {
        self.check_prompt(tokens)?;
        self.start_over(&[])?;
        observe::observe(&mut self.runner, tokens, actions, (logits_of, None)).await
    }

    /// The same with the `k` most probable tokens after those positions, [`Observed::top`], instead of
    /// their logits, which then never leave the device.
    ///
    /// # Errors
    /// As [`Llm::observe`]; [`Error::Input`] for more tokens than [`MAX_TOP_K`] or than the vocabulary has.
    pub async fn observe_top(
        &mut self,
        tokens: &[u32],
        actions: &[(Hook, Action)],
        logits_of: &[usize],
        k: usize,
    ) -> Result<Observed> {
        self.check_prompt(tokens)?;
        let most = MAX_TOP_K.min(self.config().vocab);
        if !(1..=most).contains(&k) {
            return Err(Error::Input(format!(
                "the {k} most probable tokens were asked for; from 1 to {most} can be given"
            )));
        }
        self.start_over(&[])?;
        observe::observe(&mut self.runner, tokens, actions, (logits_of, Some(k))).await
    }

    /// Observes several texts, one after another: each as [`Llm::observe`] does it alone. `logits_of`
    /// gives the positions of a text whose logits are wanted.
    ///
    /// # Errors
    /// As [`Llm::observe`], for the first text at fault; all are checked before the first runs.
    pub async fn observe_all(
        &mut self,
        texts: &[&[u32]],
        actions: &[(Hook, Action)],
        mut logits_of: impl FnMut(&[u32]) -> Vec<usize>,
    ) -> Result<Vec<Observed>> {
        texts.iter().try_for_each(|text| self.check_prompt(text))?;
        let mut found = Vec::with_capacity(texts.len());
        for text in texts {
            found.push(self.observe(text, actions, &logits_of(text)).await?);
        }
        Ok(found)
    }

    /// The same, handed over part by part. An error of `each` ends the run.
    ///
    /// # Errors
    /// As [`Llm::observe`], and those of `each`.
    pub async fn observe_each(
        &mut self,
        tokens: &[u32],
        actions: &[(Hook, Action)],
        logits_of: &[usize],
        mut each: impl FnMut(TextPart) -> Result<()>,
    ) -> Result<()> {
        self.check_prompt(tokens)?;
        self.start_over(&[])?;
        let logits_of = (logits_of, None);
        observe::observe_each(&mut self.runner, tokens, actions, logits_of, &mut each).await
    }

    /// The same of the last token alone, with its logits: the tokens before it are read without
    /// keeping anything of them, though with the edits.
    ///
    /// # Errors
    /// As [`Llm::observe`].
    pub async fn observe_last(
        &mut self,
        tokens: &[u32],
        edits: &[(Hook, Edit)],
        reads: &[Hook],
    ) -> Result<Observed> {
        self.check_prompt(tokens)?;
        self.start_over(edits)?;
        let last = tokens.len() - 1;
        let actions = actions(&[], reads.iter().copied());
        match &mut self.runner {
            Runner::Gpu(session) => {
                let rows = rows(tokens, 0);
                session.fill(&rows[..last]).await?;
                session.observe_rows(&rows[last..], &actions, &[0]).await
            }
            Runner::Cpu { model, context, edits, .. } => {
                let (reads, _) = bind(&model.config, &actions, tokens.len())?;
                let mut cache = model.cache_for(*context);
                if last > 0 {
                    let mut watch = Watch::new(edits, &[], 0);
                    model.forward_of(&mut cache, &tokens[..last], &[], &mut watch)?;
                    watch.finish()?;
                }
                let mut watch = Watch::new(edits, &reads, last);
                let logits = model.forward_last(&mut cache, &tokens[last..], &mut watch)?;
                let logits = logits.into_iter().map(|logit| logit as f32).collect();
                Ok(Observed { activations: watch.finish()?, logits, top: Vec::new() })
            }
        }
    }

    /// The logits of values of the residual stream after the last layer, (N, C) to (N, V): the final
    /// norm, with its statistics computed from them, the head and its soft cap.
    ///
    /// # Errors
    /// [`Error::Input`] for values that are no whole rows, [`Error::Device`] if the device fails.
    pub async fn unembed(&mut self, stream: &[f32]) -> Result<Vec<f32>> {
        let width = self.config().width;
        if !stream.len().is_multiple_of(width) {
            return Err(Error::Input(format!(
                "{} values do not divide into rows of {width}",
                stream.len()
            )));
        }
        match &mut self.runner {
            Runner::Gpu(session) => session.unembed(stream).await,
            Runner::Cpu { model, .. } => {
                let stream: Vec<f64> = stream.iter().map(|x| f64::from(*x)).collect();
                Ok(model.unembed(&stream).into_iter().map(|logit| logit as f32).collect())
            }
        }
    }

    /// What values of the residual stream would say, each (N, C), beside those of the last layer: the `top`
    /// most probable tokens, and the rank of `wanted`. On a device their logits stay there.
    ///
    /// # Errors
    /// As [`Llm::unembed`].
    #[cfg(feature = "inspect")]
    pub(crate) async fn readings(
        &mut self,
        values: &[&[f32]],
        last: &[f32],
        top: usize,
        wanted: u32,
    ) -> Result<Vec<Vec<Readout>>> {
        if let Runner::Gpu(session) = &mut self.runner
            && top <= MAX_TOP_K
        {
            return session.readings(values, last, top, wanted).await;
        }
        // A few rows at a time: the logits of all would fill the memory.
        const ROWS: usize = 16;
        let (width, vocab) = (self.config().width, self.config().vocab);
        let mut found: Vec<Vec<Readout>> = vec![Vec::new(); values.len()];
        let wide = |logits: Vec<f32>| logits.into_iter().map(f64::from).collect::<Vec<f64>>();
        for (part, last) in last.chunks(ROWS * width).enumerate() {
            let ends = wide(self.unembed(last).await?);
            for (values, found) in values.iter().zip(&mut found) {
                let own = &values[part * ROWS * width..][..last.len()];
                let own = wide(self.unembed(own).await?);
                let numbers = divergence(&own, &ends, vocab, wanted as usize);
                for (Diverged { entropy, kl, rank, strange }, row) in
                    numbers.into_iter().zip(own.chunks(vocab))
                {
                    let best = top_k(row, top).into_iter();
                    let top = best.map(|(id, logprob)| (id, logprob as f32)).collect();
                    found.push(Readout { top, entropy, kl, rank, finite: strange == 0 });
                }
            }
        }
        Ok(found)
    }

    /// A weight as the model runs it, (outputs, inputs) row-major; `None` if it has none. `layer` is
    /// ignored outside the layers.
    ///
    /// # Errors
    /// Those of reading the file.
    pub fn weight(&self, param: Param, layer: usize) -> Result<Option<Vec<f32>>> {
        if !self.checkpoint.has(param, layer) {
            return Ok(None);
        }
        let matrix = self.checkpoint.matrix(param, layer)?;
        let rows = 0..matrix.rows;
        self.run_values(&matrix, rows).map(Some)
    }

    /// A row of the head, as [`Llm::weight`] gives them.
    ///
    /// # Errors
    /// [`Error::Input`] for a token outside the vocabulary; those of reading the file.
    pub fn head_row(&self, token: u32) -> Result<Vec<f32>> {
        let config = self.config();
        let at = token as usize;
        if at >= config.vocab {
            let reason = format!("token {token} is outside the vocabulary of {}", config.vocab);
            return Err(Error::Input(reason));
        }
        let head = if config.tied_head { Param::Embed } else { Param::Head };
        let matrix = self.checkpoint.matrix(head, 0)?;
        self.run_values(&matrix, at..at + 1)
    }

    /// Rows of a matrix, rounded as the device has them.
    fn run_values(&self, matrix: &Matrix, rows: Range<usize>) -> Result<Vec<f32>> {
        let values = matrix.values(rows)?;
        match self.options.quantize {
            Some(format)
                if self.session().is_some()
                    && matrix.rows > 1
                    && format != matrix.format
                    && matrix.columns.is_multiple_of(format.block()) =>
            {
                Ok(dequantize(format, &quantize(format, &values)?))
            }
            _ => Ok(values),
        }
    }

    /// Runs a text with these edits, and keeps what each layer reads and the keys and values, so that
    /// variants of it can run.
    ///
    /// # Errors
    /// As [`Llm::observe`].
    pub async fn base_run(&mut self, tokens: &[u32], edits: &[(Hook, Edit)]) -> Result<BaseRun> {
        let layers = self.config().layers;
        let actions = actions(edits, (0..layers).map(Hook::ResidPre));
        let seen = self.observe(tokens, &actions, &[]).await?;
        let streams = seen.activations.into_iter().map(|activation| activation.values).collect();
        let mut trace = Trace { streams, cached: Vec::new() };
        if let Runner::Gpu(session) = &mut self.runner {
            trace.cached = session.cached(tokens.len()).await?;
        }
        Ok(BaseRun { tokens: tokens.to_vec(), edits: edits.to_vec(), trace })
    }

    /// Runs variants of a text, each with edits of its own inside the layers or after them, many at a
    /// time: each from the layer on in which its edits begin and, where only the logits after the last
    /// token are asked for, from their first position on. `each` gets a variant's number and what was
    /// asked for of it, in any order.
    ///
    /// # Errors
    /// As [`Llm::observe`], and [`Error::Input`] for an edit of what comes before the layers.
    pub async fn run_variants(
        &mut self,
        base: &BaseRun,
        variants: &[Vec<(Hook, Edit)>],
        outcome: VariantOutcome,
        mut each: impl FnMut(usize, &[f32]),
    ) -> Result<()> {
        let begin = Hook::ResidPre(0);
        if let Some((hook, _)) =
            variants.iter().flatten().find(|(hook, _)| hook.place() < begin.place())
        {
            return Err(Error::Input(format!(
                "a variant changes {hook}, which comes before the layers"
            )));
        }
        self.start_over(&base.edits)?;
        let tokens = &base.tokens;
        match &mut self.runner {
            Runner::Gpu(session) => {
                session.run_variants(tokens, &base.trace, variants, outcome, &mut each).await
            }
            Runner::Cpu { model, context, edits, .. } => {
                for (number, variant) in variants.iter().enumerate() {
                    let mut all = edits.clone();
                    for (hook, edit) in variant {
                        all.push(edit.bind_to(&model.config, *hook, tokens.len())?);
                    }
                    let (cache, mut watch) =
                        (&mut model.cache_for(*context), Watch::new(&all, &[], 0));
                    let found: Vec<f32> = match outcome {
                        VariantOutcome::Logits => {
                            let logits = model.forward_last(cache, tokens, &mut watch)?;
                            logits.into_iter().map(|logit| logit as f32).collect()
                        }
                        VariantOutcome::Logprobs => {
                            let vocab = model.config.vocab;
                            let logits = model.forward(cache, tokens, &mut watch)?;
                            let logprobs = log_softmax(&logits, vocab);
                            let next = logprobs.chunks(vocab).zip(&tokens[1..]);
                            next.map(|(row, id)| row[*id as usize] as f32).collect()
                        }
                    };
                    watch.finish()?;
                    each(number, &found);
                }
                Ok(())
            }
        }
    }
}
