//! Gradients through norms.

use crate::check::device::{Device, to_f64};
use crate::check::values::Values;
use crate::config::Norm;
use crate::error::Result;
use crate::gpu::Tensor;
use crate::measure;
use crate::ops;
use crate::reference::backward as twin;

use super::super::case::{Case, Tables};
use super::super::expect::expect_cancelled;
use super::gradients::{SMALL_SHAPES, partial_gradient, sum};

/// ∂x of a norm, with a gain, and without one but added to what is there; and the mean and scale
/// used for the gain's gradient.
#[derive(Clone, Copy, Debug)]
pub struct NormBackward {
    /// Which norm.
    pub kind: Norm,
    /// Rows.
    pub rows: usize,
    /// Values per row.
    pub columns: usize,
    /// What was normalized.
    pub values: Values,
}

impl Case for NormBackward {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { kind, rows, columns, values } = self;
        let eps = 1e-5;
        let x = device.values(values, rows * columns);
        let (dy, gains) = (device.noise(rows * columns), device.noise(columns));
        let ones = vec![1.0; columns];
        let (wide_x, wide_dy) = (to_f64(&x), to_f64(&dy));
        let x = device.tensor(rows, columns, &x)?;
        let dy = device.tensor(rows, columns, &dy)?;
        let gain = device.tensor(1, columns, &gains)?;
        for (gain, add) in [(Some(gain), false), (None, true)] {
            let (dx, before) = partial_gradient(device, rows, columns)?;
            let stats = device.output(rows, 2)?;
            let op = ops::backward::NormBackward { norm: kind, x, gain, dy, eps, add, dx, stats };
            if !device.run(&op, 0)? {
                continue;
            }
            let gains = if gain.is_some() { &gains } else { &ones };
            let expected = twin::norm_backward(&wide_x, gains, &wide_dy, eps, kind);
            let all = if add { sum(&before, &expected.x) } else { expected.x };
            if columns == 1 {
                // All of n cancels: x̂ is ±1 but for ε, so that n − x̂ · mean(n ⊙ x̂) is only what
                // rounding leaves of n, which is then multiplied by 1 / s. WGSL lets a root be off
                // by 4.5 ulp and a division by 2.5, which are 9 roundings and 5; so 1 / s has up to
                // 17, x̂ one more, and it comes in twice, with a division by C and four products
                // and differences: 45 in all.
                let size =
                    |values: &mut dyn Iterator<Item = f64>| measure::largest(values.map(f64::abs));
                let n = size(&mut wide_dy.iter().map(|dy| dy * f64::from(gains[0])));
                let scale = size(&mut expected.stats.chunks(2).map(|stats| stats[1]));
                let there = if add { size(&mut before.iter().copied()) } else { 0.0 };
                expect_cancelled(device, &dx, all, 48.0, n * scale + there)?;
            } else {
                device.expect(&dx, all)?;
            }
            expect_stats(device, &stats, expected.stats, &wide_x)?;
        }
        Ok(())
    }
}

/// Compares each row's mean and scale with the twin's: scales by relative error, means relative to
/// the magnitude of what they sum, since that may cancel.
fn expect_stats(device: &mut Device, found: &Tensor, twin: Vec<f64>, x: &[f64]) -> Result<()> {
    let largest = measure::largest(x.iter().map(|x| x.abs()));
    let stride = found.stride();
    device.compare_bytes(found.buffer, found.bytes(), 1e-5, move |bytes, tolerance| {
        let stored: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
        let column = |at: usize| -> Vec<f32> { stored.chunks(stride).map(|row| row[at]).collect() };
        let expected = |at: usize| -> Vec<f64> { twin.chunks(2).map(|row| row[at]).collect() };
        let means = measure::furthest(&column(0), &expected(0)) / largest;
        let scales = measure::relative_error(&column(1), &expected(1));
        let error = means.max(scales);
        let reason = format!("means are off by {means:e}, scales by {scales:e}");
        (error, if error > tolerance { reason } else { String::new() })
    })
}

const KINDS: [Norm; 2] = [Norm::LayerNorm, Norm::RmsNorm];

impl Tables for NormBackward {
    fn variants() -> Vec<Self> {
        let of = |kind| {
            SMALL_SHAPES.into_iter().flat_map(move |(rows, columns)| {
                Values::ALL.map(|values| Self { kind, rows, columns, values })
            })
        };
        KINDS.into_iter().flat_map(of).collect()
    }

    fn once() -> Vec<Self> {
        KINDS.map(|kind| Self { kind, rows: 600, columns: 7, values: Values::Plain }).to_vec()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        let of = |kind| {
            [Values::Plain, Values::Large].map(|values| Self {
                kind,
                rows: 3,
                columns: 257,
                values,
            })
        };
        KINDS.into_iter().flat_map(of).collect()
    }
}
