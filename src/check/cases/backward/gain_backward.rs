//! The gradient of a norm's gain.

use crate::check::device::{Device, to_f64};
use crate::check::values::Values;
use crate::config::Norm;
use crate::error::Result;
use crate::ops;
use crate::reference::backward as twin;

use super::super::case::{Case, Tables};
use super::super::expect::expect_cancelled;
use super::gradients::{SMALL_SHAPES, expect_padding, partial_gradient, sum};

/// ∂γ of some rows, of both norms, added to what is there; means and scales are the twin's.
#[derive(Clone, Copy, Debug)]
pub struct GainBackward {
    /// Rows.
    pub rows: usize,
    /// Values per row.
    pub columns: usize,
    /// What was normalized.
    pub values: Values,
}

impl Case for GainBackward {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns, values } = self;
        let values = device.values(values, rows * columns);
        let back = device.noise(rows * columns);
        let x = device.tensor(rows, columns, &values)?;
        let dy = device.tensor(rows, columns, &back)?;
        let (wide_x, wide_dy) = (to_f64(&values), to_f64(&back));
        for kind in [Norm::LayerNorm, Norm::RmsNorm] {
            let gain = vec![1.0; columns];
            let stats = twin::norm_backward(&wide_x, &gain, &wide_dy, 1e-5, kind).stats;
            let narrow: Vec<f32> = stats.iter().map(|&stat| stat as f32).collect();
            let stats = device.tensor(rows, 2, &narrow)?;
            let (out, before) = partial_gradient(device, 1, columns)?;
            if device.run(&ops::backward::GainBackward { x, dy, stats, out }, 0)? {
                let gain = twin::gain_backward(&wide_x, &wide_dy, &to_f64(&narrow), columns);
                let all = sum(&before, &gain);
                if columns == 1 {
                    // One number may cancel against what is there. Each row adds at most |dy x̂| ≤
                    // 1, with five roundings and as many more as rows are summed.
                    let count = rows as f64;
                    expect_cancelled(device, &out, all, count + 5.0, count + 1.0)?;
                } else {
                    device.expect(&out, all)?;
                }
                expect_padding(device, &out)?;
            }
        }
        Ok(())
    }
}

impl Tables for GainBackward {
    fn variants() -> Vec<Self> {
        let of = |(rows, columns)| Values::ALL.map(|values| Self { rows, columns, values });
        SMALL_SHAPES.into_iter().flat_map(of).collect()
    }

    /// Enough rows for all lanes to share them.
    fn once() -> Vec<Self> {
        vec![Self { rows: 600, columns: 7, values: Values::Plain }]
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        let (plain, large) = (Values::Plain, Values::Large);
        // Enough rows for some lanes, and for all, to share them.
        [(3, 257, plain), (3, 257, large), (40, 7, plain), (600, 7, plain)]
            .map(|(rows, columns, values)| Self { rows, columns, values })
            .to_vec()
    }
}
