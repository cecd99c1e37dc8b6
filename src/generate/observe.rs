//! A text run once while named values are read and changed, on the device or on the reference.

use crate::error::{Error, Result};
use crate::hook::Hook;
use crate::model::{Action, Activation, Collected, Observed, Session, rows};
use crate::reference::Model;

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
}

/// Runs a text, and hands over what was asked for in parts.
pub(super) async fn observe_each(
    runner: &mut Runner,
    tokens: &[u32],
    actions: &[(Hook, Action)],
    logits_of: &[usize],
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
    logits_of: &[usize],
    each: &mut dyn FnMut(TextPart) -> Result<()>,
) -> Result<()> {
    let mut first = 0;
    session
        .observe_each(&rows(tokens, 0), actions, logits_of, |part| {
            let count = part.rows.len();
            let (activations, logits) = (part.activations, part.logits);
            each(TextPart { first, count, activations, logits })?;
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
    logits_of: &[usize],
    each: &mut dyn FnMut(TextPart) -> Result<()>,
) -> Result<()> {
    if tokens.len() > context {
        return Err(Error::Context { asked: tokens.len(), limit: context });
    }
    let (reads, edits) = bind(&model.config, actions, tokens.len())?;
    let mut cache = model.cache_for(context);
    let mut first = 0;
    for part in tokens.chunks(TOKENS) {
        let own = logits_of.iter().filter(|row| (first..first + part.len()).contains(*row));
        let own: Vec<usize> = own.map(|row| row - first).collect();
        let mut watch = Watch::new(&edits, &reads, first);
        let logits = model.forward_of(&mut cache, part, &own, &mut watch)?;
        let logits = logits.into_iter().map(|logit| logit as f32).collect();
        let (activations, count) = (watch.finish(), part.len());
        each(TextPart { first, count, activations, logits })?;
        first += count;
    }
    Ok(())
}

/// The same, put together.
pub(super) async fn observe(
    runner: &mut Runner,
    tokens: &[u32],
    actions: &[(Hook, Action)],
    logits_of: &[usize],
) -> Result<Observed> {
    if let Runner::Gpu(session) = runner {
        return session.observe_rows(&rows(tokens, 0), actions, logits_of).await;
    }
    let (mut collected, mut logits) = (Collected::default(), Vec::new());
    observe_each(runner, tokens, actions, logits_of, &mut |part| {
        let keys = part.first + part.count;
        collected.add(part.activations, part.count, keys);
        logits.extend(part.logits);
        Ok(())
    })
    .await?;
    Ok(Observed { activations: collected.finish(runner.config()), logits })
}
