//! Parameters updated by `AdamW`.

use crate::check::device::{Device, TOLERANCE, to_f64};
use crate::error::Result;
use crate::ops;
use crate::reference::backward as twin;

use super::super::case::{Case, Tables};
use super::super::expect::expect_words;
use super::step::STEP;

/// The update of a tensor's parameters, with decay and without. Nothing changes if the gradient
/// norm is not finite.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// Values; a multiple of four.
    pub count: usize,
    /// What gradients are multiplied by.
    pub scale: f32,
    /// One value of the gradient, if it is not finite.
    pub broken: Option<f32>,
}

impl Case for AdamW {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { count, scale, broken } = self;
        let mut noise =
            |scale: f32| -> Vec<f32> { device.noise(count).iter().map(|x| scale * x).collect() };
        let (theta, mut g, m) = (noise(1.0), noise(scale), noise(0.1));
        let v: Vec<f32> = noise(0.01).iter().map(|x| x * x).collect();
        if let Some(value) = broken {
            g[count / 2] = value;
        }
        let broken = broken.is_some();
        let settings = STEP.words(device)?;
        let (clip, factor) = STEP.clipped(device, &to_f64(&g), broken)?;
        for decays in [true, false] {
            let (parameters, gradient) = (device.words(&theta)?, device.words(&g)?);
            let (mean, square) = (device.words(&m)?, device.words(&v)?);
            let op = ops::backward::AdamW {
                parameters,
                gradient,
                mean,
                square,
                count,
                settings,
                clip,
                decays,
            };
            if !device.run(&op, 0)? {
                continue;
            }
            let mut expected = to_f64(&theta);
            let mut moments = twin::Moments { mean: to_f64(&m), square: to_f64(&v) };
            if !broken {
                let cut: Vec<f64> = to_f64(&g).iter().map(|g| factor * g).collect();
                let decay = if decays { STEP.settings.decay } else { 0.0 };
                let settings = twin::AdamW { decay, ..STEP.settings };
                twin::adam_w(&mut expected, &mut moments, &cut, settings, STEP.number);
                expect_words(device, gradient, vec![0.0; count], 0.0)?;
            }
            expect_words(device, parameters, expected, TOLERANCE)?;
            expect_words(device, mean, moments.mean, TOLERANCE)?;
            expect_words(device, square, moments.square, TOLERANCE)?;
        }
        Ok(())
    }
}

impl Tables for AdamW {
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
