//! Values cast to f16.

use half::f16;

use crate::check::device::Device;
use crate::error::Result;
use crate::ops;
use crate::reference::backward as twin;

use super::super::case::{Case, Tables};

/// Values cast to f16.
#[derive(Clone, Copy, Debug)]
pub struct CastF16 {
    /// How many are random; a multiple of eight.
    pub count: usize,
}

impl Case for CastF16 {
    fn run(&self, device: &mut Device) -> Result<()> {
        // Zero, values below any f16, the smallest f16, the first normal one, the largest, and NaN
        // and infinity; each with its neighbors, and with those of the midpoint of a step.
        let ends = [0.0, 2e-45, 2.0_f32.powi(-25), 2.0_f32.powi(-24), 2.0_f32.powi(-14), 0.3, 1.0];
        let beyond = [65504.0, 65520.0, 1e9, f32::MAX, f32::INFINITY, f32::NAN];
        let mut values: Vec<f32> = Vec::new();
        for value in ends.into_iter().chain(beyond) {
            let near = [-0x1001, -0x1000, -0xfff, -1, 0, 1, 0xfff, 0x1000, 0x1001_i32];
            let near = near.map(|by| value.to_bits().saturating_add_signed(by) & 0x7fff_ffff);
            values.extend(
                near.into_iter().flat_map(|bits| [bits, bits | 1 << 31]).map(f32::from_bits),
            );
        }
        for scale in [1.0, 1e-5, 1e-7, 1e5] {
            values.extend(device.noise(self.count).iter().map(|value| scale * value));
        }
        values.resize(values.len().next_multiple_of(8), 0.0);
        let count = values.len();
        let (from, out) = (device.words(&values)?, device.buffer(count as u64 * 2)?);
        if device.run(&ops::backward::CastF16 { values: from, count, out }, 0)? {
            let expected = twin::cast_f16(&values);
            device.compare_bytes(out, count as u64 * 2, 0.0, move |bytes, _| {
                let found: Vec<f16> = bytemuck::pod_collect_to_vec(bytes);
                if found.len() != expected.len() {
                    return (f64::INFINITY, format!("{} f16 values, not {count}", found.len()));
                }
                let same =
                    |a: f16, b: f16| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
                let pairs = found.iter().zip(&expected).zip(&values);
                let wrong = pairs.into_iter().find(|((a, b), _)| !same(**a, **b));
                let reason = wrong.map(|((a, b), value)| format!("{value:e} becomes {a}, not {b}"));
                (if wrong.is_some() { f64::INFINITY } else { 0.0 }, reason.unwrap_or_default())
            })?;
        }
        Ok(())
    }
}

impl Tables for CastF16 {
    fn once() -> Vec<Self> {
        vec![Self { count: 100_000 }]
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        vec![Self { count: 1000 }]
    }
}
