//! Faults on the host's side: what an op passes to its kernel is not what the kernel expects.

use pellucid::gpu::{Binding, Dispatch, Grid, Sabotage};
use pellucid::select::KERNELS;

use crate::Planted;
use crate::common::Random;

/// The first two parameters are exchanged.
fn params(dispatch: &mut Dispatch) {
    if dispatch.params.len() >= 8 {
        dispatch.params[..8].rotate_left(4);
    }
}

/// The grid is one workgroup short.
fn grid(dispatch: &mut Dispatch) {
    if let Grid::Fixed(axes) = &mut dispatch.grid
        && let Some(axis) = axes.iter_mut().find(|axis| **axis > 1)
    {
        *axis -= 1;
    }
}

/// The first two input buffers are exchanged.
fn bindings(dispatch: &mut Dispatch) {
    if let [first @ Binding::Read(_), second @ Binding::Read(_), ..] = &mut dispatch.groups[0][..] {
        std::mem::swap(first, second);
    }
}

/// A fault, what it does, and kernels whose results it changes.
type Change = (&'static str, fn(&mut Dispatch), [&'static str; 4]);

const CHANGES: [Change; 3] = [
    ("HostParams", params, ["head_norm", "gather", "sum_heads", "attention_merge"]),
    ("HostGrid", grid, ["rms_norm", "softmax", "matmul", "norm_backward"]),
    ("HostBindings", bindings, ["gain_bias", "divide_rows", "activate_backward", "layer_norm"]),
];

/// One of each kind, on a kernel drawn with the seed.
pub(crate) fn drawn(seed: u64) -> impl Iterator<Item = Planted> {
    let mut random = Random::new(seed + 1);
    CHANGES.into_iter().map(move |(kind, change, kernels)| {
        for name in kernels {
            let known = KERNELS.iter().any(|kernel| kernel.name == name);
            assert!(known, "{kind} names {name}, which is no kernel");
        }
        let file = kernels[random.index(kernels.len())];
        let sabotage = Sabotage { dispatch: Some(change), ..Sabotage::default() };
        let words = format!("{file} {kind}: what the op hands to it is changed");
        Planted { name: format!("{file}:{kind}"), words, file, sabotage }
    })
}
