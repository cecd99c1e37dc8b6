//! Sums of squares.

use crate::check::device::{Device, TOLERANCE, to_f64};
use crate::error::Result;
use crate::ops;
use crate::reference::backward as twin;

use super::super::case::{Case, Tables};
use super::gradients::expect_each;

/// Values whose squares go into one slot.
const SLOT: usize = 65_536;

/// The squares of two tensors, in slots of one buffer.
#[derive(Clone, Copy, Debug)]
pub struct SquareSum {
    /// Values of the first; a multiple of four.
    pub count: usize,
    /// What they are multiplied by.
    pub scale: f32,
    /// One of them, if it is not finite.
    pub broken: Option<f32>,
}

impl Case for SquareSum {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { count, scale, broken } = self;
        let mut values: Vec<f32> = device.noise(count).iter().map(|x| scale * x).collect();
        if let Some(value) = broken {
            values[count / 2] = value;
        }
        let other = [3.0_f32, -4.0, 0.0, 12.0];
        let (first, second) = (device.words(&values)?, device.words(&other)?);
        let slots = ops::backward::SquareSum::slots(count);
        let out = device.buffer(4 * (slots as u64 + 1))?;
        let sums = [
            ops::backward::SquareSum { values: first, count, out, slot: 0 },
            ops::backward::SquareSum { values: second, count: 4, out, slot: slots },
        ];
        if !device.run_all(&[&sums[0], &sums[1]], 0, 1)? {
            return Ok(());
        }
        let mut expected = twin::square_sum(&to_f64(&values), SLOT);
        expected.extend(twin::square_sum(&to_f64(&other), SLOT));
        if broken.is_none() {
            return expect_each(device, out, expected, TOLERANCE);
        }
        device.compare_bytes(out, 4 * expected.len() as u64, 0.0, move |bytes, _| {
            let found: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
            let same = found.len() == expected.len()
                && found.iter().zip(&expected).all(|(a, b)| a.is_finite() == b.is_finite());
            let reason = if same { "" } else { "a value that is not finite leaves a finite sum" };
            (if same { 0.0 } else { f64::INFINITY }, reason.to_owned())
        })
    }
}

impl Tables for SquareSum {
    fn variants() -> Vec<Self> {
        let (nan, infinity) = (Some(f32::NAN), Some(f32::NEG_INFINITY));
        [(1000, 1.0, None), (1000, 1.0, nan), (1000, 1.0, infinity), (1000, 1e-6, None)]
            .into_iter()
            .chain([(300_000, 1.0, None)])
            .map(|(count, scale, broken)| Self { count, scale, broken })
            .collect()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        [None, Some(f32::NAN)].map(|broken| Self { count: 1000, scale: 1.0, broken }).to_vec()
    }
}
