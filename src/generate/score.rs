//! How likely a text is: ln p of each of its tokens.

use crate::error::{Error, Result};
use crate::model::{Bound, Session, rows};
use crate::reference::{Model, log_softmax, top_k};

use super::runner::Runner;
use super::watch::Watch;

/// The probabilities of a text's tokens.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Score {
    /// ln p of each token after the first, given those before it: T − 1 values.
    pub logprobs: Vec<f32>,
    /// exp(−mean of `logprobs`); `None` for a single token.
    pub perplexity: Option<f64>,
    /// After each token the most probable next ones, (id, ln p), best first: T entries, if asked for.
    pub top: Option<Vec<Vec<(u32, f32)>>>,
}

impl Score {
    fn new(logprobs: Vec<f32>, top: Option<Vec<Vec<(u32, f32)>>>) -> Self {
        let sum: f64 = logprobs.iter().map(|&logprob| f64::from(logprob)).sum();
        let perplexity = (-sum / logprobs.len() as f64).exp();
        Self { perplexity: (!logprobs.is_empty()).then_some(perplexity), logprobs, top }
    }
}

/// Windows of `context` tokens, half of it apart: start, end, and the first place that is new.
fn windows(tokens: usize, context: usize) -> Vec<(usize, usize, usize)> {
    let stride = (context / 2).max(1);
    let mut windows = vec![(0, tokens.min(context), 0)];
    while let Some(&(start, end, _)) = windows.last()
        && end < tokens
    {
        let next = (start + stride).min(tokens.saturating_sub(1));
        windows.push((next, tokens.min(next + context), end));
    }
    windows
}

pub(super) async fn score(
    runner: &mut Runner,
    tokens: &[u32],
    top: Option<usize>,
) -> Result<Score> {
    if tokens.is_empty() {
        return Err(Error::Input("there are no tokens to score".to_owned()));
    }
    let (mut logprobs, mut best) = (Vec::new(), Vec::new());
    for (start, end, new) in windows(tokens.len(), runner.context()) {
        let piece = &tokens[start..end];
        let (mut scores, mut tops) = match runner {
            Runner::Gpu(session) => gpu(session, piece, top).await?,
            Runner::Cpu { model, context, edits, .. } => cpu(model, *context, edits, piece, top)?,
        };
        if let Some(place) = scores.iter().position(|score| !score.is_finite()) {
            return Err(runner.not_finite(&piece[..=place]).await);
        }
        // Place p of the window scores token start + p + 1; earlier windows keep their scores.
        let known = new.saturating_sub(start);
        scores.pop();
        logprobs.extend(scores.drain(known.saturating_sub(1)..));
        best.extend(tops.drain(known.min(tops.len())..));
    }
    Ok(Score::new(logprobs, top.map(|_| best)))
}

type Scored = (Vec<f32>, Vec<Vec<(u32, f32)>>);

/// For every token of one window, ln p of the next one (for the last one, of itself: meaningless),
/// and the most probable next ones.
async fn gpu(session: &mut Session, tokens: &[u32], top: Option<usize>) -> Result<Scored> {
    let mut targets = tokens[1..].to_vec();
    targets.push(tokens[0]);
    let scored = session.score(&rows(tokens, 0), &targets, top).await?;
    Ok((scored.logprobs, scored.top))
}

fn cpu(
    model: &Model,
    context: usize,
    edits: &[Bound],
    tokens: &[u32],
    top: Option<usize>,
) -> Result<Scored> {
    let vocab = model.config.vocab;
    let mut watch = Watch::new(edits, &[], 0);
    let logits = model.forward(&mut model.cache_for(context), tokens, &mut watch)?;
    watch.finish()?;
    let all = log_softmax(&logits, vocab);
    let next = tokens[1..].iter().chain(&tokens[..1]);
    let rows = || all.chunks(vocab);
    let logprobs = rows().zip(next).map(|(row, &id)| row[id as usize] as f32).collect();
    let narrow = |(id, logprob): (u32, f64)| (id, logprob as f32);
    let best = |k| rows().map(|row| top_k(row, k).into_iter().map(narrow).collect()).collect();
    Ok((logprobs, top.map_or_else(Vec::new, best)))
}

#[cfg(test)]
mod tests {
    use super::windows;

    #[test]
    fn every_token_is_scored_once() {
        for (tokens, context) in [(1, 8), (8, 8), (9, 8), (37, 8), (100, 7), (5, 1), (12, 2)] {
            let mut next = 0;
            for (start, end, new) in windows(tokens, context) {
                assert!(end - start <= context && start <= new && new < end, "{tokens} {context}");
                assert_eq!(new, next, "{tokens} {context}");
                next = end;
            }
            assert_eq!(next, tokens);
        }
    }
}
