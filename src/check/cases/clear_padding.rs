//! The padding of rows.

use crate::check::device::{Device, POISON, to_f64};
use crate::error::Result;
use crate::gpu::Tensor;
use crate::ops;
use crate::reference as twin;

use super::case::{Case, Tables};

/// Rows whose padding holds what is no number.
#[derive(Clone, Copy, Debug)]
pub struct ClearPadding {
    /// Rows.
    pub rows: usize,
    /// Values per row, not a multiple of eight.
    pub columns: usize,
}

impl Case for ClearPadding {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns } = self;
        let values = device.noise(rows * columns);
        let x = device.tensor(rows, columns, &values)?;
        if device.run(&ops::ClearPadding { x }, 0)? {
            let padding = vec![f64::from(POISON); x.stride() - columns];
            let values = to_f64(&values);
            let stored = values.chunks(columns).map(|row| [row, &padding].concat());
            let mut expected: Vec<f64> = stored.flatten().collect();
            twin::clear_padding(&mut expected, columns, x.stride());
            device.expect(&Tensor { columns: x.stride(), ..x }, expected)?;
        }
        Ok(())
    }
}

impl Tables for ClearPadding {
    fn once() -> Vec<Self> {
        let shapes = [(1, 1), (3, 7), (2, 257), (130, 36)];
        shapes.map(|(rows, columns)| Self { rows, columns }).to_vec()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        vec![Self { rows: 67, columns: 36 }]
    }
}
