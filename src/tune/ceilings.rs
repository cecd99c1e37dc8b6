//! How fast an adapter can be at best: the ceilings that a benchmark's figures are compared with.
//!
//! Decoding reads every weight once per token, so its ceiling is the rate at which the adapter
//! reads and unpacks the weights' formats: share = weight bytes per token · tokens per second /
//! unpack rate. Prefill multiplies many rows by each weight, so its ceiling is arithmetic: share =
//! 2 · parameters · tokens per second / (multiplications and additions per second).
//!
//! A share near 1 means that a kernel leaves nothing on the table; one above 1, that it fetches
//! less than it reports, or that the caches hold the model.

use crate::error::Result;
use crate::format::Format;
use crate::gpu::{Binding, BufferId, Engine, Plan, Program, Recording, params};
use crate::ops::{Weight, decode, grid_1d};
use crate::select::kernel;

use super::timing::{filled, time};

/// What an adapter can do at best, in 10⁹ per second.
#[derive(Clone, Debug, PartialEq)]
pub struct Ceilings {
    /// Bytes read in long contiguous runs.
    pub read_gb_s: f64,
    /// Packed bytes read and unpacked, for each format of weights.
    pub unpack_gb_s: Vec<(Format, f64)>,
    /// Multiplications and additions in registers, in f32.
    pub gflop_s: f64,
}

impl Ceilings {
    /// The unpack rate, in GB/s, of a mix of formats with the given bytes of each: Σ bytes / Σ
    /// (bytes / rate). `None` for no bytes.
    pub fn unpack_rate(&self, mix: &[(Format, u64)]) -> Option<f64> {
        let rate = |format| {
            self.unpack_gb_s.iter().find(|(known, _)| *known == format).map(|(_, rate)| *rate)
        };
        let (mut bytes, mut time) = (0.0, 0.0);
        for &(format, count) in mix {
            bytes += count as f64;
            time += count as f64 / rate(format)?;
        }
        (bytes > 0.0).then_some(bytes / time)
    }
}

/// Bytes read in one run over everything: more than the caches hold.
const TOTAL_BYTES: u64 = 256 << 20;

/// The same on the CPU's vector units, which take a hundred times as long.
const TOTAL_BYTES_IN_SOFTWARE: u64 = 64 << 20;

/// Invocations in a workgroup that loads.
const LOADERS: u32 = 256;

/// The 16-byte words that each of them loads.
const LOADS: u32 = 8;

/// Bytes that one workgroup loads, without scales.
const GROUP_BYTES: u64 = LOADERS as u64 * LOADS as u64 * 16;

/// Workgroups of the arithmetic kernel, and their size: enough to fill a large device.
const GROUPS: u32 = 4096;
const MULTIPLIERS: u32 = 64;

/// Operations of one step of one invocation: 16 accumulators of four values, two operations each.
const STEP_OPERATIONS: f64 = 128.0;

/// A timed submit takes at least this long, in seconds, so that submission overhead does not
/// matter.
const LEAST_TIME: f64 = 0.02;

/// The median is taken over this many timed submits, or over the second number if they are slow.
const RUNS: usize = 5;
const SLOW_RUNS: usize = 3;

/// A submit that takes this long, in seconds, is slow.
const SLOW: f64 = 0.2;

/// Consecutive weights that one dispatch reads.
struct Piece {
    /// Workgroups, and rows of [`GROUP_BYTES`].
    groups: u32,
    words: BufferId,
    scales: BufferId,
    out: BufferId,
}

/// Measures an adapter. It takes a few seconds, and about 450 MB of device memory meanwhile.
///
/// # Errors
/// [`Error::Memory`](crate::Error::Memory) if there is not enough of it,
/// [`Error::Device`](crate::Error::Device) if the device fails.
pub fn measure(engine: &mut Engine) -> Result<Ceilings> {
    let gflop_s = multiply(engine)?;
    let pieces = pieces(engine)?;
    let measured = memory(engine, &pieces);
    for piece in &pieces {
        for buffer in [piece.words, piece.scales, piece.out] {
            engine.free(buffer);
        }
    }
    let (read_gb_s, unpack_gb_s) = measured?;
    Ok(Ceilings { read_gb_s, unpack_gb_s, gflop_s })
}

/// The recordings that measure the ceilings, over buffers that exist only by name: enough to
/// inspect, not to run.
pub fn ceilings() -> Vec<Recording> {
    let id = BufferId::fresh;
    let pieces = [Piece { groups: 1, words: id(), scales: id(), out: id() }];
    let unpacked = Format::ALL.into_iter().map(|format| unpack(&pieces, format));
    [multiplication(id(), 1), read(&pieces)].into_iter().chain(unpacked).collect()
}

/// The streaming rate, and the unpack rate of each format.
fn memory(engine: &mut Engine, pieces: &[Piece]) -> Result<(f64, Vec<(Format, f64)>)> {
    let groups: u64 = pieces.iter().map(|piece| u64::from(piece.groups)).sum();
    let plan = engine.prepare(&read(pieces))?;
    let read_gb_s = (groups * GROUP_BYTES) as f64 / seconds(engine, &plan)? / 1e9;
    let mut unpack_gb_s = Vec::with_capacity(Format::ALL.len());
    for format in Format::ALL {
        let plan = engine.prepare(&unpack(pieces, format))?;
        let row: usize = Weight::plane_bytes(format, columns(format)).iter().sum();
        let bytes = groups * row as u64;
        unpack_gb_s.push((format, bytes as f64 / seconds(engine, &plan)? / 1e9));
    }
    Ok((read_gb_s, unpack_gb_s))
}

/// Buffers for all the bytes, in as few pieces as the limits allow.
fn pieces(engine: &mut Engine) -> Result<Vec<Piece>> {
    let caps = engine.gpu().caps();
    let total = if caps.software { TOTAL_BYTES_IN_SOFTWARE } else { TOTAL_BYTES };
    let most = caps.max_binding.min(caps.max_buffer) / GROUP_BYTES;
    let mut left = total / GROUP_BYTES;
    let mut pieces = Vec::new();
    while left > 0 {
        let groups = left.min(most.max(1));
        let id = BufferId::fresh;
        let piece = Piece { groups: groups as u32, words: id(), scales: id(), out: id() };
        filled(engine, piece.words, groups * GROUP_BYTES)?;
        filled(engine, piece.scales, groups * scale_bytes())?;
        engine.create(piece.out, groups * u64::from(LOADERS) * 4)?;
        pieces.push(piece);
        left -= groups;
    }
    Ok(pieces)
}

/// The values in a row that one workgroup unpacks.
fn columns(format: Format) -> usize {
    (LOADERS * LOADS) as usize * format.info().word
}

/// The most bytes of scales that one workgroup loads, whatever the format.
fn scale_bytes() -> u64 {
    let scales = |format| Weight::plane_bytes(format, columns(format)).get(1).copied();
    Format::ALL.into_iter().filter_map(scales).max().unwrap_or_default() as u64
}

fn read(pieces: &[Piece]) -> Recording {
    let mut recording = Recording::new();
    for piece in pieces {
        recording
            .dispatch(loading("ceiling_read"), &ReadParams { groups: piece.groups })
            .read(0, piece.words)
            .write(0, piece.out)
            .grid(grid_1d(piece.groups as usize));
    }
    recording
}

fn unpack(pieces: &[Piece], format: Format) -> Recording {
    let mut recording = Recording::new();
    for piece in pieces {
        let planes = Weight::plane_bytes(format, columns(format)).len();
        let planes = [piece.words, piece.scales].into_iter().take(planes);
        let params = UnpackParams { words: LOADERS * LOADS, rows: piece.groups };
        recording
            .dispatch(decode(format, loading("ceiling_unpack")), &params)
            .write(0, piece.out)
            .bind(1, planes.map(Binding::Read))
            .grid(grid_1d(piece.groups as usize));
    }
    recording
}

fn loading(name: &str) -> Program {
    Program::new(kernel(name)).constant("WG", LOADERS).constant("LOADS", LOADS)
}

params! {
    struct ReadParams {
        groups: u32,
    }
}

params! {
    struct UnpackParams {
        words: u32,
        rows: u32,
    }
}

params! {
    struct MultiplyParams {
        steps: u32,
        a: f32,
        b: f32,
    }
}

fn multiplication(out: BufferId, steps: u32) -> Recording {
    let mut recording = Recording::new();
    let program = Program::new(kernel("ceiling_fma")).constant("WG", MULTIPLIERS);
    recording
        .dispatch(program, &MultiplyParams { steps, a: 0.5, b: 0.5 })
        .write(0, out)
        .grid([GROUPS, 1, 1]);
    recording
}

/// GFLOP/s in registers. The work grows until a dispatch takes long enough: adapters differ by 10⁴.
fn multiply(engine: &mut Engine) -> Result<f64> {
    let out = BufferId::fresh();
    engine.create(out, u64::from(GROUPS * MULTIPLIERS) * 4)?;
    let mut steps = 16;
    let plan = loop {
        let plan = engine.prepare(&multiplication(out, steps))?;
        time(engine, &plan, 0, 1)?;
        if time(engine, &plan, 0, 1)? > LEAST_TIME / 4.0 || steps >= 1 << 16 {
            break plan;
        }
        steps *= 4;
    };
    let operations = f64::from(GROUPS * MULTIPLIERS) * f64::from(steps) * STEP_OPERATIONS;
    let rate = operations / seconds(engine, &plan)? / 1e9;
    engine.free(out);
    Ok(rate)
}

/// The median time of one run of a plan, from submits with enough runs to be long enough.
fn seconds(engine: &mut Engine, plan: &Plan) -> Result<f64> {
    time(engine, plan, 0, 1)?;
    let mut repeats = 1;
    let mut times = vec![time(engine, plan, 0, repeats)?];
    while times[0] * (repeats as f64) < LEAST_TIME && repeats < 4096 {
        repeats *= 2;
        times[0] = time(engine, plan, 0, repeats)?;
    }
    let wanted = if times[0] * (repeats as f64) < SLOW { RUNS } else { SLOW_RUNS };
    while times.len() < wanted {
        times.push(time(engine, plan, 0, repeats)?);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Planes, Records};

    #[test]
    fn a_mix_is_as_fast_as_its_bytes_take() {
        let unpack_gb_s = vec![(Format::F16, 10.0), (Format::Q4_0, 5.0)];
        let ceilings = Ceilings { read_gb_s: 12.0, unpack_gb_s, gflop_s: 1.0 };
        assert_eq!(ceilings.unpack_rate(&[(Format::F16, 7)]), Some(10.0));
        // 10 bytes in 1 s and 10 bytes in 2 s.
        let mixed = ceilings.unpack_rate(&[(Format::F16, 10), (Format::Q4_0, 10)]);
        assert!((mixed.unwrap() - 20.0 / 3.0).abs() < 1e-12);
        assert_eq!(ceilings.unpack_rate(&[(Format::F32, 1)]), None);
        assert_eq!(ceilings.unpack_rate(&[]), None);
    }

    #[test]
    fn a_row_of_every_format_fills_a_workgroup() {
        for format in Format::ALL {
            let planes = Weight::plane_bytes(format, columns(format));
            // Words of two bits a value are half as long.
            let whole = match format.info().planes {
                Planes::Records(Records { low, .. }) => 4 / low as u64,
                Planes::Values | Planes::ScalesApart => 1,
            };
            assert_eq!(planes[0] as u64 * whole, GROUP_BYTES, "{format}");
            let scales = planes.get(1).map_or(0, |&scales| scales as u64);
            assert!(scales <= scale_bytes(), "{format}");
        }
    }
}
