//! What a step does with gradients.

use half::f16;

use crate::check::Device;
use crate::check::device::{TOLERANCE, wide};
use crate::error::Result;
use crate::ops::backward::{AdamW, CastF16, Clip, Sgd, SquareSum};
use crate::reference::backward as twin;

use super::super::Case;
use super::super::rope::expect_words;

/// The length of two gradients, and the move of one's parameters.
#[derive(Clone, Copy, Debug)]
pub struct Moves {
    /// Values; a multiple of four.
    pub count: usize,
    /// What gradients are multiplied by.
    pub scale: f32,
    /// What one value of the gradient is, where it is no finite number.
    pub broken: Option<f32>,
}

impl Case for Moves {
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
        let (step, most) = (3, 1.0);
        let settings = twin::AdamW { rate: 0.01, betas: [0.9, 0.95], eps: 1e-8, decay: 0.1 };
        let twin::AdamW { rate, betas: [b1, b2], eps, decay } = settings;
        let words = [rate, b1, b2, eps, decay, 1.0 - b1.powi(step), 1.0 - b2.powi(step), most];
        let words = device.words(&words.map(|word| word as f32))?;
        let other = [3.0_f32, -4.0, 0.0, 12.0];
        let gradient = device.words(&g)?;
        let (slots, second) = (SquareSum::slots(count), device.words(&other)?);
        let partials = device.buffer(4 * (slots as u64 + 1))?;
        let clip = device.buffer(16)?;
        let sums = [
            SquareSum { values: gradient, count, out: partials, slot: 0 },
            SquareSum { values: second, count: 4, out: partials, slot: slots },
        ];
        let join = Clip { partials, count: slots + 1, settings: words, out: clip };
        if !device.run_all(&[&sums[0], &sums[1], &join], 0, 1)? {
            return Ok(());
        }
        let (wide_g, wide_other) = (wide(&g), wide(&other));
        let factor = twin::clip_scale([&wide_g[..], &wide_other], most);
        let length = if factor < 1.0 { most / factor } else { f64::NAN };
        if broken {
            device.judge(clip, 16, 0.0, |bytes, _| {
                let found: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
                let noticed = found[2] == 0.0;
                let reason = if noticed { "" } else { "a gradient that is no number passes" };
                (if noticed { 0.0 } else { f64::NAN }, reason.to_owned())
            })?;
        } else {
            expect_words(device, clip, vec![factor, length, 1.0, 0.0], TOLERANCE)?;
        }
        for decays in [true, false] {
            let parameters = device.words(&theta)?;
            let gradient = device.words(&g)?;
            let (mean, square) = (device.words(&m)?, device.words(&v)?);
            let settings = words;
            let op = AdamW { parameters, gradient, mean, square, count, settings, clip, decays };
            if !device.run(&op, 0)? {
                continue;
            }
            let mut expected = wide(&theta);
            let mut moments = twin::Moments { mean: wide(&m), square: wide(&v) };
            if !broken {
                let cut: Vec<f64> = wide_g.iter().map(|g| factor * g).collect();
                let decay = if decays { decay } else { 0.0 };
                let settings = twin::AdamW { rate, betas: [b1, b2], eps, decay };
                twin::adam_w(&mut expected, &mut moments, &cut, settings, step as u32);
                expect_words(device, gradient, vec![0.0; count], 0.0)?;
            }
            expect_words(device, parameters, expected, TOLERANCE)?;
            expect_words(device, mean, moments.mean, TOLERANCE)?;
            expect_words(device, square, moments.square, TOLERANCE)?;
        }
        let parameters = device.words(&theta)?;
        if device.run(&Sgd { parameters, gradient, count, settings: words, clip }, 0)? {
            let mut expected = wide(&theta);
            if !broken {
                let cut: Vec<f64> = wide_g.iter().map(|g| factor * g).collect();
                twin::sgd(&mut expected, &cut, rate);
                expect_words(device, gradient, vec![0.0; count], 0.0)?;
            }
            expect_words(device, parameters, expected, TOLERANCE)?;
        }
        Ok(())
    }
}

/// Values that become halves.
#[derive(Clone, Copy, Debug)]
pub struct Casts {
    /// How many are random; a multiple of eight.
    pub count: usize,
}

impl Case for Casts {
    fn run(&self, device: &mut Device) -> Result<()> {
        // Zero, what is below any half, the smallest halves and the first one with a leading one, the
        // largest, and no numbers; each with its neighbours, and with those of the middle of a step.
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
        if device.run(&CastF16 { values: from, count, out }, 0)? {
            let expected = twin::cast_f16(&values);
            device.judge(out, count as u64 * 2, 0.0, move |bytes, _| {
                let found: Vec<f16> = bytemuck::pod_collect_to_vec(bytes);
                let same =
                    |a: f16, b: f16| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
                let pairs = found.iter().zip(&expected).zip(&values);
                let wrong = pairs.into_iter().find(|((a, b), _)| !same(**a, **b));
                let reason = wrong.map(|((a, b), value)| format!("{value:e} becomes {a}, not {b}"));
                (if wrong.is_some() { f64::NAN } else { 0.0 }, reason.unwrap_or_default())
            })?;
        }
        Ok(())
    }
}
