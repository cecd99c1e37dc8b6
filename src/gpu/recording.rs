//! What to run, as plain data: recording needs no device and can be printed, compared and tested.

use std::fmt;

use super::params::{Field, Params};
use super::shader::Program;
use super::tensor::{BufferId, Tensor};

/// A list of dispatches over handles.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    pub(super) dispatches: Vec<Dispatch>,
    /// The bytes of each transient buffer.
    pub(super) transient: Vec<u64>,
}

/// One kernel over its buffers.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// The kernel and its variant.
    pub program: Program,
    /// The bytes of the uniform at group 0, binding 0.
    pub params: Vec<u8>,
    /// The fields that these bytes hold.
    pub fields: &'static [Field],
    /// The storage buffers of each group; group 0 counts from binding 1, the others from 0. A group
    /// without any is left out of the pipeline.
    pub groups: Vec<Vec<Binding>>,
    /// How many workgroups.
    pub grid: Grid,
    /// Bytes of weights that the dispatch fetches.
    pub weight_bytes: u64,
}

/// A buffer as a kernel sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Only read.
    Read(BufferId),
    /// Written, and perhaps read.
    Write(BufferId),
}

impl Binding {
    /// The buffer.
    pub fn buffer(self) -> BufferId {
        match self {
            Self::Read(buffer) | Self::Write(buffer) => buffer,
        }
    }
}

/// How many workgroups run along x, y and z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grid {
    /// Known while recording.
    Fixed([u32; 3]),
    /// One along z for every `chunk` of the extent that is known only when the plan runs.
    Extent {
        /// Workgroups along x.
        x: u32,
        /// Workgroups along y.
        y: u32,
        /// How much of the extent one workgroup covers.
        chunk: u32,
        /// Where the extent begins for this dispatch.
        first: u32,
        /// The most workgroups along z.
        most: u32,
    },
}

impl Grid {
    /// The workgroups for a given extent.
    pub fn at(self, extent: u32) -> [u32; 3] {
        match self {
            Self::Fixed(grid) => grid,
            Self::Extent { x, y, chunk, first, most } => {
                [x, y, extent.saturating_sub(first).div_ceil(chunk).min(most)]
            }
        }
    }
}

impl From<[u32; 3]> for Grid {
    fn from(groups: [u32; 3]) -> Self {
        Self::Fixed(groups)
    }
}

/// A dispatch that is being recorded: its buffers in the order of their bindings, then its grid.
#[must_use = "`grid` records the dispatch"]
#[derive(Debug)]
pub struct DispatchBuilder<'a> {
    recording: &'a mut Recording,
    program: Program,
    params: Vec<u8>,
    fields: &'static [Field],
    groups: Vec<Vec<Binding>>,
    weight_bytes: u64,
}

impl DispatchBuilder<'_> {
    /// The next buffer of a group is only read.
    pub fn read(self, group: usize, buffer: BufferId) -> Self {
        self.bind(group, [Binding::Read(buffer)])
    }

    /// The next buffer of a group is written, and perhaps read.
    pub fn write(self, group: usize, buffer: BufferId) -> Self {
        self.bind(group, [Binding::Write(buffer)])
    }

    /// The next buffers of a group. Groups that get none are left out of the pipeline.
    pub fn bind(mut self, group: usize, bindings: impl IntoIterator<Item = Binding>) -> Self {
        if self.groups.len() <= group {
            self.groups.resize(group + 1, Vec::new());
        }
        self.groups[group].extend(bindings);
        self
    }

    /// How many bytes of weights the dispatch fetches; 0 by default.
    pub fn weight_bytes(mut self, bytes: u64) -> Self {
        self.weight_bytes = bytes;
        self
    }

    /// Sets the number of workgroups, and appends the dispatch to the recording.
    pub fn grid(self, grid: impl Into<Grid>) {
        let Self { recording, program, params, fields, groups, weight_bytes } = self;
        let grid = grid.into();
        recording.dispatches.push(Dispatch { program, params, fields, groups, grid, weight_bytes });
    }
}

impl Recording {
    /// An empty recording.
    pub fn new() -> Self {
        Self::default()
    }

    /// A matrix that lives from its first write to its last read in this recording.
    pub fn tensor(&mut self, rows: usize, columns: usize) -> Tensor {
        let buffer = BufferId::transient(self.transient.len());
        let tensor = Tensor { buffer, rows, columns };
        self.transient.push(tensor.bytes());
        tensor
    }

    /// Begins a dispatch of a program; [`DispatchBuilder::grid`] appends it.
    pub fn dispatch<P: Params>(&mut self, program: Program, params: &P) -> DispatchBuilder<'_> {
        DispatchBuilder {
            recording: self,
            program,
            params: bytemuck::bytes_of(params).to_vec(),
            fields: P::FIELDS,
            groups: vec![Vec::new()],
            weight_bytes: 0,
        }
    }

    /// Uses another buffer wherever one was used so far.
    pub(crate) fn replace(&mut self, from: BufferId, to: BufferId) {
        let bindings = self.dispatches.iter_mut().flat_map(|dispatch| &mut dispatch.groups);
        for binding in bindings.flatten() {
            match binding {
                Binding::Read(buffer) | Binding::Write(buffer) if *buffer == from => *buffer = to,
                _ => {}
            }
        }
    }

    /// Leaves out the dispatch at `at`, which only copies all of a transient tensor, and lets the
    /// copy take the tensor's place from its first use on. Not if the tensor is written after that
    /// dispatch, or has room for more than the copy. Returns whether it did.
    pub(crate) fn leave_out_copy(&mut self, at: usize, from: &Tensor, to: &Tensor) -> bool {
        let room = from.buffer.transient_index().map(|index| self.transient[index]);
        let mut later = self.dispatches[at + 1..].iter().flat_map(|later| &later.groups).flatten();
        if room != Some(to.bytes()) || later.any(|b| *b == Binding::Write(from.buffer)) {
            return false;
        }
        self.dispatches.remove(at);
        self.replace(from.buffer, to.buffer);
        true
    }

    /// What was recorded so far.
    pub fn dispatches(&self) -> &[Dispatch] {
        &self.dispatches
    }

    /// The bytes of weights that one run fetches.
    pub fn weight_bytes(&self) -> u64 {
        self.dispatches.iter().map(|dispatch| dispatch.weight_bytes).sum()
    }

    /// Gives each transient buffer a slot, reusing slots whose owner is no longer needed.
    /// Returns the slot of each and the bytes of each slot.
    pub(super) fn slots(&self) -> (Vec<usize>, Vec<u64>) {
        let mut last_use = vec![0; self.transient.len()];
        for (step, dispatch) in self.dispatches.iter().enumerate() {
            for index in
                dispatch.groups.iter().flatten().filter_map(|b| b.buffer().transient_index())
            {
                last_use[index] = step;
            }
        }
        let mut slot_of = vec![usize::MAX; self.transient.len()];
        let mut slots: Vec<u64> = Vec::new();
        let mut free: Vec<usize> = Vec::new();
        for (step, dispatch) in self.dispatches.iter().enumerate() {
            let used: Vec<usize> = dispatch
                .groups
                .iter()
                .flatten()
                .filter_map(|binding| binding.buffer().transient_index())
                .collect();
            for &index in &used {
                if slot_of[index] != usize::MAX {
                    continue;
                }
                let bytes = self.transient[index];
                // The smallest slot that is large enough, else the largest, which then grows.
                let best = free
                    .iter()
                    .copied()
                    .min_by_key(|&slot| (slots[slot] < bytes, slots[slot].abs_diff(bytes)));
                let slot = best.unwrap_or_else(|| {
                    slots.push(0);
                    slots.len() - 1
                });
                free.retain(|&other| other != slot);
                slots[slot] = slots[slot].max(bytes);
                slot_of[index] = slot;
            }
            for &index in &used {
                if last_use[index] == step && !free.contains(&slot_of[index]) {
                    free.push(slot_of[index]);
                }
            }
        }
        (slot_of, slots)
    }

    /// The total bytes of the transient buffers once slots are shared.
    pub fn transient_bytes(&self) -> u64 {
        self.slots().1.iter().sum()
    }
}

/// The bytes of each transient buffer that an engine makes for these recordings, prepared in this
/// order: they run one after another and so share buffers.
pub fn shared_slots(recordings: &[&Recording]) -> Vec<u64> {
    let mut shared = Vec::new();
    for recording in recordings {
        assign_slots(&mut shared, &recording.slots().1);
    }
    shared
}

/// Chooses a shared buffer for each slot of a recording, the smallest that is large enough; where
/// there is none, adds one. Gives the index of each.
pub(super) fn assign_slots(shared: &mut Vec<u64>, slots: &[u64]) -> Vec<usize> {
    let mut chosen: Vec<usize> = Vec::with_capacity(slots.len());
    for &bytes in slots {
        let fits = (0..shared.len())
            .filter(|index| !chosen.contains(index) && shared[*index] >= bytes)
            .min_by_key(|&index| shared[index]);
        chosen.push(fits.unwrap_or_else(|| {
            shared.push(bytes.max(16).next_multiple_of(16));
            shared.len() - 1
        }));
    }
    chosen
}

/// One line per dispatch: the schedule, as the snapshot test prints it.
impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for dispatch in &self.dispatches {
            let grid = match dispatch.grid {
                Grid::Fixed([x, y, z]) => format!("{x}x{y}x{z}"),
                Grid::Extent { x, y, chunk, first: 0, .. } => format!("{x}x{y}x(n/{chunk})"),
                Grid::Extent { x, y, chunk, first, .. } => {
                    format!("{x}x{y}x((n-{first})/{chunk})")
                }
            };
            writeln!(
                f,
                "{:<10} {:>9} B  {}",
                grid,
                dispatch.weight_bytes,
                dispatch.program.label()
            )?;
        }
        Ok(())
    }
}
