//! The derivatives on the device against those of the twins.

mod adam_w;
mod attention_backward;
mod linear_backward_x;
mod norm_backward;

pub use adam_w::{Casts, Moves};
pub use attention_backward::{AttendBack, TurnBack};
pub use linear_backward_x::ProductBack;
pub use norm_backward::{Drops, FunctionsBack, NormsBack, TargetsBack, TokensBack};

use crate::check::Device;
use crate::error::Result;
use crate::gpu::{BufferId, Tensor};
use crate::ops::Weight;

/// Holds a matrix in parts against the twin's values, and its padding against nothing at all.
fn expect_weight(device: &mut Device, weight: &Weight, twin: &[f64]) -> Result<()> {
    for part in &weight.parts {
        let (rows, columns) = (part.rows, weight.columns);
        let own = Tensor { buffer: part.planes[0], rows, columns };
        device.expect(&own, twin[part.first * columns..][..rows * columns].to_vec())?;
        expect_padding(device, &own)?;
    }
    Ok(())
}

/// The padding of what is learned stays zero, since the norm of gradients sums whole buffers.
fn expect_padding(device: &mut Device, tensor: &Tensor) -> Result<()> {
    let (stride, columns) = (tensor.stride(), tensor.columns);
    device.judge(tensor.buffer, tensor.bytes(), 0.0, move |bytes, _| {
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
        let mut padding = values.chunks_exact(stride).flat_map(|row| &row[columns..]);
        let stray = padding.find(|value| **value != 0.0);
        let reason = stray.map(|value| format!("{value} in the padding")).unwrap_or_default();
        (if stray.is_some() { f64::NAN } else { 0.0 }, reason)
    })
}

/// A gradient that something was added to before, with zeros in its padding.
fn begun(device: &mut Device, rows: usize, columns: usize) -> Result<(Tensor, Vec<f64>)> {
    let values = device.noise(rows * columns);
    let tensor = Tensor { buffer: BufferId::fresh(), rows, columns };
    let mut stored = vec![0.0_f32; rows * tensor.stride()];
    for (row, from) in stored.chunks_mut(tensor.stride()).zip(values.chunks(columns)) {
        row[..columns].copy_from_slice(from);
    }
    device.fill(tensor.buffer, bytemuck::cast_slice(&stored))?;
    Ok((tensor, super::super::device::wide(&values)))
}

/// What was there, and what is added to it.
fn sum(before: &[f64], added: &[f64]) -> Vec<f64> {
    before.iter().zip(added).map(|(before, added)| before + added).collect()
}
