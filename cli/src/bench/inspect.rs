//! `pellucid bench inspect`: what looking inside costs, next to runs without it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use pellucid::generate::{Llm, Request};
use pellucid::gpu::Adapter;
use pellucid::hook::{Hook, Point};
use pellucid::inspect::{Instead, Metric, Parts, PatchOptions, Pieces, ablate, patch};
use pellucid::model::{Change, Edit, actions};
use pellucid::{Error, Result};
use serde::Serialize;

use super::case::{prompt, request};
use super::ratio::{Ratio, median};
use crate::options::ModelOptions;
use crate::output::{self, PerToken};

/// Measure the cost of looking inside a model.
///
/// Each case runs in pairs, with and without, in alternating order, after one warm-up pair. Its ratio is
/// the median of the pairs' ratios, with an interval that holds the true median with 95 % confidence.
/// For decoding, speeds are compared; for texts, times. A sweep's time is compared with that of as many
/// prefills of its text as it has variants.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Pairs of runs per case
    #[arg(long, value_name = "N", default_value = "12", value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// Run only this case; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<Case>,
    /// Print one JSON object instead of a table
    #[arg(long, help_heading = "Output")]
    json: bool,
    #[command(flatten)]
    model: ModelOptions,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Case {
    /// Decode of 64 tokens while the stream after every layer is kept
    DecodeKept,
    /// Decode of 64 tokens with a vector added after every layer
    DecodeSteered,
    /// The stream after every layer over 512 tokens
    #[value(name = "resid_post_512")]
    ResidPost512,
    /// Every attention pattern over 128 tokens
    #[value(name = "patterns_128")]
    Patterns128,
    /// The stream before each layer patched at each position, over 20 tokens
    PatchResidPre,
    /// Each head ablated, over 20 tokens, measured by a difference of logits
    AblateHeads,
    /// Each head ablated, over 20 tokens, measured by the loss
    AblateHeadsLoss,
}

/// Tokens that are timed when decoding is measured; one more is decoded before them.
const DRAWN: usize = 64;

/// Tokens of the texts of sweeps.
const SWEPT: usize = 20;

/// Prefills that are timed to compare a sweep with; their mean counts.
const PREFILLS: u64 = 5;

/// What was measured of a case.
#[derive(Serialize)]
struct Measured {
    #[serde(flatten)]
    ratio: Ratio,
    /// The least ratio that a change of Pellucid may leave for decoding, and the largest for others.
    goal: f64,
    /// Medians, in seconds: of a token decoded, or of the text or sweep.
    seconds_with: f64,
    /// The same without, or of one prefill.
    seconds_without: f64,
}

/// What the engine does for a token of [`Case::DecodeSteered`].
#[derive(Serialize)]
struct Steering {
    layers: usize,
    with: PerToken,
    without: PerToken,
}

/// What `--json` prints; a case is missing if it was not requested or is longer than the context.
#[derive(Default, Serialize)]
struct Report {
    version: &'static str,
    adapter: Option<Adapter>,
    pairs: u32,
    cases: BTreeMap<String, Measured>,
    steering: Option<Steering>,
}

impl Case {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What the help says of it.
    fn about(self) -> String {
        let value = self.to_possible_value();
        value.and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default()
    }

    fn goal(self) -> f64 {
        match self {
            Self::DecodeKept | Self::DecodeSteered => 0.95,
            Self::ResidPost512 => 1.05,
            Self::Patterns128 => 1.5,
            Self::PatchResidPre | Self::AblateHeads | Self::AblateHeadsLoss => 0.6,
        }
    }

    /// Whether a ratio is one of speeds, which should be large.
    fn of_speeds(self) -> bool {
        matches!(self, Self::DecodeKept | Self::DecodeSteered)
    }

    /// The tokens of its text.
    fn tokens(self) -> usize {
        match self {
            Self::DecodeKept | Self::DecodeSteered => 1,
            Self::ResidPost512 => 512,
            Self::Patterns128 => 128,
            Self::PatchResidPre | Self::AblateHeads | Self::AblateHeadsLoss => SWEPT,
        }
    }

    /// The positions that it needs.
    fn context(self) -> usize {
        self.tokens() + if self.of_speeds() { DRAWN } else { 1 }
    }

    /// How many prefills it is compared with.
    fn variants(self, llm: &Llm) -> usize {
        match self {
            Self::PatchResidPre => llm.config().layers * SWEPT,
            Self::AblateHeads | Self::AblateHeadsLoss => llm.config().layers * llm.config().heads,
            _ => 1,
        }
    }

    /// The time with what is measured.
    async fn with(self, llm: &mut Llm, seed: u64) -> Result<Duration> {
        let layers = llm.config().layers;
        let text = prompt(llm, self.tokens(), seed);
        let (answer, versus) = (1, 2);
        let difference = Metric::LogitDifference { answer, versus };
        let start = Instant::now();
        match self {
            Self::DecodeKept | Self::DecodeSteered => {
                let request = self.request(llm);
                return decode(llm, &text, &request).await;
            }
            Self::ResidPost512 => {
                let reads = actions(&[], (0..layers).map(Hook::ResidPost));
                llm.observe(&text, &reads, &[]).await?;
            }
            Self::Patterns128 => {
                let reads = actions(&[], (0..layers).map(Hook::Pattern));
                llm.observe(&text, &reads, &[]).await?;
            }
            Self::PatchResidPre => {
                let other = prompt(llm, SWEPT, !seed);
                let options = PatchOptions { point: Point::ResidPre, by: Pieces::Positions };
                patch(llm, [&text, &other], &[], options, difference, |_, _| {}).await?;
            }
            Self::AblateHeads | Self::AblateHeadsLoss => {
                let metric = if self == Self::AblateHeads { difference } else { Metric::Loss };
                let parts = (Parts::Heads, Instead::Zero);
                ablate(llm, &text, &[], parts, metric, |_, _| {}).await?;
            }
        }
        Ok(start.elapsed())
    }

    /// The time without: of a decoded token, or of one prefill.
    async fn without(self, llm: &mut Llm, seed: u64) -> Result<Duration> {
        if self.of_speeds() {
            let text = prompt(llm, self.tokens(), seed);
            return decode(llm, &text, &request(DRAWN + 1)).await;
        }
        let runs = if self.variants(llm) > 1 { PREFILLS } else { 1 };
        let mut time = Duration::ZERO;
        for run in 0..runs {
            // Another text each time: what the caches hold of the last one would not be read again.
            let text =
                prompt(llm, self.tokens() + 1, seed.wrapping_mul(PREFILLS).wrapping_add(run));
            let start = Instant::now();
            // A prompt is read up to its last token.
            let mut prompt = llm.read(&text)?;
            while prompt.next().await?.is_some() {}
            prompt.finish().await?;
            time += start.elapsed();
        }
        Ok(time / runs as u32)
    }

    /// The request of a decode that is looked into.
    fn request(self, llm: &Llm) -> Request {
        let (layers, width) = (llm.config().layers, llm.config().width);
        let posts = (0..layers).map(Hook::ResidPost);
        let mut request = request(DRAWN + 1);
        match self {
            Self::DecodeKept => request.keep = posts.collect(),
            _ => {
                let vector: Vec<f32> = (0..width).map(|i| (i % 5) as f32 * 1e-3).collect();
                let edit = Edit::all(Change::Add(vector));
                request.edits = posts.map(|hook| (hook, edit.clone())).collect();
            }
        }
        request
    }
}

/// The time of a token, from the first that arrives to the last.
async fn decode(llm: &mut Llm, text: &[u32], request: &Request) -> Result<Duration> {
    let mut times = Vec::with_capacity(request.max_new_tokens);
    let mut stream = llm.stream(text, request)?;
    while stream.next().await?.is_some() {
        times.push(Instant::now());
    }
    stream.finish().await?;
    let steps = times.len() as u32 - 1;
    Ok((times[times.len() - 1] - times[0]) / steps)
}

impl Inspect {
    pub(crate) async fn run(&self) -> Result<()> {
        self.model.device.gpu("is not timed: it is written to be read, not to be fast")?;
        let (mut llm, _) = self.model.load_for(true).await?;
        if llm.adapter().is_none() {
            return Err(Error::adapter("there is no adapter to time", []));
        }
        let version = env!("CARGO_PKG_VERSION");
        let adapter = llm.adapter().cloned();
        let mut report = Report { version, adapter, pairs: self.pairs, ..Report::default() };
        for case in Case::value_variants() {
            let wanted = self.only.is_empty() || self.only.contains(case);
            if !wanted || case.context() > llm.context() {
                continue;
            }
            report.cases.insert(case.name(), self.measure(&mut llm, *case).await?);
            if *case == Case::DecodeSteered {
                report.steering = Some(steering(&mut llm).await?);
            }
        }
        if self.json { output::json(&report) } else { report.show() }
    }

    async fn measure(&self, llm: &mut Llm, case: Case) -> Result<Measured> {
        let name = case.name();
        output::note(&format!("{name}: warming up"));
        case.with(llm, 0).await?;
        case.without(llm, 0).await?;
        let (mut ratios, mut with, mut without) = (Vec::new(), Vec::new(), Vec::new());
        for pair in 1..=u64::from(self.pairs) {
            let times = if pair.is_multiple_of(2) {
                let without = case.without(llm, pair).await?;
                [case.with(llm, pair).await?, without]
            } else {
                let with = case.with(llm, pair).await?;
                [with, case.without(llm, pair).await?]
            };
            let [own, other] = times.map(|time| time.as_secs_f64());
            let ratio = if case.of_speeds() {
                other / own
            } else {
                own / (other * case.variants(llm) as f64)
            };
            output::note(&format!("{name}: pair {pair}, {ratio:.3}"));
            ratios.push(ratio);
            with.push(own);
            without.push(other);
        }
        Ok(Measured {
            ratio: Ratio::new(ratios),
            goal: case.goal(),
            seconds_with: median(&with),
            seconds_without: median(&without),
        })
    }
}

/// What the engine does for a token with a vector added after every layer, and without.
async fn steering(llm: &mut Llm) -> Result<Steering> {
    let text = prompt(llm, 1, 0);
    let mut found = Vec::new();
    for request in [Case::DecodeSteered.request(llm), request(DRAWN + 1)] {
        let mut stream = llm.stream(&text, &request)?;
        while stream.next().await?.is_some() {}
        let counted = stream.finish().await?.counters;
        found.extend(counted.map(PerToken::from));
    }
    let [with, without] = found[..] else {
        return Err(Error::Device("the device counted nothing".to_owned()));
    };
    Ok(Steering { layers: llm.config().layers, with, without })
}

impl Report {
    /// The table.
    fn show(&self) -> Result<()> {
        output::line(&output::place(self.adapter.as_ref()))?;
        for case in Case::value_variants() {
            let Some(measured) = self.cases.get(&case.name()) else { continue };
            let Measured { ratio: Ratio { ratio, interval, .. }, goal, .. } = measured;
            let interval = interval.map_or_else(
                || "too few pairs".to_owned(),
                |[least, most]| format!("{least:.3} to {most:.3}"),
            );
            let goal = if case.of_speeds() { format!("≥ {goal}") } else { format!("≤ {goal}") };
            output::line(&format!(
                "{:<18}{ratio:>7.3}  {interval:<16}  {goal:<7} {}",
                case.name(),
                case.about()
            ))?;
        }
        let Some(Steering { layers, with, without }) = &self.steering else { return Ok(()) };
        output::line(&format!(
            "{:<18}{} more dispatches and {} more submits a token for {layers} layers",
            "steering",
            with.dispatches_per_token - without.dispatches_per_token,
            with.submits_per_token - without.submits_per_token
        ))
    }
}
