//! Norms, whole and step by step, those of heads, and the other sum over a row: log-probabilities.

use crate::check::Device;
use crate::check::device::{TOLERANCE, Values, wide};
use crate::error::Result;
use crate::ops::{
    Columns, DivideRows, GainBias, HeadNorm, LayerNorm, LayerNormCenter, LogProb, RmsNorm, RmsScale,
};
use crate::reference as twin;

use super::Case;

/// Both norms of some rows, with gains and without, and their steps.
#[derive(Clone, Copy, Debug)]
pub struct Norms {
    /// Rows.
    pub rows: usize,
    /// Values of a row.
    pub columns: usize,
    /// What they are.
    pub values: Values,
}

impl Case for Norms {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns, values } = self;
        let values = device.values(values, rows * columns);
        let (gains, biases) = (device.noise(columns), device.noise(columns));
        let (all, ones, zeros) = (wide(&values), vec![1.0; columns], vec![0.0; columns]);
        let x = device.tensor(rows, columns, &values)?;
        let gain = device.tensor(1, columns, &gains)?;
        let bias = device.tensor(1, columns, &biases)?;
        let out = device.output(rows, columns)?;
        for affine in [Some((gain, bias)), None] {
            if device.run(&LayerNorm { x, affine, eps: 1e-5, out }, 0)? {
                let (gain, bias) =
                    if affine.is_some() { (&gains, &biases) } else { (&ones, &zeros) };
                device.expect(&out, twin::layer_norm(&all, gain, bias, 1e-5))?;
            }
        }
        for gain in [Some(gain), None] {
            if device.run(&RmsNorm { x, gain, eps: 1e-6, out }, 0)? {
                let gain = if gain.is_some() { &gains } else { &ones };
                device.expect(&out, twin::rms_norm(&all, gain, 1e-6))?;
            }
        }
        if device.run(&LayerNormCenter { x, out }, 0)? {
            let centred = twin::layer_norm_center(&all, columns);
            // Equal values leave the rounding of their mean, where the twin has nothing.
            let nothing = centred.iter().all(|x| x.abs() < 1e-12);
            device.expect_within(&out, centred, if nothing { f64::INFINITY } else { TOLERANCE })?;
        }
        let scales = twin::rms_scale(&all, columns, 1e-6);
        let scale = device.output(rows, 1)?;
        if device.run(&RmsScale { x, eps: 1e-6, out: scale }, 0)? {
            device.expect(&scale, scales.clone())?;
        }
        let narrow: Vec<f32> = scales.iter().map(|&scale| scale as f32).collect();
        let scale = device.tensor(rows, 1, &narrow)?;
        if device.run(&DivideRows { x, scale, out }, 0)? {
            device.expect(&out, twin::divide_rows(&all, &wide(&narrow)))?;
        }
        for bias in [Some(bias), None] {
            if device.run(&GainBias { x, gain, bias, out }, 0)? {
                let bias = bias.map(|_| &biases[..]);
                device.expect(&out, twin::gain_bias(&all, &gains, bias))?;
            }
        }
        Ok(())
    }
}

/// ln p of one token a row.
#[derive(Clone, Copy, Debug)]
pub struct Targets {
    /// Rows.
    pub rows: usize,
    /// Logits of a row.
    pub vocab: usize,
    /// What they are.
    pub values: Values,
}

impl Case for Targets {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, vocab, values } = self;
        let values = device.values(values, rows * vocab);
        let targets: Vec<u32> = (0..rows).map(|row| (row * 31 % vocab) as u32).collect();
        let logits = device.tensor(rows, vocab, &values)?;
        let ids = device.words(&targets)?;
        let out = device.buffer(4 * rows as u64)?;
        if device.run(&LogProb { logits, targets: ids, out }, 0)? {
            let expected = twin::log_prob(&wide(&values), &targets);
            super::rope::expect_words(device, out, expected, TOLERANCE)?;
        }
        Ok(())
    }
}

/// Heads normalised one by one, between columns that stay.
#[derive(Clone, Copy, Debug)]
pub struct HeadNorms {
    /// Rows.
    pub rows: usize,
    /// Heads with the first gain, heads with the second, and their width.
    pub heads: [usize; 3],
    /// What they hold.
    pub values: Values,
}

impl Case for HeadNorms {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, heads: [queries, keys, width], values } = self;
        let (heads, before, after) = (queries + keys, 3, 2 * width);
        let columns = before + heads * width + after;
        let values = device.values(values, rows * columns);
        let gain = device.noise(2 * width);
        let of = device.tensor(rows, columns, &values)?;
        let gains = device.tensor(2, width, &gain)?;
        let x = Columns::range(of, before, heads * width);
        if !device.run(&HeadNorm { x, queries, gains, eps: 1e-6 }, 0)? {
            return Ok(());
        }
        let mut expected = wide(&values);
        for row in expected.chunks_mut(columns) {
            let normed = &mut row[before..before + heads * width];
            for (head, values) in normed.chunks_mut(width).enumerate() {
                let gain = if head < queries { &gain[..width] } else { &gain[width..] };
                values.copy_from_slice(&twin::rms_norm(values, gain, 1e-6));
            }
        }
        device.expect(&of, expected)
    }
}
