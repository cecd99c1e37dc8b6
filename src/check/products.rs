//! How fast an adapter multiplies matrices by our own kernels: what training is held against.

use std::time::Instant;

use crate::error::Result;
use crate::gpu::{Engine, Recording, Tensor};
use crate::names::Format;
use crate::ops::{Choices, Known, Linear, Matmul, Op, Shape, Store, Weight};

use super::tune::filled;

/// Timed runs of which the best counts.
const RUNS: usize = 5;

/// A timed submit lasts about this long, in seconds, so that submitting itself does not matter.
const TURN: f64 = 20e-3;

/// The most products in one submit.
const MOST: usize = 1024;

/// The rate of the fastest product in f32 that the kernels make on an adapter, in 10⁹ multiplications and
/// additions a second: the best of all variants that may be used, over all these shapes.
///
/// # Errors
/// [`Error::Memory`](crate::Error::Memory) if a shape does not fit,
/// [`Error::Device`](crate::Error::Device) if the device fails.
pub fn products(engine: &mut Engine, known: &Known, shapes: &[Shape]) -> Result<f64> {
    let caps = engine.gpu().caps().clone();
    let mut best = 0.0_f64;
    for shape in shapes {
        let name = shape.name();
        let mut variants = vec![Choices::new(&caps, known.clone())];
        for matmul in Matmul::candidates(&caps) {
            if matmul != Matmul::TiledHalf {
                let mut known = known.unmeasured();
                known.matmul.insert(name.clone(), matmul);
                variants.push(Choices::new(&caps, known));
            }
        }
        best = best.max(shape_rate(engine, shape, &variants)?);
    }
    Ok(best)
}

/// The best rate over one shape.
fn shape_rate(engine: &mut Engine, shape: &Shape, variants: &[Choices]) -> Result<f64> {
    let &Shape { rows, outputs, inputs, .. } = shape;
    let limit = engine.gpu().caps().max_binding;
    let weight = Weight::named("weight", Format::F32, outputs, inputs, limit);
    let (x, out) = (Tensor::lasting(rows, inputs), Tensor::lasting(rows, outputs));
    let bytes = Weight::plane_bytes(Format::F32, inputs)[0];
    let planes = weight
        .parts
        .iter()
        .map(|piece| (piece.planes[0], (bytes * piece.rows.next_multiple_of(4)) as u64));
    let made: Vec<_> =
        planes.chain([x, out].map(|tensor| (tensor.buffer, tensor.bytes()))).collect();
    let created = made.iter().try_for_each(|&(id, bytes)| filled(engine, id, bytes));
    let timed = created.and_then(|()| {
        let op = Linear { x, weight: &weight, bias: None, store: Store::Write, out };
        let times = variants.iter().map(|choices| seconds(engine, &op, choices));
        times.collect::<Result<Vec<f64>>>()
    });
    made.iter().for_each(|&(id, _)| engine.free(id));
    let best = timed?.into_iter().fold(f64::INFINITY, f64::min);
    Ok(2.0 * (rows * outputs * inputs) as f64 / best / 1e9)
}

/// The best time of an op in one variant.
fn seconds(engine: &mut Engine, op: &dyn Op, choices: &Choices) -> Result<f64> {
    let mut recording = Recording::new();
    op.record(&mut recording, choices)?;
    let plan = engine.prepare(&recording)?;
    let mut time = |repeat: usize| -> Result<f64> {
        let start = Instant::now();
        engine.submit(&vec![(&plan, 0); repeat], &[])?;
        engine.flush()?;
        Ok(start.elapsed().as_secs_f64() / repeat as f64)
    };
    // The first run compiles.
    time(1)?;
    let repeat = ((TURN / time(1)?) as usize).clamp(1, MOST);
    (0..RUNS).try_fold(f64::INFINITY, |best, _| Ok(best.min(time(repeat)?)))
}
