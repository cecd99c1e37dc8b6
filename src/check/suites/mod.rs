//! What the self-test runs, collected from the tables of the cases.

#[cfg(feature = "train")]
mod backward;
mod forward;
mod table;

pub(super) use table::{Suite, Table};

/// Linear layers, forward and backward.
pub(super) fn linear() -> Suite {
    let mut suite = Suite::default();
    forward::linear(&mut suite);
    #[cfg(feature = "train")]
    backward::linear(&mut suite);
    suite
}

/// Everything else.
pub(super) fn rest() -> Suite {
    let mut suite = Suite::default();
    forward::rest(&mut suite);
    #[cfg(feature = "train")]
    backward::rest(&mut suite);
    suite
}

/// A few small shapes of each op that a model with these query heads, key heads and head width runs.
pub(super) fn quick(heads: [usize; 3]) -> Table {
    forward::quick(heads)
}

/// The same for each op that it is trained with.
#[cfg(feature = "train")]
pub(super) fn quick_training(heads: [usize; 3]) -> Table {
    backward::quick(heads)
}
