//! Parameters updated by SGD.

use crate::check::device::{Device, TOLERANCE, to_f64};
use crate::error::Result;
use crate::ops;
use crate::reference::backward as twin;

use super::super::case::{Case, Tables};
use super::super::expect::expect_words;
use super::step::STEP;

/// The update of a tensor's parameters. Nothing changes if the gradient norm is not finite.
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    /// Values; a multiple of four.
    pub count: usize,
    /// What gradients are multiplied by.
    pub scale: f32,
    /// One value of the gradient, if it is not finite.
    pub broken: Option<f32>,
}

impl Case for Sgd {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { count, scale, broken } = self;
        let theta = device.noise(count);
        let mut g: Vec<f32> = device.noise(count).iter().map(|x| scale * x).collect();
        if let Some(value) = broken {
            g[count / 2] = value;
        }
        let broken = broken.is_some();
        let settings = STEP.words(device)?;
        let (clip, factor) = STEP.clipped(device, &to_f64(&g), broken)?;
        let (parameters, gradient) = (device.words(&theta)?, device.words(&g)?);
        if device.run(&ops::backward::Sgd { parameters, gradient, count, settings, clip }, 0)? {
            let mut expected = to_f64(&theta);
            if !broken {
                let cut: Vec<f64> = to_f64(&g).iter().map(|g| factor * g).collect();
                twin::sgd(&mut expected, &cut, STEP.settings.rate);
                expect_words(device, gradient, vec![0.0; count], 0.0)?;
            }
            expect_words(device, parameters, expected, TOLERANCE)?;
        }
        Ok(())
    }
}

impl Tables for Sgd {
    fn once() -> Vec<Self> {
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
