//! Linear layers: few rows and many, every format, every epilogue, whole and in parts.

use crate::check::device::{Device, to_f64};
use crate::check::values::Values;
use crate::config::Nonlinearity;
use crate::error::Result;
use crate::format::Format;
use crate::ops::{self, Cache, CacheFormat, CacheShard, Epilogue, Weight};
use crate::reference as twin;

use super::case::{Case, Tables};
use super::expect::expect_cache;
use super::fixtures::linear_shapes;

/// One product: y = x Wᵀ.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    /// How W is stored.
    pub format: Format,
    /// Rows of x.
    pub rows: usize,
    /// Outputs and inputs.
    pub shape: [usize; 2],
    /// What happens to y.
    pub epilogue: Epilogue<'static>,
    /// Whether a bias is added.
    pub biased: bool,
    /// Whether the sum is written a second time, if y is added to something.
    pub twice: bool,
    /// The most rows of W in a part; all if `None`.
    pub part: Option<usize>,
    /// What x holds.
    pub values: Values,
    /// The scale of the weights: below 6.1e-5, f16 values and scales are subnormal.
    pub scale: f32,
}

/// Every kind of epilogue except the cache.
const EPILOGUES: [Epilogue<'static>; 8] = [
    Epilogue::Write,
    Epilogue::Add { kept: None },
    Epilogue::Apply(Nonlinearity::GeluTanh),
    Epilogue::Gated(Nonlinearity::Silu),
    Epilogue::SoftCap(1.5),
    Epilogue::Gated(Nonlinearity::GeluTanh),
    Epilogue::Apply(Nonlinearity::Gelu),
    Epilogue::Apply(Nonlinearity::Silu),
];

impl Linear {
    /// A product of plain values, written as it is.
    pub fn plain(format: Format, rows: usize, shape: [usize; 2]) -> Self {
        let (epilogue, values) = (Epilogue::Write, Values::Plain);
        let (biased, twice) = (false, false);
        Self { format, rows, shape, epilogue, biased, twice, part: None, values, scale: 1.0 }
    }

    /// The same added to something, with a bias, and the sum written twice.
    #[must_use]
    pub fn twice(self) -> Self {
        Self { twice: true, biased: true, epilogue: Epilogue::Add { kept: None }, ..self }
    }

    /// The same with the `i`-th combination of epilogue and bias.
    #[must_use]
    pub fn with_epilogue(self, i: usize) -> Self {
        Self { epilogue: EPILOGUES[i % 8], biased: (i + i / 8) % 2 == 1, ..self }
    }
}

impl Case for Linear {
    fn run(&self, device: &mut Device) -> Result<()> {
        let [outputs, inputs] = self.shape;
        let weights: Vec<f32> =
            device.noise(outputs * inputs).iter().map(|x| x * self.scale).collect();
        let row = Weight::plane_bytes(self.format, inputs)[0];
        let bytes = self.part.map_or(u64::MAX, |rows| (rows * row) as u64);
        let (weight, kept) = device.weight(self.format, self.shape, bytes, &weights)?;
        let values = device.values(self.values, self.rows * inputs);
        let biases = device.noise(outputs);
        let columns =
            if matches!(self.epilogue, Epilogue::Gated(_)) { outputs / 2 } else { outputs };
        let before = device.noise(self.rows * columns);
        let x = device.tensor(self.rows, inputs, &values)?;
        let bias = if self.biased { Some(device.tensor(1, outputs, &biases)?) } else { None };
        let out = device.tensor(self.rows, columns, &before)?;
        let copy = if self.twice { Some(device.output(self.rows, columns)?) } else { None };
        let epilogue = match self.epilogue {
            Epilogue::Add { .. } => Epilogue::Add { kept: copy },
            other => other,
        };
        if !device.run(&ops::Linear { x, weight: &weight, bias, epilogue, out }, 0)? {
            return Ok(());
        }
        if device.uses_f16() && self.scale < 1e-3 {
            // f16 leaves almost nothing of such products.
            return Ok(());
        }
        let size = twin::LinearSize { inputs, outputs };
        // Products in f16 are those of values rounded to f16.
        let (values, kept) = (device.as_read(values), device.as_read(kept));
        let y = twin::linear(&to_f64(&values), &kept, self.biased.then_some(&biases[..]), size);
        let expected = match epilogue {
            Epilogue::Add { .. } => {
                y.iter().zip(to_f64(&before)).map(|(y, before)| y + before).collect()
            }
            Epilogue::Apply(function) => twin::activate(&y, function),
            Epilogue::SoftCap(cap) => twin::softcap(&y, cap),
            Epilogue::Gated(function) => {
                y.chunks(2).flat_map(|pair| twin::gated(&pair[..1], &pair[1..], function)).collect()
            }
            Epilogue::Write | Epilogue::Cache { .. } => y,
        };
        if let Some(copy) = copy {
            device.expect(&copy, expected.clone())?;
        }
        device.expect(&out, expected)
    }
}

/// A product some of whose x have no f16: an output is right, or infinite or NaN where products are in
/// f16.
#[derive(Clone, Copy, Debug)]
pub struct LinearBeyondF16 {
    /// How W is stored.
    pub format: Format,
    /// Rows of x.
    pub rows: usize,
    /// What one x of each row is, and one weight of each output.
    pub extremes: [f32; 2],
}

impl Case for LinearBeyondF16 {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { format, rows, extremes } = self;
        let [large, heavy] = extremes;
        let shape @ [outputs, inputs] = [34, 64_usize.next_multiple_of(format.block())];
        let mut noise = device.noise(outputs * inputs);
        noise.chunks_mut(inputs).for_each(|row| row[5] = heavy);
        let mut values = device.noise(rows * inputs);
        values.chunks_mut(inputs).for_each(|row| row[9] = large);
        let (weight, kept) = device.weight(format, shape, u64::MAX, &noise)?;
        let (x, out) = (device.tensor(rows, inputs, &values)?, device.output(rows, outputs)?);
        let epilogue = Epilogue::Write;
        if !device.run(&ops::Linear { x, weight: &weight, bias: None, epilogue, out }, 0)? {
            return Ok(());
        }
        let size = twin::LinearSize { inputs, outputs };
        let expected = twin::linear(&to_f64(&values), &kept, None, size);
        let (halves, stride) = (device.uses_f16(), out.stride());
        device.compare_bytes(out.buffer, out.bytes(), 1e-2, move |bytes, tolerance| {
            let found: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
            let found = found.chunks(stride).flat_map(|row| &row[..outputs]);
            let extent = f64::from(large.abs().max(heavy.abs()));
            for (found, expected) in found.zip(&expected) {
                let gap = (f64::from(*found) - expected).abs() / extent;
                let told = halves && !found.is_finite();
                if !told && (gap.is_nan() || gap > tolerance) {
                    return (f64::INFINITY, format!("a product is {found}, not {expected}"));
                }
            }
            (0.0, String::new())
        })
    }
}

/// A product whose rows are queries, keys and values: queries come out; keys and values land in the
/// cache at each row's position, and nowhere else.
#[derive(Clone, Debug)]
pub struct LinearToCache {
    /// How W is stored.
    pub format: Format,
    /// How keys and values are stored.
    pub cache: CacheFormat,
    /// Position and sequence of each row.
    pub positions: Vec<(u32, u32)>,
}

impl Case for LinearToCache {
    fn run(&self, device: &mut Device) -> Result<()> {
        let (heads, kv_heads, width, context, sequences) = (3, 2, 12, 5, 2);
        let (queries, keys) = (heads * width, kv_heads * width);
        let inputs = 32_usize.next_multiple_of(self.format.block());
        let shape @ [outputs, _] = [queries + 2 * keys, inputs];
        let noise = device.noise(outputs * inputs);
        let (weight, kept) = device.weight(self.format, shape, u64::MAX, &noise)?;
        let (values, biases) = (device.noise(self.positions.len() * inputs), device.noise(outputs));
        let x = device.tensor(self.positions.len(), inputs, &values)?;
        let bias = Some(device.tensor(1, outputs, &biases)?);
        let rows = device.rows(&self.positions)?;
        let before = vec![7.0_f32; sequences * context * keys];
        let halves: Vec<half::f16> = before.iter().map(|&x| half::f16::from_f32(x)).collect();
        let format = self.cache;
        let bytes: &[u8] = match format {
            CacheFormat::F32 => bytemuck::cast_slice(&before),
            CacheFormat::F16 => bytemuck::cast_slice(&halves),
        };
        let cache = Cache::named(format, [sequences, context], [kv_heads, width], u64::MAX);
        let CacheShard { k, v, .. } = cache.shards[0];
        device.fill(k, bytes)?;
        device.fill(v, bytes)?;
        let out = device.output(self.positions.len(), queries)?;
        let epilogue = Epilogue::Cache { rows, cache: &cache };
        if !device.run(&ops::Linear { x, weight: &weight, bias, epilogue, out }, 0)? {
            return Ok(());
        }
        let size = twin::LinearSize { inputs, outputs };
        let (values, kept) = (device.as_read(values), device.as_read(kept));
        let all = twin::linear(&to_f64(&values), &kept, Some(&biases), size);
        let part = |from: usize, count: usize| -> Vec<f64> {
            all.chunks(outputs).flat_map(|row| &row[from..from + count]).copied().collect()
        };
        device.expect(&out, part(0, queries))?;
        for (buffer, from) in [(k, queries), (v, queries + keys)] {
            let mut expected = to_f64(&before);
            for (&(at, sequence), row) in self.positions.iter().zip(part(from, keys).chunks(keys)) {
                for (head, values) in row.chunks(width).enumerate() {
                    let slot = (sequence as usize * kv_heads + head) * context + at as usize;
                    expected[slot * width..][..width].copy_from_slice(values);
                }
            }
            expect_cache(device, buffer, format, expected)?;
        }
        Ok(())
    }
}

impl Tables for Linear {
    // A device takes a tenth of a second or two to compile a program, and there are hundreds. So
    // every format runs with every way to multiply, but every epilogue with only one of each.
    fn variants() -> Vec<Self> {
        let mut table = Vec::new();
        for format in Format::ALL {
            let [small, middle, large] = linear_shapes(format);
            // One row, and many: less than a tile, a whole one, and a few rows past it.
            let all = [(1, small), (1, large), (9, small), (20, middle), (65, middle), (33, large)];
            table.extend(all.map(|(rows, shape)| Self::plain(format, rows, shape)));
            for rows in [1, 12] {
                let hostile = Self::plain(format, rows, [50, 4 * format.block().max(32)]);
                table.extend(Values::ALL.map(|values| Self { values, ..hostile }));
                table.push(Self { scale: 5e-5, ..hostile });
                table.push(Self { part: Some(16), ..hostile });
            }
        }
        // Several rows at once, in all three lengths of words.
        for format in [Format::F32, Format::Q8_0, Format::Q4_0] {
            table.extend([2, 8].map(|rows| Self::plain(format, rows, linear_shapes(format)[1])));
        }
        table
    }

    fn once() -> Vec<Self> {
        let mut table = Vec::new();
        for format in [Format::F32, Format::Q8_0] {
            let shape = [74, 30_usize.next_multiple_of(format.block())];
            for i in 0..8 {
                table.extend([2, 17].map(|rows| Self::plain(format, rows, shape).with_epilogue(i)));
            }
            table.extend([2, 17].map(|rows| Self::plain(format, rows, shape).twice()));
        }
        table
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        let [small, ..] = linear_shapes(Format::F32);
        let mut table = [1, 9].map(|rows| Self::plain(Format::F32, rows, small).twice()).to_vec();
        for format in Format::ALL {
            let [small, middle, _] = linear_shapes(format);
            // Tiles of every height.
            for rows in [1, 9, 20, 40] {
                for shape in [middle, small] {
                    // Added to the residual stream, and gated; both with a bias.
                    table.extend([1, 3].map(|i| Self::plain(format, rows, shape).with_epilogue(i)));
                }
            }
        }
        table
    }
}

impl Tables for LinearBeyondF16 {
    /// Of x, and of weights; a tile and more.
    fn variants() -> Vec<Self> {
        let format = Format::F32;
        let of = |rows| [[2e6, 0.5], [0.5, -7e4]].map(|extremes| Self { format, rows, extremes });
        [9, 40].into_iter().flat_map(of).collect()
    }
}

impl LinearToCache {
    /// One row, and more than a matrix-vector product takes.
    fn both(format: Format, cache: CacheFormat) -> [Self; 2] {
        let many = (0..9).map(|i| (i % 5, i / 5)).collect();
        [vec![(3, 1)], many].map(|positions| Self { format, cache, positions })
    }
}

impl Tables for LinearToCache {
    fn once() -> Vec<Self> {
        let [f32, q4_0] = [(Format::F32, CacheFormat::F32), (Format::Q4_0, CacheFormat::F16)]
            .map(|(format, cache)| Self::both(format, cache));
        f32.into_iter().chain(q4_0).collect()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        let caches = [CacheFormat::F32, CacheFormat::F16].into_iter();
        caches
            .flat_map(|cache| Format::ALL.into_iter().map(move |format| (format, cache)))
            .flat_map(|(format, cache)| Self::both(format, cache))
            .collect()
    }
}
