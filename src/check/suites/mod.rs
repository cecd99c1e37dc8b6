//! What the self-test tries, collected from the tables of the cases.

#[cfg(feature = "train")]
mod backward;
mod forward;
mod table;

pub(super) use table::{Suite, Table};

/// Linear maps, forwards and backwards.
pub(super) fn linear() -> Suite {
    let mut suite = Suite::default();
    forward::linear(&mut suite);
    #[cfg(feature = "train")]
    backward::linear(&mut suite);
    suite
}

/// All else.
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

/// The same of each op that it learns by.
#[cfg(feature = "train")]
pub(super) fn quick_training(heads: [usize; 3]) -> Table {
    backward::quick(heads)
}
