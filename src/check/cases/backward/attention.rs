//! The derivatives of attention and of rotation.

use crate::check::Device;
use crate::check::device::{TOLERANCE, wide};
use crate::config::Rotation;
use crate::error::Result;
use crate::ops::backward::{AttentionBackward, RopeBackward};
use crate::ops::{Cache, CacheFormat, Mask, rope_table};
use crate::reference::backward as twin;
use crate::reference::{AttentionSize, RopeSize, attention};

use super::super::Case;
use super::super::attention::filled;

/// What comes back through attention over whole sequences.
#[derive(Clone, Copy, Debug)]
pub struct AttendBack {
    /// Query heads, key heads, and their width.
    pub heads: [usize; 3],
    /// Sequences, and rows of each.
    pub shape: [usize; 2],
    /// How many latest positions a row sees; all without.
    pub window: Option<usize>,
    /// What bounds scores, softly.
    pub softcap: Option<f64>,
    /// How keys and values are stored.
    pub format: CacheFormat,
}

impl Case for AttendBack {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { heads: [heads, kv_heads, width], shape: [sequences, length], .. } = self;
        let &Self { window, softcap, format, .. } = self;
        let scale = 1.3 / (width as f64).sqrt();
        let size = AttentionSize { heads, kv_heads, head_width: width, window, scale, softcap };
        // The cache has room for more than is there.
        let context = length + 3;
        let shape = [sequences + 1, context];
        let cache = Cache::named(format, shape, [kv_heads, width], u64::MAX);
        let [keys, values] = filled(device, &cache)?;
        let rows = sequences * length;
        let q = device.noise(rows * heads * width);
        let dz = device.noise(rows * heads * width);
        let positions: Vec<u32> = (0..length as u32).collect();
        let (mut z, mut expected) = (Vec::new(), [Vec::new(), Vec::new(), Vec::new()]);
        for sequence in 0..sequences {
            let slot = kv_heads * width;
            let own = |all: &[f64]| all[sequence * context * slot..][..length * slot].to_vec();
            let (keys, values) = (own(&keys), own(&values));
            let row = heads * width;
            let own = |all: &[f32]| wide(&all[sequence * length * row..][..length * row]);
            let (q, dz) = (own(&q), own(&dz));
            z.extend(attention(&q, &keys, &values, &positions, size).iter().map(|z| *z as f32));
            let found = twin::attention_backward(&q, &keys, &values, &positions, &dz, size);
            let all = [found.q, found.keys, found.values];
            expected.iter_mut().zip(all).for_each(|(to, from)| to.extend(from));
        }
        let tensor =
            |device: &mut Device, values: &[f32]| device.tensor(rows, heads * width, values);
        let (q, z, dz) = (tensor(device, &q)?, tensor(device, &z)?, tensor(device, &dz)?);
        let stats = device.output(rows, 2 * heads)?;
        let dq = device.output(rows, heads * width)?;
        let dk = device.output(rows, kv_heads * width)?;
        let dv = device.output(rows, kv_heads * width)?;
        let cache = &cache;
        let op = AttentionBackward {
            q,
            cache,
            mask: Mask { window, scale, softcap },
            z,
            dz,
            length,
            stats,
            dq,
            dk,
            dv,
        };
        if device.run(&op, 0)? {
            let [q, k, v] = expected;
            // A row that sees one key gets nothing, but for rounding.
            let within = if length == 1 || window == Some(1) { f64::INFINITY } else { TOLERANCE };
            device.expect_within(&dq, q, within)?;
            device.expect_within(&dk, k, within)?;
            device.expect(&dv, v)?;
        }
        Ok(())
    }
}

/// What comes back through the rotation, and joins.
#[derive(Clone, Copy, Debug)]
pub struct TurnBack {
    /// Query heads, key heads, and their width.
    pub heads: [usize; 3],
    /// Values of a head that turn.
    pub rotated: usize,
    /// What turned values were multiplied by.
    pub amplitude: f64,
}

impl Case for TurnBack {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { heads: [heads, kv_heads, width], rotated, amplitude } = self;
        let places = [(0, 0), (1, 2), (255, 1), (256, 0), (4095, 0)];
        let (context, rows) = (4096, places.len());
        let pairs = rotated / 2;
        let frequency = |i: usize| 1e4_f64.powf(-(i as f64) / pairs as f64);
        let rotation = Rotation { frequencies: (0..pairs).map(frequency).collect(), amplitude };
        let dq = device.noise(rows * heads * width);
        let [dk, dv] = [(); 2].map(|()| device.noise(rows * kv_heads * width));
        let positions: Vec<u32> = places.iter().map(|place| place.0).collect();
        let back = |values: &[f32], heads| {
            let size = RopeSize { heads, head_width: width };
            twin::rope_backward(&wide(values), &positions, &rotation, size)
        };
        let all = [back(&dq, heads), back(&dk, kv_heads), wide(&dv)];
        let row = |i: usize| all.iter().flat_map(move |part| part.chunks(part.len() / rows).nth(i));
        let expected = (0..rows).flat_map(row).flatten().copied().collect();
        let table = device.words(&rope_table(&rotation, context))?;
        let table = (rotated > 0).then_some((table, rotated));
        let rows_buffer = device.places(&places)?;
        let dq = device.tensor(rows, heads * width, &dq)?;
        let dk = device.tensor(rows, kv_heads * width, &dk)?;
        let dv = device.tensor(rows, kv_heads * width, &dv)?;
        let out = device.output(rows, (heads + 2 * kv_heads) * width)?;
        if device.run(&RopeBackward { rows: rows_buffer, dq, dk, dv, table, width, out }, 0)? {
            device.expect(&out, expected)?;
        }
        Ok(())
    }
}
