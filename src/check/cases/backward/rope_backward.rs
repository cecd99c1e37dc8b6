//! Gradients through the rotation.

use crate::check::device::{Device, to_f64};
use crate::config::Rotation;
use crate::error::Result;
use crate::ops::backward::MAX_TRAINED_HEAD_WIDTH;
use crate::ops::{self, rope_table};
use crate::reference::RopeSize;
use crate::reference::backward as twin;

use super::super::case::{Case, Tables};

/// Gradients through the rotation, joined.
#[derive(Clone, Copy, Debug)]
pub struct RopeBackward {
    /// Query heads, key heads, and their width.
    pub heads: [usize; 3],
    /// Values of a head that are rotated.
    pub rotated: usize,
    /// What rotated values were multiplied by.
    pub amplitude: f64,
}

impl Case for RopeBackward {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { heads: [heads, kv_heads, width], rotated, amplitude } = self;
        let positions = [(0, 0), (1, 2), (255, 1), (256, 0), (4095, 0)];
        let (context, rows) = (4096, positions.len());
        let pairs = rotated / 2;
        let frequency = |i: usize| 1e4_f64.powf(-(i as f64) / pairs as f64);
        let rotation = Rotation { frequencies: (0..pairs).map(frequency).collect(), amplitude };
        let dq = device.noise(rows * heads * width);
        let [dk, dv] = [(); 2].map(|()| device.noise(rows * kv_heads * width));
        let row_positions: Vec<u32> = positions.iter().map(|row| row.0).collect();
        let back = |values: &[f32], heads| {
            let size = RopeSize { heads, head_width: width };
            twin::rope_backward(&to_f64(values), &row_positions, &rotation, size)
        };
        let all = [back(&dq, heads), back(&dk, kv_heads), to_f64(&dv)];
        let row = |i: usize| all.iter().flat_map(move |part| part.chunks(part.len() / rows).nth(i));
        let expected = (0..rows).flat_map(row).flatten().copied().collect();
        let table = device.words(&rope_table(&rotation, context))?;
        let table = (rotated > 0).then_some((table, rotated));
        let rows_buffer = device.rows(&positions)?;
        let dq = device.tensor(rows, heads * width, &dq)?;
        let dk = device.tensor(rows, kv_heads * width, &dk)?;
        let dv = device.tensor(rows, kv_heads * width, &dv)?;
        let out = device.output(rows, (heads + 2 * kv_heads) * width)?;
        if device.run(
            &ops::backward::RopeBackward { rows: rows_buffer, dq, dk, dv, table, width, out },
            0,
        )? {
            device.expect(&out, expected)?;
        }
        Ok(())
    }
}

impl Tables for RopeBackward {
    fn once() -> Vec<Self> {
        [([4, 2, 20], 20), ([3, 1, 7], 4), ([2, 1, 6], 0)]
            .map(|(heads, rotated)| Self { heads, rotated, amplitude: 1.1 })
            .to_vec()
    }

    fn quick(heads: [usize; 3]) -> Vec<Self> {
        if heads[2] > MAX_TRAINED_HEAD_WIDTH {
            return Vec::new();
        }
        vec![Self { heads, rotated: heads[2] / 2 * 2, amplitude: 1.1 }]
    }
}
