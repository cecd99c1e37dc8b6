//! The norm of all gradients, and how it clips them.

use crate::check::device::{Device, TOLERANCE, to_f64};
use crate::error::Result;
use crate::ops;
use crate::reference::backward as twin;

use super::super::case::{Case, Tables};
use super::gradients::expect_each;
use super::step::STEP;

/// The norm from some sums of squares.
#[derive(Clone, Copy, Debug)]
pub struct Clip {
    /// How many sums.
    pub count: usize,
    /// The approximate value of each.
    pub scale: f32,
    /// One of them, if it is not finite.
    pub broken: Option<f32>,
}

impl Case for Clip {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { count, scale, broken } = self;
        let mut sums: Vec<f32> = device.noise(count).iter().map(|x| scale * x.abs()).collect();
        if let Some(value) = broken {
            sums[count / 2] = value;
        }
        let partials = device.words(&sums)?;
        let settings = STEP.words(device)?;
        let out = device.buffer(16)?;
        if !device.run(&ops::backward::Clip { partials, count, settings, out }, 0)? {
            return Ok(());
        }
        let twin::Clipped { factor, length, finite } = twin::clip(&to_f64(&sums), STEP.most);
        if finite {
            return expect_each(device, out, vec![factor, length, 1.0, 0.0], TOLERANCE);
        }
        device.compare_bytes(out, 16, 0.0, |bytes, _| {
            let found: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
            let noticed = found.get(2) == Some(&0.0);
            let reason = if noticed { "" } else { "a gradient that is not finite passes" };
            (if noticed { 0.0 } else { f64::INFINITY }, reason.to_owned())
        })
    }
}

impl Tables for Clip {
    fn variants() -> Vec<Self> {
        let (nan, infinity) = (Some(f32::NAN), Some(f32::INFINITY));
        [(2, 1e3, None), (2, 1e3, nan), (2, 1e3, infinity), (2, 1e-9, None), (700, 1.0, None)]
            .map(|(count, scale, broken)| Self { count, scale, broken })
            .to_vec()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        [None, Some(f32::NAN)].map(|broken| Self { count: 2, scale: 1e3, broken }).to_vec()
    }
}
