//! How fast an adapter multiplies matrices with our own kernels: what training speed is compared
//! with.

use crate::error::Result;
use crate::gpu::{Engine, Recording};
use crate::ops::{Linear, Op};
use crate::select::{DeviceProfile, KernelSelection, Matmul, Shape};

use super::timing::{time, with_linear};

/// Timed runs of which the best counts.
const RUNS: usize = 5;

/// A timed submit lasts about this long, in seconds, so that submission overhead does not matter.
const TURN: f64 = 20e-3;

/// The most products in one submit.
const MOST: usize = 1024;

/// The rate of the fastest f32 product that the kernels reach on an adapter, in 10⁹ multiplications
/// and additions per second: the best of all variants that may be used, over all these shapes.
///
/// # Errors
/// [`Error::Memory`](crate::Error::Memory) if a shape does not fit,
/// [`Error::Device`](crate::Error::Device) if the device fails.
pub fn products(engine: &mut Engine, profile: &DeviceProfile, shapes: &[Shape]) -> Result<f64> {
    let caps = engine.gpu().caps().clone();
    let mut best = 0.0_f64;
    for shape in shapes {
        let mut variants = vec![KernelSelection::new(&caps, profile.clone())];
        for matmul in Matmul::candidates(&caps) {
            if matmul != Matmul::TiledF16 {
                let mut profile = profile.unmeasured();
                profile.matmul.insert(*shape, matmul);
                variants.push(KernelSelection::new(&caps, profile));
            }
        }
        best = best.max(with_linear(engine, shape, |engine, op| rate(engine, op, &variants))?);
    }
    Ok(best)
}

/// The best rate of a linear layer over all variants.
fn rate(engine: &mut Engine, op: &Linear<'_>, variants: &[KernelSelection]) -> Result<f64> {
    let times = variants.iter().map(|selection| seconds(engine, op, selection));
    let best = times.collect::<Result<Vec<f64>>>()?.into_iter().fold(f64::INFINITY, f64::min);
    Ok(2.0 * (op.x.rows * op.weight.rows * op.weight.columns) as f64 / best / 1e9)
}

/// The best time of an op in one variant.
fn seconds(engine: &mut Engine, op: &dyn Op, selection: &KernelSelection) -> Result<f64> {
    let mut recording = Recording::new();
    op.record(&mut recording, selection)?;
    let plan = engine.prepare(&recording)?;
    // The first run compiles.
    time(engine, &plan, 0, 1)?;
    let repeat = ((TURN / time(engine, &plan, 0, 1)?) as usize).clamp(1, MOST);
    (0..RUNS).try_fold(f64::INFINITY, |best, _| Ok(best.min(time(engine, &plan, 0, repeat)?)))
}
