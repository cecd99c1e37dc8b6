//! A text run once while named values are read and changed, on the device or on the reference.

use crate::error::{Error, Result};
use crate::hook::Hook;
use crate::model::{Action, Activation, Collected, Observed, ObservedRows, Session, rows};
use crate::reference::{Model, top_k};

use super::runner::Runner;
use super::watch::{Watch, bind};

/// Tokens that the reference reads at once.
const TOKENS: usize = 64;

/// What some tokens of a text gave.
#[derive(Debug)]
pub struct TextPart {
    /// The position of the first of them.
    pub first: usize,
    /// How many they are.
    pub count: usize,
    /// The values read, in the order of the forward pass.
    pub activations: Vec<Activation>,
    /// The logits after those tokens among them that were asked for.
    pub logits: Vec<f32>,
    /// Instead, if only these were asked for, the most probable next tokens, (id, ln p), best first.
    pub top: Vec<Vec<(u32, f32)>>,
}

/// The positions after which logits are given, and how many of the most probable tokens, if only those.
pub(super) type LogitsOf<'a> = (&'a [usize], Option<usize>);

/// Runs a text, and hands over what was asked for in parts.
pub(super) async fn observe_each(
    runner: &mut Runner,
    tokens: &[u32],
    actions: &[(Hook, Action)],
    logits_of: LogitsOf<'_>,
    each: &mut dyn FnMut(TextPart) -> Result<()>,
) -> Result<()> {
    match runner {
        Runner::Gpu(session) => on_device(session, tokens, actions, logits_of, each).await,
        Runner::Cpu { model, context, .. } => {
            on_reference(model, *context, tokens, actions, logits_of, each)
        }
    }
}

async fn on_device(
    session: &mut Session,
    tokens: &[u32],
    actions: &[(Hook, Action)],
    logits_of: LogitsOf<'_>,
    each: &mut dyn FnMut(TextPart) -> Result<()>,
) -> Result<()> {
    let mut first = 0;
    session
        .observe_each(&rows(tokens, 0), actions, logits_of, |part| {
            let count = part.rows.len();
            let ObservedRows { activations, logits, top, .. } = part;
            each(TextPart { first, count, activations, logits, top })?;
            first += count;
            Ok(())
        })
        .await
}

fn on_reference(
    model: &Model,
    context: usize,
    tokens: &[u32],
    actions: &[(Hook, Action)],
    logits_of: LogitsOf<'_>,
    each: &mut dyn FnMut(TextPart) -> Result<()>,
) -> Result<()> {
    if tokens.len() > context {
        return Err(Error::Context { asked: tokens.len(), limit: context });
    }
    let (reads, edits) = bind(&model.config, actions, tokens.len())?;
    let (logits_of, most) = logits_of;
    let mut cache = model.cache_for(context);
    let mut first = 0;
    for part in tokens.chunks(TOKENS) {
        let own = logits_of.iter().filter(|row| (first..first + part.len()).contains(*row));
        let own: Vec<usize> = own.map(|row| row - first).collect();
        let mut watch = Watch::new(&edits, &reads, first);
        let all = model.forward_of(&mut cache, part, &own, &mut watch)?;
        let (mut logits, mut top) = (Vec::new(), Vec::new());
        match most {
            Some(k) => {
                let narrow = |(id, logprob): (u32, f64)| (id, logprob as f32);
                let best = |row: &[f64]| top_k(row, k).into_iter().map(narrow).collect();
                top.extend(all.chunks(model.config.vocab).map(best));
            }
            None => logits.extend(all.into_iter().map(|logit| logit as f32)),
        }
        let (activations, count) = (watch.finish()?, part.len());
        each(TextPart { first, count, activations, logits, top })?;
        first += count;
    }
    Ok(())
}

/// The same, put together.
pub(super) async fn observe(
    runner: &mut Runner,
    tokens: &[u32],
    actions: &[(Hook, Action)],
    logits_of: LogitsOf<'_>,
) -> Result<Observed> {
    if let Runner::Gpu(session) = runner {
        let rows = rows(tokens, 0);
        return match logits_of {
            (of, None) => session.observe_rows(&rows, actions, of).await,
            (of, Some(k)) => session.observe_top(&rows, actions, of, k).await,
        };
    }
    let (mut collected, mut logits, mut best) = (Collected::default(), Vec::new(), Vec::new());
    observe_each(runner, tokens, actions, logits_of, &mut |part| {
        let keys = part.first + part.count;
        collected.add(part.activations, part.count, keys);
        logits.extend(part.logits);
        best.extend(part.top);
        Ok(())
    })
    .await?;
    Ok(Observed { activations: collected.finish(runner.config()), logits, top: best })
}
