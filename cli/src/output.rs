//! Output: results on standard output, notes and progress on standard error.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use pellucid::error::{LONGEST_FAULT, shortened};
use pellucid::gpu::{Adapter, Counters};
use pellucid::model::MemoryUse;
use pellucid::{Error, Remedy, Result};
use serde::Serialize;

use crate::visible;

/// The name of standard output in errors.
const OUTPUT: &str = "standard output";

/// Prints one JSON object and a newline. Numbers that are not finite become null.
pub(crate) fn json(object: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(object)
        .map_err(|error| Error::file(OUTPUT, format!("cannot write JSON: {error}")))?;
    line(&visible::json(&text))
}

/// Prints a line.
pub(crate) fn line(text: &str) -> Result<()> {
    piece(&format!("{text}\n"))
}

/// Prints a piece of text at once, without waiting for the end of the line. A terminal gets no control
/// sequences; a file or a pipe gets the text as it is.
pub(crate) fn piece(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    let shown = if out.is_terminal() { visible::text(text) } else { text.into() };
    out.write_all(shown.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|source| Error::io(OUTPUT, source))
}

/// Whether the error says that our output was closed, as by `| head`.
pub(crate) fn is_closed(error: &Error) -> bool {
    matches!(error, Error::Io { path, source }
        if path == Path::new(OUTPUT) && source.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes a line to standard error; if that is closed, nothing happens.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{}", visible::message(text));
}

/// An error as one line, with remedies in terms of the command line.
pub(crate) fn sentence(error: &Error) -> String {
    bounded(&one_line(&error.message(remedy)))
}

/// A message that may quote others: without control sequences, and of a length that can be read.
pub(crate) fn bounded(text: &str) -> String {
    shortened(&visible::message(text), LONGEST_FAULT).into_owned()
}

/// A remedy, by the names of options.
fn remedy(remedy: Remedy) -> String {
    let words = match remedy {
        Remedy::ShorterText => "shorten the text",
        Remedy::LongerContext => "raise --context",
        Remedy::ShorterContext { fits: Some(fits) } => {
            return format!("lower --context (at most {fits} fits)");
        }
        Remedy::ShorterContext { fits: None } => "lower --context",
        Remedy::CacheF16 => "use --cache-type f16",
        Remedy::CacheF32 => "use --cache-type f32",
        Remedy::WeightsQ4 { bytes } => {
            return format!("use --quantize q4_0 (weights of {} MiB)", bytes.div_ceil(1 << 20));
        }
        Remedy::LessMemory => {
            "use less memory: a shorter --context, --cache-type f16, --quantize q8_0, or for training \
             a smaller --batch"
        }
        Remedy::FewerSequences => "run fewer sequences at once",
        Remedy::FewerValues => "ask for fewer values at once",
        Remedy::SmallerBatch => "lower --batch and raise --grad-accum",
        Remedy::PlainDescent => "use --optimizer sgd, which keeps no moments",
        Remedy::SmallerModel => "use a smaller model",
        Remedy::LowerRate => "lower --lr",
        Remedy::LongerWarmup => "raise --warmup",
        Remedy::ClipGradients => "use --clip 1",
        Remedy::RunAgain => "run again",
        Remedy::OnCpu => "use --backend cpu",
        Remedy::OpenGl => "try OpenGL with --backend gl",
        Remedy::InstallDriver => "install a Vulkan driver",
        Remedy::UpdateDriver => "update its driver",
        Remedy::OtherAdapter => "choose another with --adapter",
    };
    words.to_owned()
}

/// A message as one line; those of drivers may have several.
fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

/// Reports the memory that a model will take, before it is loaded.
pub(crate) fn planned(adapter: &Adapter, fit: &MemoryUse) {
    let parts = [fit.weights, fit.cache, fit.activations].map(HumanBytes);
    let [weights, cache, activations] = parts;
    note(&format!(
        "loading {weights} of weights; {cache} for the KV cache, about {activations} for activations, on {}",
        place(Some(adapter))
    ));
}

/// A bar for loading a model; hidden unless standard error is a terminal.
pub(crate) fn loading_bar() -> ProgressBar {
    progress_bar("loading {bar:30} {bytes} of {total_bytes}")
}

/// A bar of this form; hidden unless standard error is a terminal.
pub(crate) fn progress_bar(template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Moves a bar to so many of all.
pub(crate) fn counted(bar: &ProgressBar) -> impl Fn(usize, usize) {
    |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    }
}

/// A bar for a download; if standard error is not a terminal, a line for a large one.
pub(crate) fn download_bar(name: &str, size: Option<u64>) -> ProgressBar {
    let template = "{msg} {bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    let bar = progress_bar(template).with_message(visible::message(name).into_owned());
    bar.set_length(size.unwrap_or(0));
    if let Some(size) = size.filter(|size| *size > 1 << 20)
        && bar.is_hidden()
    {
        note(&format!("downloading {name}, {}", HumanBytes(size)));
    }
    bar
}

/// Count per second; `None` if either is zero.
pub(crate) fn rate(count: usize, time: Duration) -> Option<f64> {
    (count > 0 && !time.is_zero()).then(|| count as f64 / time.as_secs_f64())
}

/// A rate as text.
pub(crate) fn shown(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"))
}

/// Where a model runs.
pub(crate) fn place(adapter: Option<&Adapter>) -> String {
    adapter.map_or_else(
        || "the reference on the CPU".to_owned(),
        |adapter| format!("{} ({})", adapter.name, adapter.backend),
    )
}

/// Where a model runs, for reports at the end: [`planned`] has already named an adapter.
pub(crate) fn unnamed(adapter: Option<&Adapter>) -> Option<String> {
    adapter.is_none().then(|| place(adapter))
}

/// What the engine did per token.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct PerToken {
    pub(crate) dispatches_per_token: f64,
    passes_per_token: f64,
    pub(crate) submits_per_token: f64,
    readback_bytes_per_token: f64,
    pub(crate) weight_bytes_per_token: f64,
    allocations_per_token: f64,
}

impl From<(Counters, usize)> for PerToken {
    /// From the totals of a number of steps of one sequence.
    fn from((counters, steps): (Counters, usize)) -> Self {
        let each = |total: u64| total as f64 / steps as f64;
        Self {
            dispatches_per_token: each(counters.dispatches),
            passes_per_token: each(counters.passes),
            submits_per_token: each(counters.submits),
            readback_bytes_per_token: each(counters.readback_bytes),
            weight_bytes_per_token: each(counters.weight_bytes),
            allocations_per_token: each(counters.allocations),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_are_options() {
        let remedies = [
            Remedy::WeightsQ4 { bytes: 150 << 20 },
            Remedy::ShorterContext { fits: Some(2048) },
            Remedy::CacheF16,
        ];
        assert_eq!(
            sentence(&Error::memory("too large\n  by far", remedies)),
            "too large; by far; use --quantize q4_0 (weights of 150 MiB), lower --context (at most \
             2048 fits), or use --cache-type f16"
        );
        assert_eq!(
            sentence(&Error::Lost("x (y)".to_owned())),
            "the device was lost: x (y); run again or use --backend cpu"
        );
    }
}
