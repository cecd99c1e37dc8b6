//! `pellucid doctor`: checks that a GPU computes correct results.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use clap::Args;
use indicatif::ProgressBar;
use pellucid::Result;
use pellucid::check::{self, Report, Shard, Verdict};
use pellucid::gpu::{Adapter, Engine, Gpu};
use serde::Serialize;

use crate::options::DeviceOptions;
use crate::output;

/// Check that a GPU computes correct results.
///
/// Every kernel, in every variant that the adapter supports, is compared with a plain
/// implementation on the CPU, for shapes and values that have broken kernels before. Loading a
/// model checks the variants that it uses, once per adapter and driver, and excludes those that are
/// wrong.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Print one JSON object instead of a table
    #[arg(long, help_heading = "Output")]
    json: bool,
    #[command(flatten)]
    device: DeviceOptions,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Findings<'a> {
    adapter: &'a Adapter,
    kernels: Vec<&'a Verdict>,
    ok: bool,
}

impl Doctor {
    pub(crate) async fn run(&self) -> Result<()> {
        let choice = self.device.gpu("has no kernels to check")?;
        let mut gpus = Vec::new();
        for shard in Shard::ALL {
            gpus.push((shard, Gpu::open(&choice).await?));
        }
        let adapter = gpus[0].1.adapter().clone();
        let bar = output::progress_bar("checking {bar:30} {pos} of {len} cases");
        let report = all(gpus, &bar);
        bar.finish_and_clear();
        let report = report?;
        if self.json {
            let kernels = report.verdicts.values().collect();
            output::json(&Findings { adapter: &adapter, kernels, ok: report.ok() })?;
        } else {
            show(&adapter, &report)?;
        }
        report.check(&adapter.name)
    }
}

/// All shares of the self-test, each in a thread and on a device of its own.
fn all(gpus: Vec<(Shard, Gpu)>, bar: &ProgressBar) -> Result<Report> {
    let lengths = [const { AtomicU64::new(0) }; Shard::ALL.len()];
    let counts = [const { AtomicU64::new(0) }; Shard::ALL.len()];
    let sum = |all: &[AtomicU64]| all.iter().map(|one| one.load(Relaxed)).sum();
    let one = &|i: usize, shard: Shard, gpu: Gpu| {
        let mut progress = |done: usize, total: usize| {
            counts[i].store(done as u64, Relaxed);
            lengths[i].store(total as u64, Relaxed);
            bar.set_length(sum(&lengths));
            bar.set_position(sum(&counts));
        };
        pollster::block_on(check::doctor(Engine::new(gpu), shard, &mut progress))
    };
    let mut report = Report::default();
    thread::scope(|scope| {
        let shards = gpus.into_iter().enumerate();
        let shards: Vec<_> =
            shards.map(|(i, (shard, gpu))| scope.spawn(move || one(i, shard, gpu))).collect();
        for shard in shards {
            report.join(shard.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
        Ok(report)
    })
}

/// The table, failures first.
fn show(adapter: &Adapter, report: &Report) -> Result<()> {
    output::line(&format!("{}, {}", output::place(Some(adapter)), adapter.driver))?;
    let mut verdicts: Vec<&Verdict> = report.verdicts.values().collect();
    verdicts.sort_by_key(|verdict| verdict.ok);
    for Verdict { kernel, variant, max_rel_err, ok, reason, .. } in &verdicts {
        let error = max_rel_err.map_or("-".to_owned(), |error| format!("{error:.1e}"));
        let word = if *ok { "ok" } else { "WRONG" };
        output::line(&format!("{word:<6}{error:>8}  {kernel:<18}{variant}"))?;
        if !ok {
            output::line(&format!("      {reason}"))?;
        }
    }
    let wrong = verdicts.iter().filter(|verdict| !verdict.ok).count();
    let excluded: Vec<&str> = report.excluded.iter().map(String::as_str).collect();
    let fate = match (wrong, report.ok()) {
        (0, _) => "all correct".to_owned(),
        (_, true) => format!("{wrong} wrong and excluded: {}", excluded.join(", ")),
        (_, false) => format!("{wrong} wrong; this adapter cannot be used"),
    };
    output::line(&format!("{} variants: {fate}", verdicts.len()))
}
