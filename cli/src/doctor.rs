//! `pellucid doctor`: tells whether a GPU calculates rightly.

use clap::Args;
use pellucid::check::{self, Report, Verdict};
use pellucid::gpu::{Adapter, Engine, Gpu};
use pellucid::{Error, Result};
use serde::Serialize;

use crate::options::DeviceOptions;
use crate::output;

/// Tells whether a GPU calculates rightly.
///
/// Every kernel, in every variant that the adapter offers, is held against a plain calculation on the
/// CPU, over shapes and values that have broken kernels before. Loading a model tries those variants
/// that it uses by itself, once for each adapter and driver; a wrong one is left out there.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Print one JSON object instead of a table
    #[arg(long)]
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
        let no_gpu = || Error::Input("--backend cpu has no kernels to try".to_owned());
        let gpu = Gpu::open(&self.device.choice()?.ok_or_else(no_gpu)?).await?;
        let adapter = gpu.adapter().clone();
        let bar = output::progress_bar("trying {bar:30} {pos} of {len} cases");
        let mut progress = |done: usize, total: usize| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        };
        let report = check::doctor(Engine::new(gpu), &mut progress).await;
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
        (0, _) => "all are right".to_owned(),
        (_, true) => format!("{wrong} wrong; not to be used: {}", excluded.join(", ")),
        (_, false) => format!("{wrong} wrong; this adapter is of no use"),
    };
    output::line(&format!("{} variants: {fate}", verdicts.len()))
}
