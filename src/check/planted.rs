//! For tests that plant a fault in one kernel or part: whether a case of the self-test catches it.

use crate::error::Result;
use crate::gpu::Engine;
use crate::select::KernelSelection;

use super::device::Device;
use super::outcome::Outcome;
use super::run_filter::RunFilter;
use super::suites;

/// The first failure of a program with a kernel or part of this name, and the number of runs
/// compared up to it, over all cases of the self-test.
///
/// # Errors
/// [`Error::Device`](crate::Error::Device) if the device is lost,
/// [`Error::Memory`](crate::Error::Memory) if it has too little.
#[doc(hidden)]
pub async fn first_failure(engine: Engine, name: &str) -> Result<(usize, Option<Outcome>)> {
    let caps = engine.gpu().caps().clone();
    let mut device = Device::new(engine, KernelSelection::defaults(&caps));
    device.filter = RunFilter::using(name);
    let suites = [suites::rest(), suites::linear()];
    let mut compared = 0;
    for (i, selection) in KernelSelection::all(&caps).into_iter().enumerate() {
        device.selection = selection;
        let once = suites.iter().flat_map(|suite| suite.once.iter().filter(|_| i == 0));
        let variants = suites.iter().flat_map(|suite| &suite.variants);
        for case in once.chain(variants) {
            for outcome in case.attempt(&mut device).await? {
                compared += 1;
                if !outcome.ok() {
                    return Ok((compared, Some(outcome)));
                }
            }
        }
        device.filter.end_round();
    }
    Ok((compared, None))
}
