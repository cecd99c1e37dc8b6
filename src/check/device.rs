//! What the cases run on: a device, values for it, and the comparison with the twins.

use std::fmt;

use half::f16;

use crate::checkpoint::{dequantize, planes, quantize};
use crate::error::Result;
use crate::format::Format;
use crate::gpu::{BufferId, Engine, Need, Program, Readback, Recording, Tensor, padded};
use crate::noise::noise;
use crate::ops::{Op, Weight};
use crate::select::KernelSelection;

use super::outcome::{Outcome, compare};
use super::run_filter::RunFilter;
use super::values::Values;

/// The relative L2 error that a kernel with f32 sums may have.
pub const TOLERANCE: f64 = 1e-5;

/// The same for one that calculates in f16.
pub const F16_TOLERANCE: f64 = 2e-3;

/// Fills everything that no value was written to: padding and outputs hold what other tensors left in
/// them, at worst this.
pub const POISON: f32 = f32::NAN;

/// What lies behind the end of a case's buffer of this number. A kernel that reads it hands NaN on; one
/// that writes past the end changes it, where bounds checks would have hidden both. Numbers that are
/// not NaN, and other bits in each buffer's NaN, show what was computed from a guard.
fn guard(number: usize) -> [f32; 4] {
    let nan = f32::from_bits(0x7fc5_0000 | (number & 0xffff) as u32);
    [nan, -7.5, nan, -7.5]
}

const GUARD_SIZE: u64 = size_of::<[f32; 4]>() as u64;

/// From the bytes read back and the tolerance: the error and, if it is too large, the reason.
type Comparison = Box<dyn FnOnce(&[u8], f64) -> (f64, String)>;

struct Pending {
    readback: Readback,
    /// How many of its bytes are compared; guards follow.
    bytes: usize,
    compare: Comparison,
    outcome: Outcome,
}

/// An open device, the variants in use, and the comparisons that are pending.
pub struct Device {
    /// Runs the ops.
    pub engine: Engine,
    /// The variants in use.
    pub selection: KernelSelection,
    seed: u64,
    /// Buffers, and where the guard of each begins.
    buffers: Vec<(BufferId, u64)>,
    last: Vec<Program>,
    case: String,
    pending: Vec<Pending>,
    /// Which programs are worth a run; the self-test sets it.
    pub(super) filter: RunFilter,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("engine", &self.engine)
            .field("selection", &self.selection)
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}

impl Device {
    /// Runs cases with these variants.
    pub fn new(engine: Engine, selection: KernelSelection) -> Self {
        Self {
            engine,
            selection,
            seed: 0,
            buffers: Vec::new(),
            last: Vec::new(),
            case: String::new(),
            pending: Vec::new(),
            filter: RunFilter::all(),
        }
    }

    /// The engine, without the buffers that the cases left in it.
    pub fn into_engine(mut self) -> Engine {
        self.buffers.drain(..).for_each(|(id, _)| self.engine.free(id));
        self.engine.free_transient();
        self.engine
    }

    /// Runs a case, given its name and what it does, and frees its buffers. If the device rejects a
    /// program, only this case fails.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for a case that no op accepts,
    /// [`Error::Device`](crate::Error::Device) if the device is lost.
    pub async fn attempt(
        &mut self,
        case: String,
        run: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<Vec<Outcome>> {
        self.case = case;
        self.last.clear();
        let ran = run(self);
        if ran.is_err() {
            // What ran before the program that failed is still compared.
            self.engine.gpu().forget_fault();
        }
        let mut outcomes = Vec::new();
        for Pending { readback, bytes, compare, mut outcome } in std::mem::take(&mut self.pending) {
            match self.engine.finish(readback).await {
                Ok(read) => {
                    let (own, guards) = read.split_at(bytes);
                    (outcome.error, outcome.reason) = compare(own, outcome.tolerance);
                    let mut guards = guards.chunks(GUARD_SIZE as usize).enumerate();
                    if !guards.all(|(number, found)| found == bytemuck::bytes_of(&guard(number))) {
                        let reason = "it writes past the end of a buffer".to_owned();
                        (outcome.error, outcome.reason) = (f64::INFINITY, reason);
                    }
                }
                Err(error) => (outcome.error, outcome.reason) = (f64::INFINITY, error.to_string()),
            }
            outcomes.push(outcome);
        }
        for (id, _) in self.buffers.drain(..) {
            self.engine.free(id);
        }
        match ran {
            Err(error) if !self.last.is_empty() => {
                // Compilers report errors on many lines.
                let words: Vec<String> =
                    error.to_string().split_whitespace().map(str::to_owned).collect();
                let mut outcome = self.outcome(TOLERANCE);
                (outcome.error, outcome.reason) = (f64::INFINITY, words.join(" "));
                outcomes.push(outcome);
            }
            ran => ran?,
        }
        Ok(outcomes)
    }

    /// Records an op and runs it, unless the filter skips it; `extent` is the number of keys that
    /// its grid may depend on. Returns whether it ran.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for tensors that do not fit,
    /// [`Error::Device`](crate::Error::Device) for a program that the device rejects.
    pub fn run(&mut self, op: &dyn Op, extent: u32) -> Result<bool> {
        self.run_all(&[op], extent, 1)
    }

    /// The same for several ops in order, all of them `times` times.
    ///
    /// # Errors
    /// As [`Device::run`].
    pub fn run_all(&mut self, ops: &[&dyn Op], extent: u32, times: usize) -> Result<bool> {
        let mut recording = Recording::new();
        for op in ops {
            op.record(&mut recording, &self.selection)?;
        }
        let programs = recording.dispatches().iter().map(|dispatch| dispatch.program.clone());
        let programs: Vec<Program> = programs.collect();
        // `count` rather than `any`: the filter must see every program.
        if programs.iter().filter(|program| self.filter.admit(program)).count() == 0 {
            return Ok(false);
        }
        self.last = programs;
        let plan = self.engine.prepare(&recording)?;
        for _ in 0..times {
            self.engine.submit(&[(&plan, extent)], &[])?;
        }
        Ok(true)
    }

    /// Compares a matrix with the twin's values.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the device fails.
    pub fn expect(&mut self, found: &Tensor, twin: Vec<f64>) -> Result<()> {
        self.expect_within(found, twin, TOLERANCE)
    }

    /// The same with another tolerance.
    ///
    /// # Errors
    /// As [`Device::expect`].
    pub fn expect_within(&mut self, found: &Tensor, twin: Vec<f64>, tolerance: f64) -> Result<()> {
        let (stride, columns) = (found.stride(), found.columns);
        self.compare_bytes(found.buffer, found.bytes(), tolerance, move |bytes, tolerance| {
            let values: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
            let rows = values.chunks_exact(stride).flat_map(|row| &row[..columns]);
            compare(&rows.copied().collect::<Vec<_>>(), &twin, tolerance)
        })
    }

    /// Reads a buffer back and passes its bytes and the tolerance to `compare`, which returns the
    /// error and, if it is too large, the reason.
    ///
    /// # Errors
    /// As [`Device::expect`].
    pub fn compare_bytes(
        &mut self,
        buffer: BufferId,
        bytes: u64,
        tolerance: f64,
        compare: impl FnOnce(&[u8], f64) -> (f64, String) + 'static,
    ) -> Result<()> {
        let guards = self.buffers.iter().map(|(id, at)| (*id, *at, GUARD_SIZE));
        let reads: Vec<_> = [(buffer, 0, bytes)].into_iter().chain(guards).collect();
        let Some(readback) = self.engine.submit(&[], &reads)? else {
            return Ok(());
        };
        let bytes = bytes as usize;
        let mut outcome = self.outcome(tolerance);
        if self.uses_f16() {
            outcome.tolerance = tolerance.max(F16_TOLERANCE);
        }
        self.pending.push(Pending { readback, bytes, compare: Box::new(compare), outcome });
        Ok(())
    }

    /// Whether what ran last calculates in f16.
    pub(super) fn uses_f16(&self) -> bool {
        self.last.iter().any(|program| program.needs().any(|need| need == Need::F16))
    }

    /// Values as the program that ran last reads them: rounded to f16 if it calculates in f16.
    pub fn as_read(&self, values: Vec<f32>) -> Vec<f32> {
        if !self.uses_f16() {
            return values;
        }
        values.into_iter().map(|value| f16::from_f32(value).to_f32()).collect()
    }

    fn outcome(&self, tolerance: f64) -> Outcome {
        let (case, reason) = (self.case.clone(), String::new());
        Outcome { programs: self.last.clone(), case, error: 0.0, tolerance, reason }
    }

    /// Seeded numbers, uniform in −1..1, different in every call.
    pub fn noise(&mut self, count: usize) -> Vec<f32> {
        self.seed += 1;
        let draw = |i| (noise(self.seed, 0, 0, i) >> 8) as f32 / (1 << 23) as f32 - 1.0;
        (0..count as u32).map(draw).collect()
    }

    /// Numbers of a kind.
    pub fn values(&mut self, kind: Values, count: usize) -> Vec<f32> {
        let noise = self.noise(count);
        let scaled = |x| match kind {
            Values::Plain => x,
            Values::Large => 1e4 * x,
            Values::Tiny => 1e-30 * x,
            Values::Equal => 0.75,
        };
        noise.into_iter().map(scaled).collect()
    }

    /// A matrix of these values, its padding filled with [`POISON`].
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory) if it is over the limits.
    pub fn tensor(&mut self, rows: usize, columns: usize, values: &[f32]) -> Result<Tensor> {
        let mut stored = vec![POISON; rows * padded(columns)];
        for (row, from) in stored.chunks_mut(padded(columns)).zip(values.chunks(columns)) {
            row[..columns].copy_from_slice(from);
        }
        Ok(Tensor { buffer: self.words(&stored)?, rows, columns })
    }

    /// A matrix that an op will fill.
    ///
    /// # Errors
    /// As [`Device::tensor`].
    pub fn output(&mut self, rows: usize, columns: usize) -> Result<Tensor> {
        self.tensor(rows, columns, &vec![POISON; rows * columns])
    }

    /// A buffer of these words.
    ///
    /// # Errors
    /// As [`Device::tensor`].
    pub fn words<T: bytemuck::Pod>(&mut self, words: &[T]) -> Result<BufferId> {
        let id = BufferId::fresh();
        self.fill(id, bytemuck::cast_slice(words))?;
        Ok(id)
    }

    /// A buffer of zeros.
    ///
    /// # Errors
    /// As [`Device::tensor`].
    pub fn buffer(&mut self, bytes: u64) -> Result<BufferId> {
        let id = BufferId::fresh();
        self.create(id, bytes)?;
        Ok(id)
    }

    /// Creates a buffer of zeros under an existing id.
    ///
    /// # Errors
    /// As [`Device::tensor`].
    pub fn create(&mut self, id: BufferId, bytes: u64) -> Result<()> {
        let end = bytes.next_multiple_of(4);
        self.engine.create(id, end + GUARD_SIZE)?;
        self.engine.write(id, end, bytemuck::bytes_of(&guard(self.buffers.len())))?;
        self.buffers.push((id, end));
        Ok(())
    }

    /// The same with these bytes.
    ///
    /// # Errors
    /// As [`Device::tensor`].
    pub fn fill(&mut self, id: BufferId, bytes: &[u8]) -> Result<()> {
        self.create(id, bytes.len() as u64)?;
        self.engine.write(id, 0, bytes)
    }

    /// The buffer of rows: position and sequence of each.
    ///
    /// # Errors
    /// As [`Device::tensor`].
    pub fn rows(&mut self, positions: &[(u32, u32)]) -> Result<BufferId> {
        let rows: Vec<[u32; 4]> = positions.iter().map(|&(p, s)| [0, p, s, 0]).collect();
        self.words(&rows)
    }

    /// A weight matrix made from these values: in a format, in parts of at most `max_binding`
    /// bytes. Returns it with its values as the format stores them.
    ///
    /// # Errors
    /// As [`Device::tensor`].
    pub fn weight(
        &mut self,
        format: Format,
        [rows, columns]: [usize; 2],
        max_binding: u64,
        values: &[f32],
    ) -> Result<(Weight, Vec<f32>)> {
        let bytes = encoded(format, values);
        let weight = self.weight_of_bytes(format, [rows, columns], max_binding, &bytes)?;
        Ok((weight, dequantize(format, &bytes)))
    }

    /// The same from the bytes of a file.
    ///
    /// # Errors
    /// As [`Device::tensor`].
    pub fn weight_of_bytes(
        &mut self,
        format: Format,
        [rows, columns]: [usize; 2],
        max_binding: u64,
        bytes: &[u8],
    ) -> Result<Weight> {
        let weight = Weight::named("weight", format, rows, columns, max_binding);
        for part in &weight.shards {
            let row = format.row_bytes(columns);
            let packed = planes(format, columns, &bytes[part.first * row..][..part.rows * row]);
            for (&id, bytes) in part.planes.iter().zip(&packed) {
                self.fill(id, bytes)?;
            }
        }
        Ok(weight)
    }
}

/// The bytes of values in a format. For a format that cannot be written: blocks of random bits,
/// whose scale and minimum are their first two values, reduced so that weights are a few units at
/// most.
fn encoded(format: Format, values: &[f32]) -> Vec<u8> {
    if let Ok(bytes) = quantize(format, values) {
        return bytes;
    }
    let size = format.block_bytes();
    let mut bytes = vec![0; values.len() / format.block() * size];
    let seed = values.first().map_or(0, |value| value.to_bits().into());
    for (index, byte) in (0..).zip(&mut bytes) {
        *byte = noise(seed, 0, 0, index).to_le_bytes()[0];
    }
    for (block, values) in bytes.chunks_exact_mut(size).zip(values.chunks(format.block())) {
        for (half, value) in block[format.halves()].chunks_exact_mut(2).zip(values) {
            half.copy_from_slice(&f16::from_f32(value / 1000.0).to_le_bytes());
        }
    }
    bytes
}

/// The same numbers in f64, as the twins take them.
pub fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}
