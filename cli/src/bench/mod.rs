//! `pellucid bench`: measures the speed of a model and of its GPU.

mod case;
mod inspect;
mod ratio;
mod share;
mod train;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use pellucid::Result;
use pellucid::generate::Llm;
use pellucid::gpu::{Adapter, Engine, Gpu};
use pellucid::model::MemoryUse;
use pellucid::tune;
use pellucid::tune::Ceilings;
use serde::Serialize;

use crate::options::ModelOptions;
use crate::output::{self, PerToken};
use case::Case;
use share::{Shares, Work};

/// Measure the speed of a model and of its GPU.
///
/// Each result is the median of several runs, after one warm-up run. "Of ceiling" compares it with
/// what the adapter can do at best, measured in the same run. For decoding that is the weight bytes
/// per step times the steps per second, over the rate at which the adapter reads and unpacks
/// weights. For prefill it is twice the parameters of the layers times the tokens per second, over
/// the adapter's floating-point operations per second.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Bench {
    #[command(subcommand)]
    other: Option<Other>,
    /// Runs per case; at most 3 if one takes more than 10 seconds
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Run only this case; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<Case>,
    /// Print one JSON object instead of a table
    #[arg(long, help_heading = "Output")]
    json: bool,
    #[command(flatten)]
    model: ModelOptions,
}

/// Other benchmarks.
#[derive(Debug, Subcommand)]
enum Other {
    Inspect(inspect::Inspect),
    Train(train::Train),
}

/// A case whose runs take longer than this gets fewer of them.
const SLOW: Duration = Duration::from_secs(10);
const SLOW_RUNS: usize = 3;

/// Tokens per second: of every run, and their median.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Speed {
    pub(crate) median_tok_s: f64,
    runs: Vec<f64>,
}

/// What `--json` prints; null if not requested, longer than the context, or in need of a GPU.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    pub(crate) pp128: Option<Speed>,
    pub(crate) pp512: Option<Speed>,
    pub(crate) tg64: Option<Speed>,
    tg64_context_512: Option<Speed>,
    tg64_context_4096: Option<Speed>,
    context_4096_over_512: Option<f64>,
    pub(crate) batch4: Option<Speed>,
    pub(crate) counters: Option<PerToken>,
    ceilings: Option<Rates>,
    shares: Shares,
    adapter: Option<Adapter>,
    plan: Option<String>,
    memory: Option<MemoryUse>,
}

/// The ceilings, in 10⁹ per second.
#[derive(Serialize)]
struct Rates {
    read_gb_s: f64,
    unpack_gb_s: BTreeMap<String, f64>,
    gflop_s: f64,
}

impl Bench {
    pub(crate) async fn run(&self) -> Result<()> {
        match &self.other {
            Some(Other::Inspect(inspect)) => return inspect.run().await,
            Some(Other::Train(train)) => return train.run().await,
            None => {}
        }
        let mut report = Report::default();
        let mut ceilings = None;
        let cases = self.only.iter().any(|case| *case != Case::Ceilings) || self.only.is_empty();
        if cases {
            // A wrong path is reported before the ceilings are measured.
            self.model.checkpoint()?;
        }
        if self.wants(Case::Ceilings) {
            ceilings = self.ceilings(&mut report).await?;
        }
        if cases {
            self.speeds(&mut report, ceilings.as_ref()).await?;
        }
        report.ceilings = ceilings.map(Rates::from);
        if self.json { output::json(&report) } else { report.show() }
    }

    fn wants(&self, case: Case) -> bool {
        self.only.is_empty() || self.only.contains(&case)
    }

    /// The adapter's ceilings, on a device of their own, before the model takes its memory.
    async fn ceilings(&self, report: &mut Report) -> Result<Option<Ceilings>> {
        let Some(choice) = self.model.device.choice()? else { return Ok(None) };
        let measured = match Gpu::open(&choice).await {
            Ok(gpu) => {
                output::note("ceilings: measuring");
                report.adapter = Some(gpu.adapter().clone());
                tune::measure(&mut Engine::new(gpu))
            }
            Err(error) => Err(error),
        };
        let log = |error| log::warn!("no ceilings: {}", output::sentence(&error));
        Ok(measured.map_err(log).ok())
    }

    /// The model's speeds, and their shares of the ceilings.
    async fn speeds(&self, report: &mut Report, ceilings: Option<&Ceilings>) -> Result<()> {
        let (mut llm, _) = self.model.load_for(true).await?;
        report.pp128 = self.measure(&mut llm, Case::Pp128).await?;
        report.pp512 = self.measure(&mut llm, Case::Pp512).await?;
        report.tg64 = self.measure(&mut llm, Case::Tg64).await?;
        report.tg64_context_512 = self.measure(&mut llm, Case::Tg64Context512).await?;
        report.tg64_context_4096 = self.measure(&mut llm, Case::Tg64Context4096).await?;
        if self.wants(Case::Tg64) {
            report.counters = counters(&mut llm).await?;
        }
        if let (Some(long), Some(short)) = (&report.tg64_context_4096, &report.tg64_context_512) {
            report.context_4096_over_512 = Some(long.median_tok_s / short.median_tok_s);
        }
        report.adapter = llm.adapter().cloned();
        report.plan = llm.session().map(|session| session.selection().key());
        report.memory = llm.fit();
        let work = llm.session().map(|session| Work::new(session.model()));
        if self.wants(Case::Batch4) {
            // Four sequences need a cache of their own, but a short one: the model is loaded again.
            let mut options = self.model.options()?;
            options.ids_only = true;
            options.sequences = case::BATCH;
            options.context = Some(case::BATCH_CONTEXT.min(llm.context()));
            drop(llm);
            let (mut llm, _) = self.model.load_with(&options).await?;
            report.batch4 = self.measure(&mut llm, Case::Batch4).await?;
        }
        if let (Some(work), Some(ceilings)) = (work, ceilings) {
            report.shares = Shares::new(report, &work, ceilings);
        }
        Ok(())
    }

    /// The speed of one case; `None` if it is not requested or longer than the context.
    async fn measure(&self, llm: &mut Llm, case: Case) -> Result<Option<Speed>> {
        if !self.wants(case) || case.context() > llm.context() {
            return Ok(None);
        }
        let name = case.name();
        output::note(&format!("{name}: warming up"));
        let start = Instant::now();
        let first = case.run(llm).await?;
        let slow = start.elapsed() > SLOW;
        let wanted = if slow { SLOW_RUNS.min(self.runs as usize) } else { self.runs as usize };
        let mut runs = Vec::with_capacity(wanted);
        if slow && case.has_long_start() {
            // The prompt is what took the time; one prefill serves several measurements.
            runs = first.stretches(wanted);
        }
        while runs.len() < wanted {
            runs.push(case.run(llm).await?.speed());
            let speed = runs.last().copied();
            output::note(&format!("{name}: run {}, {} tok/s", runs.len(), output::shown(speed)));
        }
        Ok(Some(Speed::new(runs)))
    }
}

/// What the engine does per token, from a short decode; `None` for the reference.
async fn counters(llm: &mut Llm) -> Result<Option<PerToken>> {
    if llm.adapter().is_none() {
        return Ok(None);
    }
    let drawn = 32.min(llm.context());
    let prompt = case::prompt(llm, 1, 0);
    let on_event = |_| ControlFlow::Continue(());
    let (generation, _) = llm.generate(&prompt, &case::request(drawn), on_event).await?;
    Ok(generation.counters.map(PerToken::from))
}

impl Speed {
    fn new(runs: Vec<f64>) -> Self {
        Self { median_tok_s: ratio::median(&runs), runs }
    }
}

impl From<Ceilings> for Rates {
    fn from(ceilings: Ceilings) -> Self {
        let rates = ceilings.unpack_gb_s.iter();
        Self {
            read_gb_s: ceilings.read_gb_s,
            unpack_gb_s: rates.map(|(format, rate)| (format.to_string(), *rate)).collect(),
            gflop_s: ceilings.gflop_s,
        }
    }
}

impl Report {
    /// The table.
    fn show(&self) -> Result<()> {
        output::line(&output::place(self.adapter.as_ref()))?;
        let rows = [
            ("pp128", &self.pp128, self.shares.pp128),
            ("pp512", &self.pp512, self.shares.pp512),
            ("tg64", &self.tg64, self.shares.tg64),
            ("tg64_context_512", &self.tg64_context_512, None),
            ("tg64_context_4096", &self.tg64_context_4096, None),
            ("batch4", &self.batch4, self.shares.batch4),
        ];
        for (name, speed, share) in rows {
            let Some(speed) = speed else { continue };
            let share = share.map_or_else(String::new, |share| format!("  {share:.2} of ceiling"));
            output::line(&format!("{name:<18}{:>10.2} tok/s{share}", speed.median_tok_s))?;
        }
        let Some(ceilings) = &self.ceilings else { return Ok(()) };
        output::line(&format!("{:<18}{:>10.2} GB/s", "reading", ceilings.read_gb_s))?;
        for (format, rate) in &ceilings.unpack_gb_s {
            output::line(&format!("{:<18}{rate:>10.2} GB/s", format!("unpacking {format}")))?;
        }
        output::line(&format!("{:<18}{:>10.2} GFLOP/s", "multiplying", ceilings.gflop_s))
    }
}
