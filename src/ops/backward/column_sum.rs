//! How the invocations of a workgroup share a sum over rows.

use crate::select::{KernelSelection, Matmul};

/// The shape of a workgroup that sums over rows: four columns per invocation along x, shares of the
/// rows along y. On a CPU's vector units lanes never wait for each other; elsewhere two neighbors
/// still fetch a whole sector of memory.
pub(super) fn shares(selection: &KernelSelection, rows: usize) -> [u32; 2] {
    match selection.matmul {
        Matmul::Direct { t: 1, .. } => [8, 1],
        _ if rows < 16 => [32, 1],
        _ if rows < 512 => [8, 16],
        _ => [2, 128],
    }
}
