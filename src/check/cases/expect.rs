//! Expectations about buffers that are not plain matrices.

use half::f16;

use crate::check::device::{Device, TOLERANCE};
use crate::check::outcome::compare;
use crate::error::Result;
use crate::gpu::{BufferId, Tensor};
use crate::measure;
use crate::ops::CacheFormat;
use crate::reference::cached_f16;

/// Half an ulp of one: the relative error of one rounding to f32.
pub(super) const ROUNDING: f64 = f32::EPSILON as f64 / 2.0;

/// Compares a buffer of f32, without padding, with the twin's values.
pub(super) fn expect_words(
    device: &mut Device,
    buffer: BufferId,
    twin: Vec<f64>,
    tolerance: f64,
) -> Result<()> {
    device.compare_bytes(buffer, 4 * twin.len() as u64, tolerance, move |bytes, tolerance| {
        compare(&bytemuck::pod_collect_to_vec::<u8, f32>(bytes), &twin, tolerance)
    })
}

/// Compares a matrix with values that are differences of much larger ones: no error may exceed
/// `roundings` roundings of a number of magnitude `of`. A relative error means nothing when all
/// digits cancel.
pub(super) fn expect_cancelled(
    device: &mut Device,
    found: &Tensor,
    twin: Vec<f64>,
    roundings: f64,
    of: f64,
) -> Result<()> {
    let (stride, columns) = (found.stride(), found.columns);
    let tolerance = roundings * ROUNDING;
    device.compare_bytes(found.buffer, found.bytes(), tolerance, move |bytes, tolerance| {
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
        let rows = values.chunks_exact(stride).flat_map(|row| &row[..columns]);
        let found: Vec<f32> = rows.copied().collect();
        let error = measure::furthest(&found, &twin) / of;
        let reason =
            format!("a value is off by {error:e} of {of:e}, the magnitude of what cancels");
        (error, if error > tolerance { reason } else { String::new() })
    })
}

/// Compares a cache with its expected contents.
pub(super) fn expect_cache(
    device: &mut Device,
    buffer: BufferId,
    format: CacheFormat,
    twin: Vec<f64>,
) -> Result<()> {
    if format == CacheFormat::F32 {
        return expect_words(device, buffer, twin, TOLERANCE);
    }
    // Products in f16 were rounded before.
    let rounded = device.uses_f16();
    // The sums were made in f32, and where their terms cancel, their error is small next to the terms
    // and not to the sum. A cache in f32 is allowed the same error, relative to all of its values.
    let inside = twin.iter().filter(|value| !cached_f16(**value).is_nan());
    let squares: f64 = inside.map(|value| value * value).sum();
    let summed = TOLERANCE * (squares / twin.len().max(1) as f64).sqrt();
    // WGSL leaves open which way an f16 is rounded, so each may be off by its last bit.
    device.compare_bytes(buffer, 2 * twin.len() as u64, 1e-3, move |bytes, _| {
        let found: Vec<f16> = bytemuck::pod_collect_to_vec(bytes);
        if found.len() != twin.len() {
            return (f64::INFINITY, format!("{} f16 values, not {}", found.len(), twin.len()));
        }
        let gap = |(found, twin): (&f16, &f64)| match cached_f16(*twin) {
            // What has no f16 is NaN in the cache, and nothing else.
            held if held.is_nan() && found.is_nan() => 0.0,
            held if held.is_nan() => f64::INFINITY,
            _ => (found.to_f64() - twin).abs() / (twin.abs() / 1000.0 + 6e-8 + summed),
        };
        let gaps = found.iter().zip(&twin).map(gap).enumerate();
        // A NaN is larger than any number here.
        let (at, gap) = gaps.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default();
        if gap <= 1.0 || (rounded && gap.is_finite()) {
            let pairs = found.iter().zip(&twin).filter(|(found, _)| !found.is_nan());
            let (found, twin): (Vec<f32>, Vec<f64>) =
                pairs.map(|(found, twin)| (found.to_f32(), *twin)).unzip();
            return (measure::relative_error(&found, &twin), String::new());
        }
        (f64::INFINITY, format!("value {at} is {}, not {}", found[at], twin[at]))
    })
}
