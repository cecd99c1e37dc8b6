//! Splitting independent work over threads, with results that do not depend on their number.

use std::sync::OnceLock;
use std::thread;

/// Multiplications that are worth the start of one more thread.
const WORK_PER_THREAD: usize = 1 << 18;

/// Fills each run of `unit` values of `out` by `fill(index of the run, the run)`.
///
/// `work` is about the number of multiplications in one run; little work stays on this thread.
/// Each run is computed by one call, so the values are the same for any number of threads.
pub(super) fn fill_runs(
    out: &mut [f64],
    unit: usize,
    work: usize,
    fill: impl Fn(usize, &mut [f64]) + Sync,
) {
    if out.is_empty() || unit == 0 {
        return;
    }
    debug_assert_eq!(out.len() % unit, 0);
    let runs = out.len() / unit;
    let threads = (runs.saturating_mul(work) / WORK_PER_THREAD).clamp(1, processors());
    let runs_per_thread = runs.div_ceil(threads);
    let fill_part = |part: usize, values: &mut [f64]| {
        for (i, run) in values.chunks_mut(unit).enumerate() {
            fill(part * runs_per_thread + i, run);
        }
    };
    // This thread takes the first part itself, so a single part starts no thread at all.
    let mut parts = out.chunks_mut(runs_per_thread * unit).enumerate();
    let first = parts.next();
    thread::scope(|scope| {
        for (part, values) in parts {
            let fill_part = &fill_part;
            scope.spawn(move || fill_part(part, values));
        }
        if let Some((part, values)) = first {
            fill_part(part, values);
        }
    });
}

/// How many threads this machine runs at once; cached, since the query reads files.
fn processors() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_is_filled_once_whatever_the_threads() {
        for work in [0, WORK_PER_THREAD, usize::MAX] {
            let mut out = vec![0.0; 7 * 3];
            fill_runs(&mut out, 3, work, |run, values| {
                for (i, value) in values.iter_mut().enumerate() {
                    *value += (run * 3 + i) as f64;
                }
            });
            let expected: Vec<f64> = (0..21).map(f64::from).collect();
            assert_eq!(out, expected, "work {work}");
        }
    }
}
