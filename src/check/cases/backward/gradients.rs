//! Shapes, numbers and expectations that the cases of several derivatives share.

use crate::check::device::{Device, to_f64};
use crate::error::Result;
use crate::gpu::{BufferId, Tensor};
use crate::measure;
use crate::ops::Weight;

/// Rows and columns for derivatives, whose twins take longer.
pub(super) const SMALL_SHAPES: [(usize, usize); 3] = [(1, 1), (3, 7), (2, 257)];

/// A gradient that already holds values, with zeros in its padding.
pub(super) fn partial_gradient(
    device: &mut Device,
    rows: usize,
    columns: usize,
) -> Result<(Tensor, Vec<f64>)> {
    let values = device.noise(rows * columns);
    let tensor = Tensor { buffer: BufferId::fresh(), rows, columns };
    let mut stored = vec![0.0_f32; rows * tensor.stride()];
    for (row, from) in stored.chunks_mut(tensor.stride()).zip(values.chunks(columns)) {
        row[..columns].copy_from_slice(from);
    }
    device.fill(tensor.buffer, bytemuck::cast_slice(&stored))?;
    Ok((tensor, to_f64(&values)))
}

/// What was there plus what is added to it.
pub(super) fn sum(before: &[f64], added: &[f64]) -> Vec<f64> {
    assert_eq!(before.len(), added.len(), "a gradient and what is added to it");
    before.iter().zip(added).map(|(before, added)| before + added).collect()
}

/// Compares numbers that are unrelated to each other: the error is the largest relative error of
/// one.
pub(super) fn expect_each(
    device: &mut Device,
    buffer: BufferId,
    twin: Vec<f64>,
    tolerance: f64,
) -> Result<()> {
    device.compare_bytes(buffer, 4 * twin.len() as u64, tolerance, move |bytes, tolerance| {
        let found: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
        if found.len() != twin.len() {
            return (f64::INFINITY, format!("{} values, not {}", found.len(), twin.len()));
        }
        let pairs = found.iter().zip(&twin);
        let errors = pairs.map(|(found, twin)| measure::relative_error(&[*found], &[*twin]));
        let error = measure::largest(errors);
        let reason = format!("{found:?} should be {twin:?}");
        (error, if error > tolerance { reason } else { String::new() })
    })
}

/// Compares a matrix in parts with the twin's values, and its padding with zero.
pub(super) fn expect_weight(device: &mut Device, weight: &Weight, twin: &[f64]) -> Result<()> {
    for part in &weight.shards {
        let (rows, columns) = (part.rows, weight.columns);
        let own = Tensor { buffer: part.planes[0], rows, columns };
        device.expect(&own, twin[part.first * columns..][..rows * columns].to_vec())?;
        expect_padding(device, &own)?;
    }
    Ok(())
}

/// The padding of gradients stays zero, since the gradient norm sums whole buffers.
pub(super) fn expect_padding(device: &mut Device, tensor: &Tensor) -> Result<()> {
    let (stride, columns) = (tensor.stride(), tensor.columns);
    device.compare_bytes(tensor.buffer, tensor.bytes(), 0.0, move |bytes, _| {
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
        let mut padding = values.chunks_exact(stride).flat_map(|row| &row[columns..]);
        let stray = padding.find(|value| **value != 0.0);
        let reason = stray.map(|value| format!("{value} in the padding")).unwrap_or_default();
        (if stray.is_some() { f64::INFINITY } else { 0.0 }, reason)
    })
}
