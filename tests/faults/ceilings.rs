//! The kernels that measure ceilings compute something too: sums that are easy to write down.

use bytemuck::{Pod, Zeroable};
use pellucid::check::Device;
use pellucid::check::cases::Case;
use pellucid::error::Result;
use pellucid::gpu::{BufferId, Field, Params, Program, Recording, Tensor};
use pellucid::ops::Op;
use pellucid::select::{KernelSelection, kernel, part};

const GROUPS: usize = 3;
const LANES: usize = 64;
const LOADS: usize = 4;
const STEPS: u32 = 3;
const FACTOR: f32 = 0.75;
const SUMMAND: f32 = 0.625;

/// The kernel of this name on a few workgroups.
#[derive(Debug)]
pub(crate) struct Ceiling(pub(crate) &'static str);

/// Numbers whose meaning depends on the kernel.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Words([u32; 4]);

impl Params for Words {
    const FIELDS: &'static [Field] = &[];
}

/// One dispatch: the buffers it reads, by group, and the one it writes.
struct Plain {
    program: Program,
    params: [u32; 4],
    reads: Vec<Vec<BufferId>>,
    out: Tensor,
}

impl Op for Plain {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let mut dispatch = recording.dispatch(self.program.clone(), &Words(self.params));
        for (group, buffers) in self.reads.iter().enumerate() {
            dispatch = buffers.iter().fold(dispatch, |dispatch, id| dispatch.read(group, *id));
        }
        dispatch.write(0, self.out.buffer).grid([GROUPS as u32, 1, 1]);
        Ok(())
    }
}

impl Case for Ceiling {
    fn run(&self, device: &mut Device) -> Result<()> {
        let out = device.output(GROUPS, LANES)?;
        // A row of words for each workgroup: its lanes take neighboring words, again and again.
        let values = device.noise(GROUPS * LOADS * LANES * 4);
        let words = device.words(&values)?;
        let program = Program::new(kernel(self.0)).constant("WG", LANES as u32);
        let loading = || program.clone().constant("LOADS", LOADS as u32);
        let (program, params, reads): (Program, [u32; 4], Vec<Vec<BufferId>>) = match self.0 {
            "ceiling_fma" => {
                let params = [STEPS, FACTOR.to_bits(), SUMMAND.to_bits(), 0];
                (program, params, vec![vec![]])
            }
            "ceiling_read" => (loading(), [GROUPS as u32, 0, 0, 0], vec![vec![words]]),
            _ => {
                let params = [(LOADS * LANES) as u32, GROUPS as u32, 0, 0];
                (loading().part(part("weight_f32")), params, vec![vec![], vec![words]])
            }
        };
        if device.run(&Plain { program, params, reads, out }, 0)? {
            let expected = if self.0 == "ceiling_fma" { multiplied() } else { sums(&values) };
            device.expect(&out, expected)?;
        }
        Ok(())
    }
}

/// Sixteen accumulators of four values: s = s a + b, a few times.
fn multiplied() -> Vec<f64> {
    let of_lane = |lane: usize| -> f64 {
        let start = |i: usize| lane as f64 + 0.25 * (i % 4) as f64 + (i / 4) as f64;
        let step = |s: f64, _: u32| s * f64::from(FACTOR) + f64::from(SUMMAND);
        (0..64).map(|i| (0..STEPS).fold(start(i), step)).sum()
    };
    (0..GROUPS * LANES).map(|i| of_lane(i % LANES)).collect()
}

/// The sum of the words that each lane takes.
fn sums(values: &[f32]) -> Vec<f64> {
    let of_lane = |group: usize, lane: usize| -> f64 {
        let word = |load: usize| &values[((group * LOADS + load) * LANES + lane) * 4..][..4];
        (0..LOADS).flat_map(word).map(|value| f64::from(*value)).sum()
    };
    (0..GROUPS * LANES).map(|i| of_lane(i / LANES, i % LANES)).collect()
}
