//! Shapes, settings and numbers that the cases of several ops share.

use half::f16;

use crate::check::device::Device;
use crate::error::Result;
use crate::format::Format;
use crate::ops::{Cache, CacheFormat};
use crate::sampling::Sampling;

/// Rows and columns: one value, odd, less and more than a workgroup, large.
pub(super) const SHAPES: [(usize, usize); 5] = [(1, 1), (1, 768), (3, 7), (2, 257), (7, 2050)];

/// Rows and columns for when time is short.
pub(super) const QUICK_SHAPES: [(usize, usize); 2] = [(3, 7), (2, 257)];

const PLAIN: Sampling = Sampling {
    repetition_penalty: 1.3,
    presence_penalty: 0.4,
    frequency_penalty: 0.25,
    temperature: 0.9,
    top_k: 0,
    top_p: 1.0,
    min_p: 0.0,
    seed: 0x1234_5678_9abc_def0,
};

/// Settings that take different paths through `sample`.
pub(super) const SETTINGS: [Sampling; 3] = [
    Sampling { temperature: 0.0, ..PLAIN },
    PLAIN,
    Sampling { temperature: 1.3, top_k: 60, top_p: 0.9, min_p: 0.02, ..PLAIN },
];

/// Outputs and inputs that a format can hold: odd where it can, and not multiples of a tile.
pub(super) fn linear_shapes(format: Format) -> [[usize; 2]; 3] {
    match format.block() {
        1 => [[2, 7], [34, 20], [250, 516]],
        block => [[2, block], [34, 3 * block], [250, 544_usize.next_multiple_of(block)]],
    }
}

/// Fills a cache with noise; returns its keys and values, without the padding of its heads.
pub(super) fn filled(device: &mut Device, cache: &Cache) -> Result<[Vec<f64>; 2]> {
    let slot = cache.heads * cache.width;
    let zeros = cache.width.next_multiple_of(4) - cache.width;
    let padding = || std::iter::repeat_n(f16::ZERO, zeros);
    let count = cache.sequences * cache.context * slot;
    let [keys, values] = [(); 2]
        .map(|()| -> Vec<f16> { device.noise(count).into_iter().map(f16::from_f32).collect() });
    for part in &cache.shards {
        for (id, all) in [(part.k, &keys), (part.v, &values)] {
            let rows = all.chunks(cache.context * slot).flat_map(|sequence| {
                (0..cache.heads).flat_map(move |head| {
                    let own = sequence.chunks(slot).skip(part.first).take(part.count);
                    own.map(move |row| &row[head * cache.width..][..cache.width])
                })
            });
            let halves: Vec<f16> =
                rows.flat_map(|row| row.iter().copied().chain(padding())).collect();
            match cache.format {
                CacheFormat::F16 => device.fill(id, bytemuck::cast_slice(&halves))?,
                CacheFormat::F32 => {
                    let floats: Vec<f32> = halves.iter().map(|half| half.to_f32()).collect();
                    device.fill(id, bytemuck::cast_slice(&floats))?;
                }
            }
        }
    }
    Ok([keys, values].map(|all| all.iter().map(|half| half.to_f64()).collect()))
}

/// Logits like those of a normal distribution; rounded to multiples of 1/`parts` unless that is 0.
pub(super) fn bell(device: &mut Device, count: usize, parts: f32) -> Vec<f32> {
    let mut values = vec![0.0; count];
    for _ in 0..4 {
        let noise = device.noise(count);
        values.iter_mut().zip(noise).for_each(|(value, noise)| *value += 3.0 * noise);
    }
    if parts > 0.0 {
        values.iter_mut().for_each(|value| *value = (*value * parts).round() / parts);
    }
    values
}
