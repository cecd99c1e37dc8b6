//! Gradients through attention.

use crate::check::device::{Device, to_f64};
use crate::error::Result;
use crate::ops::backward::MAX_TRAINED_HEAD_WIDTH;
use crate::ops::{self, Cache, CacheFormat, Mask};
use crate::reference::backward as twin;
use crate::reference::{AttentionSize, attention};

use super::super::case::{Case, Tables};
use super::super::expect::expect_cancelled;
use super::super::fixtures::filled;

/// Gradients through attention over whole sequences.
#[derive(Clone, Copy, Debug)]
pub struct AttentionBackward {
    /// Query heads, key heads, and their width.
    pub heads: [usize; 3],
    /// Sequences, and rows of each.
    pub shape: [usize; 2],
    /// How many of the latest positions a row sees; all if `None`.
    pub window: Option<usize>,
    /// The soft cap on scores.
    pub softcap: Option<f64>,
    /// How keys and values are stored.
    pub format: CacheFormat,
}

impl Case for AttentionBackward {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { heads: [heads, kv_heads, width], shape: [sequences, length], .. } = self;
        let &Self { window, softcap, format, .. } = self;
        let scale = 1.3 / (width as f64).sqrt();
        let size = AttentionSize { heads, kv_heads, head_width: width, window, scale, softcap };
        // The cache has room for more than is used.
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
            let own = |all: &[f32]| to_f64(&all[sequence * length * row..][..length * row]);
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
        let op = ops::backward::AttentionBackward {
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
            if length == 1 || window == Some(1) {
                // The pattern of a row that sees one key is 1 whatever its score, so that ∂s = dz ·
                // v − dz · z is zero, z being v. The kernel sums both over the head's values, in
                // its own order: each sum of D products is off by at most D + 3 roundings of Σ |dz
                // v|, and that is at most D. A query gets ∂s · scale · k, a key as much of each of
                // its heads.
                let (roundings, group) = (2 * (width + 8), heads / kv_heads);
                let size = scale * (width * group) as f64;
                expect_cancelled(device, &dq, q, roundings as f64, size)?;
                expect_cancelled(device, &dk, k, roundings as f64, size)?;
            } else {
                device.expect(&dq, q)?;
                device.expect(&dk, k)?;
            }
            device.expect(&dv, v)?;
        }
        Ok(())
    }
}

impl Tables for AttentionBackward {
    fn once() -> Vec<Self> {
        let of = |format| {
            [
                ([1, 1, 7], [1, 5], None, None),
                ([4, 2, 20], [2, 40], Some(6), None),
                ([3, 1, 64], [1, 70], None, Some(0.5)),
                ([2, 2, 10], [3, 1], None, None),
            ]
            .map(|(heads, shape, window, softcap)| Self {
                heads,
                shape,
                window,
                softcap,
                format,
            })
        };
        let (heads, format) = ([2, 1, 128], CacheFormat::F32);
        let wide = Self { heads, shape: [1, 9], window: None, softcap: None, format };
        [CacheFormat::F32, CacheFormat::F16].into_iter().flat_map(of).chain([wide]).collect()
    }

    fn quick(heads: [usize; 3]) -> Vec<Self> {
        if heads[2] > MAX_TRAINED_HEAD_WIDTH {
            return Vec::new();
        }
        let (shape, format) = ([2, 40], CacheFormat::F32);
        [(None, None), (Some(6), Some(0.5))]
            .map(|(window, softcap)| Self { heads, shape, window, softcap, format })
            .to_vec()
    }
}
