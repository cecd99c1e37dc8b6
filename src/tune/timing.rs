//! What measurements share: filled buffers, and a timer.

use web_time::Instant;

use crate::error::Result;
use crate::gpu::{BufferId, Engine, Plan, Tensor};
use crate::ops::{Epilogue, Linear, Weight};
use crate::select::Shape;

/// What fills the buffers: a pair of f16, or four bytes, or eight nibbles, none of them zero, and
/// in no format a subnormal.
const FILL: u32 = 0x3c00_3c00;

/// A buffer full of [`FILL`].
pub(super) fn filled(engine: &mut Engine, id: BufferId, bytes: u64) -> Result<()> {
    engine.create(id, bytes)?;
    let block = vec![FILL; 1 << 22];
    let block: &[u8] = bytemuck::cast_slice(&block);
    for start in (0..bytes).step_by(block.len()) {
        let length = (bytes - start).min(block.len() as u64) as usize;
        engine.write(id, start, &block[..length])?;
        engine.flush()?;
    }
    Ok(())
}

/// Seconds per run of a plan, with `repeat` runs in one submit, by the wall clock.
pub(super) fn time(engine: &mut Engine, plan: &Plan, extent: u32, repeat: usize) -> Result<f64> {
    let steps = vec![(plan, extent); repeat];
    let start = Instant::now();
    engine.submit(&steps, &[])?;
    engine.flush()?;
    Ok(start.elapsed().as_secs_f64() / repeat as f64)
}

/// Measures a linear layer of a shape, over temporary buffers.
pub(super) fn with_linear<T>(
    engine: &mut Engine,
    shape: &Shape,
    measure: impl FnOnce(&mut Engine, &Linear<'_>) -> Result<T>,
) -> Result<T> {
    let &Shape { format, rows, outputs, inputs } = shape;
    let limit = engine.gpu().caps().max_binding;
    let weight = &Weight::named("weight", format, outputs, inputs, limit);
    let mut made = Vec::new();
    for piece in &weight.shards {
        for (&plane, bytes) in piece.planes.iter().zip(Weight::plane_bytes(format, inputs)) {
            made.push((plane, (bytes * piece.rows.next_multiple_of(4)) as u64));
        }
    }
    let (x, out) = (Tensor::persistent(rows, inputs), Tensor::persistent(rows, outputs));
    made.extend([x, out].map(|tensor| (tensor.buffer, tensor.bytes())));
    let created = made.iter().try_for_each(|&(id, bytes)| filled(engine, id, bytes));
    let op = Linear { x, weight, bias: None, epilogue: Epilogue::Write, out };
    let measured = created.and_then(|()| measure(engine, &op));
    made.iter().for_each(|&(id, _)| engine.free(id));
    measured
}
