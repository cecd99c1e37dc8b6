//! Which variants are fastest on an adapter: measured once, before the first token, and kept.
//!
//! A variant replaces the default only if it wins by more than noise. All variants take turns, and
//! it must be faster by [`MARGIN`], both in the median and in the best of its runs, and in most
//! turns. Then it must win once more, alone against the default, since the best of many may only be
//! lucky.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use web_time::Instant;

use crate::error::{Error, Result};
use crate::gpu::{BufferId, Caps, Engine, Plan, Recording, Tensor};
use crate::ops::{Attention, Cache, CacheFormat, Linear, Mask, Op, RmsNorm};
use crate::select::{
    AttentionTiling, DeviceProfile, KernelSelection, Lanes, Matmul, Reduce, Shape, Workload,
};

use super::timing::{filled, time, with_linear};

/// The result of one contest.
#[derive(Clone, Debug, Serialize)]
pub struct Contest {
    /// What was measured.
    pub what: String,
    /// The built-in variant, and the one taken: the same where none was faster beyond doubt.
    pub default: String,
    /// The variant taken.
    pub taken: String,
    /// The time of the built-in one over that of the one taken.
    pub gain: f64,
}

/// How much faster a variant must be than the default.
const MARGIN: f64 = 1.05;

/// Rounds in which all variants take turns.
const ROUNDS: usize = 9;

/// The share of turns in which it must be faster.
const MOST_TURNS: f64 = 0.75;

/// A turn lasts about this long, in seconds, so that submission overhead does not matter.
const TURN: f64 = 4e-3;

/// Variants this many times as slow as the default in their first turn are out.
const PRUNE_RATIO: f64 = 1.5;

/// The most runs in one submit.
const MOST_RUNS: usize = 256;

/// Measures the variants of every shape; `progress` is called with the number of contests done and
/// their total. When `limit` is over, the rest keep their defaults.
///
/// `profile` says what is excluded; its measurements do not matter. Returns the new profile, and
/// each contest.
///
/// # Errors
/// [`Error::Memory`](crate::Error::Memory) if the weights of a shape do not fit,
/// [`Error::Device`](crate::Error::Device) if the device fails.
pub fn tune(
    engine: &mut Engine,
    workload: &Workload,
    profile: &DeviceProfile,
    limit: Duration,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(DeviceProfile, Vec<Contest>)> {
    let start = Instant::now();
    let caps = engine.gpu().caps().clone();
    let mut found = profile.unmeasured();
    let mut contests = Vec::new();
    let attends = workload.heads[0] > 0;
    let total = workload.shapes.len() + usize::from(workload.width > 0) + 2 * usize::from(attends);
    if workload.width > 0 {
        progress(0, total);
        let (choice, contest) = reduce(engine, &caps, &found, workload.width)?;
        found.reduce = choice;
        contests.push(contest);
    }
    if attends {
        for rows in [1, workload.rows.max(16)] {
            progress(contests.len(), total);
            contests.push(attention(engine, &caps, &mut found, workload.heads, rows)?);
        }
    }
    for shape in &workload.shapes {
        progress(contests.len(), total);
        if start.elapsed() > limit {
            log::warn!("no time left to tune {} of {total}", total - contests.len());
            break;
        }
        contests.push(linear(engine, &caps, &mut found, shape)?);
    }
    progress(total, total);
    Ok((found, contests))
}

/// One linear layer, with few rows or many.
fn linear(
    engine: &mut Engine,
    caps: &Caps,
    found: &mut DeviceProfile,
    shape: &Shape,
) -> Result<Contest> {
    let plain = KernelSelection::new(caps, found.unmeasured());
    let with = |lanes: Option<Lanes>, matmul: Option<Matmul>| {
        let mut profile = plain.profile.clone();
        profile.lanes.extend(lanes.map(|lanes| (*shape, lanes)));
        profile.matmul.extend(matmul.map(|matmul| (*shape, matmul)));
        KernelSelection::new(caps, profile)
    };
    let (contest, selection) = with_linear(engine, shape, |engine, op| {
        let own = op.weight.shape(op.x.rows);
        let mut variants: Vec<(String, KernelSelection)> = Vec::new();
        if Linear::is_few(op.x.rows) {
            let all = Lanes::candidates(caps).into_iter().filter(|lanes| plain.allows(*lanes));
            variants.push((plain.lanes_for(own).to_string(), plain.clone()));
            variants.extend(all.map(|lanes| (lanes.to_string(), with(Some(lanes), None))));
        } else {
            variants.push((format!("{:?}", plain.matmul_for(own)), plain.clone()));
            let allowed = |matmul: &Matmul| found.f16 || *matmul != Matmul::TiledF16;
            let all = Matmul::candidates(caps).into_iter().filter(allowed);
            variants.extend(all.map(|matmul| (format!("{matmul:?}"), with(None, Some(matmul)))));
        }
        contest(engine, &shape.to_string(), variants, op, 0)
    })?;
    found.lanes.extend(selection.profile.lanes);
    found.matmul.extend(selection.profile.matmul);
    Ok(contest)
}

/// Reductions over a row.
fn reduce(
    engine: &mut Engine,
    caps: &Caps,
    found: &DeviceProfile,
    width: usize,
) -> Result<(Option<Reduce>, Contest)> {
    let [x, out] = [(); 2].map(|()| Tensor::persistent(4, width));
    let plain = KernelSelection::new(caps, found.unmeasured());
    let named = |selection: KernelSelection| (format!("{:?}", selection.reduce), selection);
    let with = |reduce| {
        KernelSelection::new(caps, DeviceProfile { reduce: Some(reduce), ..plain.profile.clone() })
    };
    // An excluded one leaves the default, which then races against itself and does not win.
    let all = Reduce::candidates(caps).into_iter().map(|reduce| named(with(reduce)));
    let variants = std::iter::once(named(plain.clone())).chain(all).collect();
    let made = [x, out].iter().try_for_each(|t| filled(engine, t.buffer, t.bytes()));
    let op = RmsNorm { x, gain: None, eps: 1e-5, out };
    let won = made.and_then(|()| contest(engine, &format!("norm 4x{width}"), variants, &op, 0));
    [x, out].iter().for_each(|tensor| engine.free(tensor.buffer));
    let (contest, selection) = won?;
    Ok((selection.profile.reduce, contest))
}

/// The most positions that a row sees in a contest of attention.
const CONTEXT: usize = 1024;

/// Attention over a cache: one row, whose keys are split, or many.
fn attention(
    engine: &mut Engine,
    caps: &Caps,
    found: &mut DeviceProfile,
    [heads, kv_heads, width]: [usize; 3],
    rows: usize,
) -> Result<Contest> {
    let plain = KernelSelection::new(caps, found.unmeasured());
    let with = |attention, chunk| {
        KernelSelection::new(caps, DeviceProfile { attention, chunk, ..plain.profile.clone() })
    };
    let name = |selection: &KernelSelection| match rows {
        1 => format!("{} keys", selection.chunk),
        _ => format!("{:?}", selection.attention),
    };
    let variants: Vec<KernelSelection> = match rows {
        1 => {
            KernelSelection::chunks(caps).into_iter().map(|chunk| with(None, Some(chunk))).collect()
        }
        _ => AttentionTiling::candidates(caps)
            .into_iter()
            .map(|tiling| with(Some(tiling), None))
            .collect(),
    };
    let all = std::iter::once(plain.clone()).chain(variants);
    let variants = all.map(|selection| (name(&selection), selection)).collect();
    let shape = [1, CONTEXT.max(rows)];
    let cache = &Cache::named(CacheFormat::F32, shape, [kv_heads, width], caps.max_buffer_bytes());
    let [q, out] = [(); 2].map(|()| Tensor::persistent(rows, heads * width));
    let row_buffer = BufferId::fresh();
    let mut made: Vec<_> = [q, out].iter().map(|tensor| (tensor.buffer, tensor.bytes())).collect();
    for part in &cache.shards {
        made.extend([part.k, part.v].map(|id| (id, cache.shard_bytes(part))));
    }
    let last: Vec<[u32; 4]> =
        (0..rows).map(|row| [0, (cache.context - rows + row) as u32, 0, 0]).collect();
    let filled = made
        .iter()
        .try_for_each(|&(id, bytes)| filled(engine, id, bytes))
        .and_then(|()| engine.create(row_buffer, 16 * rows as u64))
        .and_then(|()| engine.write(row_buffer, 0, bytemuck::cast_slice(&last)));
    let scale = 1.0 / (width as f64).sqrt();
    let mask = Mask { window: None, scale, softcap: None };
    let op = Attention { rows: row_buffer, q, cache, mask, out };
    let what = format!("attention {rows}x{heads}x{width}");
    let extent = cache.context as u32;
    let won = filled.and_then(|()| contest(engine, &what, variants, &op, extent));
    made.iter().for_each(|&(id, _)| engine.free(id));
    engine.free(row_buffer);
    let (contest, KernelSelection { profile, .. }) = won?;
    if contest.taken != contest.default {
        found.attention = profile.attention.or(found.attention);
        found.chunk = profile.chunk.or(found.chunk);
    }
    Ok(contest)
}

/// One variant in a contest.
struct Runner {
    name: String,
    selection: KernelSelection,
    plan: Plan,
    times: Vec<f64>,
}

/// Lets the variants take turns at an op, the default first among them; returns the winner.
/// `extent` is the number of keys that the op's grids may depend on.
fn contest(
    engine: &mut Engine,
    what: &str,
    variants: Vec<(String, KernelSelection)>,
    op: &dyn Op,
    extent: u32,
) -> Result<(Contest, KernelSelection)> {
    let (mut runners, mut seen) = (Vec::new(), BTreeSet::new());
    for (name, selection) in variants {
        if !seen.insert(name.clone()) {
            continue;
        }
        let mut recording = Recording::new();
        op.record(&mut recording, &selection)?;
        let plan = engine.prepare(&recording)?;
        // The first run compiles.
        let runner = Runner { name, selection, plan, times: Vec::new() };
        time(engine, &runner.plan, extent, 1)?;
        runners.push(runner);
    }
    let first = time(engine, &runners[0].plan, extent, 1)?;
    let repeat = ((TURN / first) as usize).clamp(1, MOST_RUNS);
    let default = runners[0].name.clone();
    let mut gain = 1.0;
    for _ in 0..2 {
        for round in 0..ROUNDS {
            for runner in &mut runners {
                let seconds = time(engine, &runner.plan, extent, repeat)?;
                runner.times.push(seconds);
            }
            if round == 1 {
                let most = PRUNE_RATIO * best(&runners[0].times);
                runners.retain(|runner| runner.name == default || best(&runner.times) < most);
            }
        }
        let gains = runners.iter().map(|runner| runner.gain_over(&runners[0]));
        let fastest = gains.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 1.0));
        gain = fastest.1;
        if gain <= MARGIN {
            runners.truncate(1);
            gain = 1.0;
            break;
        }
        // The two alone, starting over.
        runners.swap(1, fastest.0);
        runners.truncate(2);
        runners.iter_mut().for_each(|runner| runner.times.clear());
    }
    let Some(Runner { name: taken, selection, .. }) = runners.pop() else {
        return Err(Error::Input(format!("{what} has no variants")));
    };
    Ok((Contest { what: what.to_owned(), default, taken, gain }, selection))
}

impl Runner {
    /// How much faster it is at least: the smaller of the ratios of best times and of medians; 0 if
    /// it did not win most turns.
    fn gain_over(&self, default: &Self) -> f64 {
        let won = self.times.iter().zip(&default.times).filter(|(own, other)| own < other).count();
        if (won as f64) < MOST_TURNS * self.times.len() as f64 {
            return 0.0;
        }
        let best = best(&default.times) / best(&self.times);
        best.min(median(&default.times) / median(&self.times))
    }
}

fn best(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
