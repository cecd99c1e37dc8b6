//! What heads attend to: scores on a text of random tokens that is repeated.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::generate::Llm;
use crate::hook::Hook;
use crate::model::{Activation, Edit, actions};
use crate::noise::noise;
use crate::tokenizer::Encode;

use super::groups::in_memory;

/// The text on which heads are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadOptions {
    /// Random tokens before they repeat.
    pub period: usize,
    /// Seed of the random tokens.
    pub seed: u64,
}

/// Scores of all heads: for each layer one of each head.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadScores {
    /// The beginning token if the model adds one, N random ones, the same again.
    pub tokens: Vec<u32>,
    /// Mean attention to the token before.
    pub previous: Vec<Vec<f64>>,
    /// Mean attention of the second copy to the same token in the first.
    pub duplicate: Vec<Vec<f64>>,
    /// Mean attention of the second copy to the token after that: A(i, i − (N − 1)).
    pub induction: Vec<Vec<f64>>,
    /// Mean attention to the token itself.
    pub current: Vec<Vec<f64>>,
    /// Mean attention to the first token.
    pub first: Vec<Vec<f64>>,
    /// On 25 random tokens, four times: mean attention to the tokens that followed earlier copies
    /// (Olsson et al. 2022).
    pub prefix_matching: Vec<Vec<f64>>,
    /// On 25 random tokens: the share of the token attended to in what the head raises among them,
    /// 0 to 1/2 mapped to −1 to 1 (Olsson et al. 2022).
    pub copying_olsson: Vec<Vec<f64>>,
}

/// Tokens in the runs of Olsson's scores, and how often the one for prefix matching repeats them.
const OLSSON_TOKENS: usize = 25;
const OLSSON_COPIES: usize = 4;

/// Seeded tokens of the vocabulary.
fn random_tokens(vocab: usize, seed: u64, count: usize) -> Vec<u32> {
    let draw = |at| (u64::from(noise(seed, 0, at, 0)) * vocab as u64) >> 32;
    (0..count as u32).map(|at| draw(at) as u32).collect()
}

/// Scores every head of a model on a repeated text.
///
/// # Errors
/// As [`Llm::observe`]; [`Error::Input`] for a period of fewer than two tokens.
pub async fn heads(
    llm: &mut Llm,
    edits: &[(Hook, Edit)],
    options: HeadOptions,
) -> Result<HeadScores> {
    let (layers, heads, vocab) = (llm.config().layers, llm.config().heads, llm.config().vocab);
    let n = options.period;
    if n < 2 {
        return Err(Error::Input(format!(
            "a period of {n} tokens repeats nothing; give 2 or more"
        )));
    }
    // What stands before every text of the model, if anything does.
    let begin = match llm.tokenizer() {
        Some(tokenizer) => tokenizer.encode("", Encode::default())?,
        None => Vec::new(),
    };
    // A short context has room for fewer.
    let room = llm.context().saturating_sub(begin.len()) / OLSSON_COPIES;
    let few = OLSSON_TOKENS.min(room);
    let random = random_tokens(vocab, options.seed, n.max(few));
    let tokens = [&begin[..], &random[..n], &random[..n]].concat();
    let count = tokens.len();
    let mut scores = HeadScores {
        previous: Vec::new(),
        duplicate: Vec::new(),
        induction: Vec::new(),
        current: Vec::new(),
        first: Vec::new(),
        prefix_matching: Vec::new(),
        copying_olsson: Vec::new(),
        tokens: tokens.clone(),
    };
    let sample = &random[..few];
    let copies = [&begin[..], &sample.repeat(OLSSON_COPIES)].concat();
    let once = [&begin[..], sample].concat();
    let patterns: Vec<Hook> = (0..layers).map(Hook::Pattern).collect();
    for hooks in in_memory(llm.config(), &patterns, count) {
        for Activation { values: pattern, .. } in read(llm, &tokens, edits, hooks).await? {
            let mean = |queries: Range<usize>, key: &dyn Fn(usize) -> usize| -> Vec<f64> {
                let of_head = |head: usize| {
                    let at = |i: usize| f64::from(pattern[(head * count + i) * count + key(i)]);
                    queries.clone().map(at).sum::<f64>() / queries.len() as f64
                };
                (0..heads).map(of_head).collect()
            };
            let second = count - n..count;
            scores.previous.push(mean(1..count, &|i| i - 1));
            scores.duplicate.push(mean(second.clone(), &|i| i - n));
            scores.induction.push(mean(second, &|i| i - (n - 1)));
            scores.current.push(mean(0..count, &|i| i));
            scores.first.push(mean(0..count, &|_| 0));
        }
    }
    for hooks in in_memory(llm.config(), &patterns, copies.len()) {
        for Activation { values: pattern, .. } in read(llm, &copies, edits, hooks).await? {
            scores.prefix_matching.push(prefix_matching(&pattern, heads, copies.len(), few));
        }
    }
    // Of each layer the pattern, then what the heads write.
    let both: Vec<Hook> =
        (0..layers).flat_map(|layer| [Hook::Pattern(layer), Hook::Result(layer)]).collect();
    let rows: Vec<Vec<f32>> = once.iter().map(|id| llm.head_row(*id)).collect::<Result<_>>()?;
    let mut pattern = Vec::new();
    for hooks in in_memory(llm.config(), &both, once.len()) {
        for Activation { hook, values, .. } in read(llm, &once, edits, hooks).await? {
            match hook {
                Hook::Pattern(_) => pattern = values,
                _ => scores.copying_olsson.push(copying(&pattern, &values, &rows, heads)),
            }
        }
    }
    Ok(scores)
}

/// Values of a text, in the order of the forward pass.
async fn read(
    llm: &mut Llm,
    tokens: &[u32],
    edits: &[(Hook, Edit)],
    hooks: Vec<Hook>,
) -> Result<Vec<Activation>> {
    Ok(llm.observe(tokens, &actions(edits, hooks), &[]).await?.activations)
}

/// For each head, the mean attention of every copy but the first to the tokens that followed earlier
/// copies of the query's own.
fn prefix_matching(pattern: &[f32], heads: usize, count: usize, period: usize) -> Vec<f64> {
    let first = count - period * (OLSSON_COPIES - 1);
    let of_query = |head: usize, query: usize| -> f64 {
        let earlier = (1..).map(|copy| query.checked_sub(copy * period));
        // Of the first copy's own tokens all follow another; what stands before it is no token of it.
        let begin = first - period;
        let earlier = earlier.map_while(|at| at.filter(|at| *at >= begin));
        earlier.map(|at| f64::from(pattern[(head * count + query) * count + at + 1])).sum()
    };
    let mean = |head| {
        (first..count).map(|query| of_query(head, query)).sum::<f64>() / (count - first) as f64
    };
    (0..heads).map(mean).collect()
}

/// For each head, how much of what it raises among the tokens of the text, whose rows of the head of
/// the model these are, goes to the one that it attends to most: 0 to 1/2, mapped to −1 to 1.
fn copying(pattern: &[f32], result: &[f32], rows: &[Vec<f32>], heads: usize) -> Vec<f64> {
    let (count, width) = (rows.len(), rows[0].len());
    let of_head = |head: usize| {
        let (mut sum, mut counted) = (0.0, 0);
        for query in 0..count {
            let written = &result[(query * heads + head) * width..][..width];
            let dot = |row: &Vec<f32>| -> f64 {
                row.iter().zip(written).map(|(u, x)| f64::from(*u) * f64::from(*x)).sum()
            };
            let logits: Vec<f64> = rows.iter().map(dot).collect();
            let mean = logits.iter().sum::<f64>() / count as f64;
            let raised: Vec<f64> = logits.iter().map(|logit| (logit - mean).max(0.0)).collect();
            let all: f64 = raised.iter().sum();
            let attended = &pattern[(head * count + query) * count..][..count];
            let most = (0..count).max_by(|a, b| attended[*a].total_cmp(&attended[*b]));
            if let Some(most) = most.filter(|_| all > 0.0) {
                sum += raised[most] / all;
                counted += 1;
            }
        }
        4.0 * sum / f64::from(counted.max(1)) - 1.0
    };
    (0..heads).map(of_head).collect()
}
