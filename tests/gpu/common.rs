//! One device, values for it, and the comparison with the twins.

use std::collections::BTreeMap;
use std::fmt::Debug;

use half::f16;
use pellucid::gpu::{AdapterChoice, BufferId, Engine, Gpu, Recording, Tensor};
use pellucid::names::Format;
use pellucid::ops::{Choices, Lanes, Op, Reduce, Weight};
use pellucid::reference::noise;
use pellucid::weights::{dequantize, planes, quantize};

/// The relative L2 error that a kernel with f32 sums may have.
pub(crate) const TOLERANCE: f64 = 1e-5;

/// What lies wherever no value was written: finite, as in any padding, but of no meaning.
pub(crate) const JUNK: f32 = -7.5;

/// What kind of numbers an op is given.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values {
    /// Even in −1..1.
    Plain,
    /// Up to 10,000.
    Large,
    /// Around 10⁻³⁰: their squares are zero.
    Tiny,
    /// All the same.
    Equal,
}

impl Values {
    pub(crate) const ALL: [Self; 4] = [Self::Plain, Self::Large, Self::Tiny, Self::Equal];
}

/// An open device, the variants in use, and the largest error of each op so far.
pub(crate) struct Device {
    pub(crate) engine: Engine,
    pub(crate) choices: Choices,
    seed: u64,
    worst: BTreeMap<String, f64>,
}

impl Device {
    /// The adapter that the caller chose.
    pub(crate) fn open() -> Self {
        let gpu = pollster::block_on(Gpu::open(&AdapterChoice::default())).expect("an adapter");
        let name = gpu.adapter().name.to_lowercase();
        match std::env::var("PELLUCID_TEST_ADAPTER").as_deref() {
            Ok("lavapipe") => assert!(name.contains("llvmpipe"), "{name} is not lavapipe"),
            Ok("swiftshader") => assert!(name.contains("swiftshader"), "{name} is another"),
            Ok(other) => panic!("PELLUCID_TEST_ADAPTER: no adapter is called {other}"),
            Err(_) => {}
        }
        let choices = Choices::defaults(gpu.caps());
        Self { engine: Engine::new(gpu), choices, seed: 0, worst: BTreeMap::new() }
    }

    /// The lanes of a subgroup, where kernels may count on them.
    fn subgroup(&self) -> Option<u32> {
        self.engine.gpu().caps().subgroups.filter(|(least, most)| least == most).map(|s| s.0)
    }

    /// Every way to sum over a row.
    pub(crate) fn reductions(&self) -> Vec<Reduce> {
        let mut all: Vec<Reduce> = [8, 64, 256].map(Reduce::Workgroup).to_vec();
        all.extend(self.subgroup().map(Reduce::Subgroup));
        all
    }

    /// Every way to share the rows of a matrix-vector product.
    pub(crate) fn lanes(&self) -> Vec<Lanes> {
        let mut all = vec![
            Lanes::One(8),
            Lanes::Workgroup { size: 64, lanes: 32 },
            Lanes::Workgroup { size: 32, lanes: 4 },
        ];
        all.extend(self.subgroup().map(|lanes| Lanes::Subgroup { size: lanes.max(64), lanes }));
        all.extend(self.subgroup().map(|lanes| Lanes::Rows { size: 2 * lanes, lanes }));
        all
    }

    /// Seeded numbers, even in −1..1, others with every call.
    pub(crate) fn noise(&mut self, count: usize) -> Vec<f32> {
        self.seed += 1;
        let draw = |i| (noise(self.seed, 0, 0, i) >> 8) as f32 / (1 << 23) as f32 - 1.0;
        (0..count as u32).map(draw).collect()
    }

    /// Numbers of a kind.
    pub(crate) fn values(&mut self, kind: Values, count: usize) -> Vec<f32> {
        let noise = self.noise(count);
        let scaled = |x| match kind {
            Values::Plain => x,
            Values::Large => 1e4 * x,
            Values::Tiny => 1e-30 * x,
            Values::Equal => 0.75,
        };
        noise.into_iter().map(scaled).collect()
    }

    /// A lasting matrix of these values, its padding full of junk.
    pub(crate) fn tensor(&mut self, rows: usize, columns: usize, values: &[f32]) -> Tensor {
        assert_eq!(values.len(), rows * columns);
        let tensor = Tensor::lasting(rows, columns);
        let mut padded = vec![JUNK; rows * tensor.stride()];
        for (row, from) in padded.chunks_mut(tensor.stride()).zip(values.chunks(columns)) {
            row[..columns].copy_from_slice(from);
        }
        self.engine.create_tensor(&tensor).unwrap();
        self.engine.write(tensor.buffer, 0, bytemuck::cast_slice(&padded)).unwrap();
        tensor
    }

    /// A lasting matrix that an op will fill.
    pub(crate) fn output(&mut self, rows: usize, columns: usize) -> Tensor {
        self.tensor(rows, columns, &vec![JUNK; rows * columns])
    }

    /// A lasting buffer of these words.
    pub(crate) fn words<T: bytemuck::Pod>(&mut self, words: &[T]) -> BufferId {
        let bytes = bytemuck::cast_slice(words);
        let id = BufferId::fresh();
        self.engine.create(id, bytes.len() as u64).unwrap();
        self.engine.write(id, 0, bytes).unwrap();
        id
    }

    /// The buffer of rows: token, position, sequence and step of each.
    pub(crate) fn rows(&mut self, rows: &[(u32, u32, u32)]) -> BufferId {
        let rows: Vec<[u32; 4]> = rows.iter().map(|&(t, p, s)| [t, p, s, 0]).collect();
        self.words(&rows)
    }

    /// A weight matrix made from these values: in a format, in parts of at most `max_binding`
    /// bytes. Gives it with the values that the format has left of them.
    pub(crate) fn weight(
        &mut self,
        format: Format,
        [rows, columns]: [usize; 2],
        max_binding: u64,
        values: &[f32],
    ) -> (Weight, Vec<f32>) {
        let bytes = encoded(format, values);
        let weight = self.weight_of_bytes(format, [rows, columns], max_binding, &bytes);
        (weight, dequantize(format, &bytes))
    }

    /// The same from the bytes of a file.
    pub(crate) fn weight_of_bytes(
        &mut self,
        format: Format,
        [rows, columns]: [usize; 2],
        max_binding: u64,
        bytes: &[u8],
    ) -> Weight {
        let weight = Weight::named("weight", format, rows, columns, max_binding);
        for part in &weight.parts {
            let row = format.row_bytes(columns);
            let packed = planes(format, columns, &bytes[part.first * row..][..part.rows * row]);
            for (&id, bytes) in part.planes.iter().zip(&packed) {
                self.engine.create(id, bytes.len() as u64).unwrap();
                self.engine.write(id, 0, bytes).unwrap();
            }
        }
        weight
    }

    /// Runs an op; `extent` is what its grid may wait for.
    pub(crate) fn run(&mut self, op: impl Op, extent: u32) {
        let mut recording = Recording::new();
        op.record(&mut recording, &self.choices).unwrap();
        let plan = self.engine.prepare(&recording).unwrap();
        self.engine.submit(&[(&plan, extent)], &[]).unwrap();
    }

    /// The values of a matrix.
    pub(crate) fn read(&mut self, tensor: &Tensor) -> Vec<f32> {
        pollster::block_on(self.engine.read(tensor)).unwrap()
    }

    /// The words of a buffer.
    pub(crate) fn read_words<T: bytemuck::Pod>(&mut self, id: BufferId, count: usize) -> Vec<T> {
        let bytes = (count * size_of::<T>()) as u64;
        let readback = self.engine.submit(&[], &[(id, 0, bytes)]).unwrap().unwrap();
        let bytes = pollster::block_on(self.engine.finish(readback)).unwrap();
        bytemuck::pod_collect_to_vec(&bytes)
    }

    /// Fails, with the case, unless a matrix equals the twin's values within [`TOLERANCE`].
    #[track_caller]
    pub(crate) fn check(&mut self, op: &str, case: &impl Debug, found: &Tensor, twin: &[f64]) {
        let found = self.read(found);
        self.compare(op, case, &found, twin, TOLERANCE);
    }

    /// The same for values that were read already, and another tolerance.
    #[track_caller]
    pub(crate) fn compare(
        &mut self,
        op: &str,
        case: &impl Debug,
        found: &[f32],
        twin: &[f64],
        tolerance: f64,
    ) {
        assert_eq!(found.len(), twin.len(), "{op}: {case:?}");
        if let Some(at) = found.iter().position(|value| !value.is_finite()) {
            panic!("{op}: value {at} is {}, not {}: {case:?}", found[at], twin[at]);
        }
        let error = distance(found, twin);
        let (at, _) = furthest(found, twin);
        assert!(
            error <= tolerance,
            "{op}: off by {error:.1e}, most at value {at}: {} is not {}: {case:?}",
            found[at],
            twin[at]
        );
        let worst = self.worst.entry(op.to_owned()).or_default();
        *worst = worst.max(error);
    }
}

/// The bytes of values in a format. For a format that is only read: blocks of any bits, whose scale
/// and minimum are their first two values, made smaller so that weights are a few units at most.
fn encoded(format: Format, values: &[f32]) -> Vec<u8> {
    if let Ok(bytes) = quantize(format, values) {
        return bytes;
    }
    let size = format.block_bytes();
    let mut bytes = vec![0; values.len() / format.block() * size];
    for (index, byte) in (0..).zip(&mut bytes) {
        *byte = noise(values[0].to_bits().into(), 0, 0, index).to_le_bytes()[0];
    }
    for (block, values) in bytes.chunks_exact_mut(size).zip(values.chunks(format.block())) {
        for (half, value) in block[format.halves()].chunks_exact_mut(2).zip(values) {
            half.copy_from_slice(&f16::from_f32(value / 1000.0).to_le_bytes());
        }
    }
    bytes
}

/// Prints the largest error of each op when a test is done.
impl Drop for Device {
    fn drop(&mut self) {
        for (op, error) in &self.worst {
            println!("{op:<16} {error:.1e}");
        }
    }
}

/// ‖found − twin‖ / ‖twin‖; the divisor is at least the smallest normal f32, since kernels may
/// take what lies below it for zero.
fn distance(found: &[f32], twin: &[f64]) -> f64 {
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
    let gap = squares(&mut found.iter().zip(twin).map(|(f, t)| f64::from(*f) - t));
    let size = squares(&mut twin.iter().copied());
    gap.sqrt() / size.sqrt().max(f64::from(f32::MIN_POSITIVE))
}

fn furthest(found: &[f32], twin: &[f64]) -> (usize, f64) {
    let gaps = found.iter().zip(twin).map(|(f, t)| (f64::from(*f) - t).abs()).enumerate();
    gaps.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default()
}

/// The same numbers in f64, as the twins take them.
pub(crate) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}
