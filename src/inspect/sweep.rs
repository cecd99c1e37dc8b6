//! Sweeps: many variants of a text, each with one part of the model changed.

use std::collections::BTreeMap;

use crate::config::{Config, Mlp};
use crate::error::{Error, Result};
use crate::generate::{BaseRun, Llm};
use crate::hook::{Hook, Point};
use crate::model::{Activation, Change, Edit, VariantOutcome, actions, offered};

use super::groups::in_memory;
use super::unit::Unit;

/// What is measured of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// The mean of −ln p over the tokens after the first.
    Loss,
    /// logit(answer) − logit(versus) after the last token.
    LogitDifference {
        /// The token whose logit counts.
        answer: u32,
        /// The token whose logit is subtracted.
        versus: u32,
    },
}

impl Metric {
    fn outcome(self) -> VariantOutcome {
        match self {
            Self::Loss => VariantOutcome::Logprobs,
            Self::LogitDifference { .. } => VariantOutcome::Logits,
        }
    }

    fn check(self, config: &Config, tokens: &[u32]) -> Result<()> {
        match self {
            Self::Loss if tokens.len() < 2 => {
                Err(Error::Input("a loss needs two tokens or more".to_owned()))
            }
            Self::LogitDifference { answer, versus }
                if answer.max(versus) as usize >= config.vocab =>
            {
                let token = answer.max(versus);
                let vocab = config.vocab;
                Err(Error::Input(format!("token {token} is outside the vocabulary of {vocab}")))
            }
            _ => Ok(()),
        }
    }

    fn of(self, values: &[f32]) -> f64 {
        match self {
            Self::Loss => {
                let sum: f64 = values.iter().map(|logprob| f64::from(*logprob)).sum();
                -sum / values.len() as f64
            }
            Self::LogitDifference { answer, versus } => {
                f64::from(values[answer as usize]) - f64::from(values[versus as usize])
            }
        }
    }
}

/// What an ablated part gives instead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Instead<'a> {
    /// Nothing.
    Zero,
    /// Its mean over all positions of these texts; of the text itself if there are none.
    Mean(&'a [Vec<u32>]),
}

/// The parts of a model that are ablated one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// Query heads.
    Heads,
    /// Attention of each layer.
    Attention,
    /// MLP of each layer.
    Mlps,
    /// Layers.
    Layers,
}

/// The metric without each part.
#[derive(Clone, Debug, PartialEq)]
pub struct Ablation {
    /// With all parts.
    pub baseline: f64,
    /// For each layer one value, or one of each head.
    pub values: Vec<Vec<f64>>,
}

/// Measures a text without each part in turn. `progress` is called with the parts done and all parts.
///
/// # Errors
/// As [`Llm::observe`], and [`Error::Input`] for parts that the model does not have.
pub async fn ablate(
    llm: &mut Llm,
    tokens: &[u32],
    edits: &[(Hook, Edit)],
    (parts, instead): (Parts, Instead<'_>),
    metric: Metric,
    mut progress: impl FnMut(usize, usize),
) -> Result<Ablation> {
    let config = llm.config().clone();
    metric.check(&config, tokens)?;
    let count = if parts == Parts::Heads { config.heads } else { 1 };
    let unit = |layer, number| match parts {
        Parts::Heads => Unit::Head(layer, number),
        Parts::Attention => Unit::Attention(layer),
        Parts::Mlps => Unit::Mlp(layer),
        Parts::Layers => Unit::Layer(layer),
    };
    let means = match instead {
        Instead::Zero => None,
        Instead::Mean([]) => Some(means(llm, &[tokens.to_vec()], edits, parts).await?),
        Instead::Mean(texts) => Some(means(llm, texts, edits, parts).await?),
    };
    let base = llm.base_run(tokens, edits).await?;
    let baseline = baseline(llm, &base, metric).await?;
    let mut variants = Vec::with_capacity(config.layers * count);
    for layer in 0..config.layers {
        for number in 0..count {
            let mut variant = unit(layer, number).ablation(&config)?;
            if let Some(means) = &means {
                for (hook, edit) in &mut variant {
                    let mean = &means[hook];
                    let own = edit.heads.clone().map_or(0..mean.len(), |heads| {
                        heads.start * config.head_width..heads.end * config.head_width
                    });
                    edit.change = Change::Replace(mean[own].to_vec());
                }
            }
            variants.push(variant);
        }
    }
    let all = variants.len();
    let found = measure(llm, &base, &variants, metric, |done| progress(done, all)).await?;
    Ok(Ablation { baseline, values: found.chunks(count).map(<[f64]>::to_vec).collect() })
}

async fn baseline(llm: &mut Llm, base: &BaseRun, metric: Metric) -> Result<f64> {
    Ok(measure(llm, base, &[Vec::new()], metric, |_| {}).await?[0])
}

/// The metric of each variant; `progress` is called with how many are done.
async fn measure(
    llm: &mut Llm,
    base: &BaseRun,
    variants: &[Vec<(Hook, Edit)>],
    metric: Metric,
    mut progress: impl FnMut(usize),
) -> Result<Vec<f64>> {
    let (mut found, mut done) = (vec![0.0; variants.len()], 0);
    llm.run_variants(base, variants, metric.outcome(), |number, values| {
        found[number] = metric.of(values);
        done += 1;
        progress(done);
    })
    .await?;
    Ok(found)
}

/// The mean over the positions of some texts of what parts give.
async fn means(
    llm: &mut Llm,
    texts: &[Vec<u32>],
    edits: &[(Hook, Edit)],
    parts: Parts,
) -> Result<BTreeMap<Hook, Vec<f32>>> {
    let config = llm.config().clone();
    let points: &[Point] = match parts {
        Parts::Heads => &[Point::Z],
        Parts::Attention => &[Point::AttnOut],
        Parts::Mlps => &[Point::MlpOut],
        Parts::Layers if config.mlp == Mlp::None => &[Point::AttnOut],
        Parts::Layers => &[Point::AttnOut, Point::MlpOut],
    };
    let hooks = (0..config.layers).flat_map(|layer| points.iter().map(move |p| p.at(layer)));
    let hooks: Vec<Hook> = hooks.collect();
    hooks.iter().try_for_each(|hook| offered(&config, *hook))?;
    let actions = actions(edits, hooks);
    let (mut sums, mut count) = (BTreeMap::<Hook, Vec<f64>>::new(), 0);
    for tokens in texts {
        llm.observe_each(tokens, &actions, &[], |part| {
            count += part.count;
            for Activation { hook, values, .. } in part.activations {
                let width = values.len() / part.count;
                let sum = sums.entry(hook).or_insert_with(|| vec![0.0; width]);
                for row in values.chunks(width) {
                    sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
                }
            }
            Ok(())
        })
        .await?;
    }
    let mean = |sum: Vec<f64>| sum.into_iter().map(|sum| (sum / count as f64) as f32).collect();
    Ok(sums.into_iter().map(|(hook, sum)| (hook, mean(sum))).collect())
}

/// Which value is patched, and into which pieces it is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchOptions {
    /// The value: a point inside the layers.
    pub point: Point,
    /// The pieces.
    pub by: Pieces,
}

/// The pieces of a value that are patched one by one, in every layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pieces {
    /// Each position.
    Positions,
    /// Each head, at all positions.
    Heads,
    /// Each head at each position.
    HeadsAndPositions,
}

/// The metric with each piece of the clean run put into the corrupted one.
#[derive(Clone, Debug, PartialEq)]
pub struct Patched {
    /// What each index of the values counts: `layer`, then `position`, `head` or both.
    pub axes: Vec<&'static str>,
    /// The sizes of these axes.
    pub shape: Vec<usize>,
    /// The metric, row-major.
    pub values: Vec<f64>,
    /// The metric of the clean run.
    pub clean: f64,
    /// The metric of the corrupted run.
    pub corrupted: f64,
}

impl Patched {
    /// (value − corrupted) / (clean − corrupted); `None` where the two runs agree.
    pub fn normalized(&self) -> Vec<Option<f64>> {
        let whole = self.clean - self.corrupted;
        let of = |value: &f64| Some((value - self.corrupted) / whole).filter(|x| x.is_finite());
        self.values.iter().map(of).collect()
    }
}

/// Puts values of a clean run into a corrupted one, piece by piece, and measures each. `progress` is
/// called with the pieces done and all pieces.
///
/// # Errors
/// As [`Llm::observe`]; [`Error::Input`] for texts of different lengths, a value that the model does
/// not have, and heads of a value without heads.
pub async fn patch(
    llm: &mut Llm,
    [clean, corrupted]: [&[u32]; 2],
    edits: &[(Hook, Edit)],
    options: PatchOptions,
    metric: Metric,
    mut progress: impl FnMut(usize, usize),
) -> Result<Patched> {
    let config = llm.config().clone();
    let PatchOptions { point, by } = options;
    if clean.len() != corrupted.len() {
        return Err(Error::Input(format!(
            "the clean text has {} tokens and the corrupted one {}: patching needs equal lengths",
            clean.len(),
            corrupted.len()
        )));
    }
    metric.check(&config, clean)?;
    offered(&config, point.at(0))?;
    if point.at(0).place() < Hook::ResidPre(0).place() || !point.in_layer() {
        return Err(Error::Input(format!("{} is not a value of a layer", point.at(0))));
    }
    let clean_base = llm.base_run(clean, edits).await?;
    let clean_metric = baseline(llm, &clean_base, metric).await?;
    let base = llm.base_run(corrupted, edits).await?;
    let corrupted_metric = baseline(llm, &base, metric).await?;
    let tokens = clean.len();
    let (mut values, mut shape) = (Vec::new(), Vec::new());
    let hooks: Vec<Hook> = (0..config.layers).map(|layer| point.at(layer)).collect();
    for hooks in in_memory(&config, &hooks, tokens) {
        let actions = actions(edits, hooks.iter().copied());
        let mut variants = Vec::new();
        for seen in llm.observe(clean, &actions, &[]).await?.activations {
            let pieces = Value::new(&seen, tokens)?.pieces(seen.hook, by)?;
            shape.clone_from(&pieces.shape);
            variants.extend(pieces.edits.into_iter().map(|edit| vec![(seen.hook, edit)]));
        }
        let (before, all) = (values.len(), config.layers * variants.len() / hooks.len());
        let progress = |done| progress(before + done, all);
        values.extend(measure(llm, &base, &variants, metric, progress).await?);
    }
    let mut axes = vec!["layer"];
    axes.extend(match by {
        Pieces::Positions => &["position"][..],
        Pieces::Heads => &["head"],
        Pieces::HeadsAndPositions => &["head", "position"],
    });
    shape.insert(0, config.layers);
    Ok(Patched { axes, shape, values, clean: clean_metric, corrupted: corrupted_metric })
}

/// A clean value, cut into heads and positions.
struct Value<'a> {
    values: &'a [f32],
    tokens: usize,
    heads: usize,
    width: usize,
    heads_first: bool,
}

/// The edits that put pieces into another run, and how they are arranged.
struct Cut {
    edits: Vec<Edit>,
    shape: Vec<usize>,
}

impl<'a> Value<'a> {
    fn new(activation: &'a Activation, tokens: usize) -> Result<Self> {
        let values = &activation.values[..];
        let scores = matches!(activation.hook.point(), Point::Pattern | Point::AttnScores);
        let (heads, width) = match (scores, &activation.shape[..]) {
            (true, [heads, _, keys]) => (*heads, *keys),
            (false, [_, heads, width]) => (*heads, *width),
            (false, [_, width]) => (1, *width),
            _ => return Err(Error::Input(format!("{} cannot be patched", activation.hook))),
        };
        Ok(Self { values, tokens, heads, width, heads_first: scores })
    }

    fn row(&self, head: usize, position: usize) -> &[f32] {
        let row = if self.heads_first {
            head * self.tokens + position
        } else {
            position * self.heads + head
        };
        &self.values[row * self.width..][..self.width]
    }

    fn pieces(&self, hook: Hook, by: Pieces) -> Result<Cut> {
        let has_heads = hook.point().shape().len() == 3;
        if by != Pieces::Positions && !has_heads {
            return Err(Error::Input(format!("{hook} has no heads to patch one by one")));
        }
        let (heads, tokens) = (self.heads, self.tokens);
        let edit = |heads: Option<usize>, position: Option<usize>, values: Vec<f32>| Edit {
            heads: heads.map(|head| head..head + 1),
            positions: Some(position.map_or(0..tokens, |position| position..position + 1)),
            ..Edit::all(Change::Replace(values))
        };
        let all_heads =
            |position| (0..heads).flat_map(|head| self.row(head, position).to_vec()).collect();
        let all_positions =
            |head| (0..tokens).flat_map(|position| self.row(head, position).to_vec()).collect();
        let (edits, shape) = match by {
            Pieces::Positions => {
                let at = |position| edit(None, Some(position), all_heads(position));
                ((0..tokens).map(at).collect(), vec![tokens])
            }
            Pieces::Heads => {
                let of = |head| edit(Some(head), None, all_positions(head));
                ((0..heads).map(of).collect(), vec![heads])
            }
            Pieces::HeadsAndPositions => {
                let of = |head| {
                    let at = move |position| {
                        edit(Some(head), Some(position), self.row(head, position).to_vec())
                    };
                    (0..tokens).map(at).collect::<Vec<_>>()
                };
                ((0..heads).flat_map(of).collect(), vec![heads, tokens])
            }
        };
        Ok(Cut { edits, shape })
    }
}
