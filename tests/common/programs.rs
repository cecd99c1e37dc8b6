//! Every program that can be linked from the kernels and their parts.

use pellucid::gpu::{Part, Program};
use pellucid::select::{KERNELS, PARTS};

/// The slots that the head of a kernel or part names in its line `// parts:`.
pub(crate) fn slots(source: &'static str) -> Vec<&'static str> {
    let named = source.lines().find_map(|line| line.strip_prefix("// parts:"));
    named.map_or(Vec::new(), |slots| slots.split(',').map(str::trim).collect())
}

/// Whether a part fills a slot: its file has the slot's name, alone or before a name of its own.
pub(crate) fn fills(part: &Part, slot: &str) -> bool {
    let own = part.name.strip_prefix(slot);
    own.is_some_and(|own| own.is_empty() || own.starts_with('_'))
}

/// The parts that fill a slot.
pub(crate) fn fillings(slot: &str) -> Vec<&'static Part> {
    let fills = |part: &&Part| fills(part, slot);
    let found: Vec<_> = PARTS.iter().filter(fills).collect();
    assert!(!found.is_empty(), "no part fills the slot {slot}");
    found
}

/// Every kernel with every combination of its parts, and of their parts.
pub(crate) fn programs() -> Vec<Program> {
    KERNELS.iter().flat_map(|kernel| fill(Program::new(kernel), slots(kernel.source))).collect()
}

/// Every way to fill the open slots of a program.
fn fill(program: Program, mut open: Vec<&'static str>) -> Vec<Program> {
    let Some(slot) = open.pop() else { return vec![program] };
    let with = |part: &'static Part| {
        let open = open.iter().copied().chain(slots(part.source)).collect();
        fill(program.clone().part(part), open)
    };
    fillings(slot).into_iter().flat_map(with).collect()
}
