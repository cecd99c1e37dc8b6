//! Lists of cases of several kinds.

use crate::check::cases::{Case, Tables};

/// A list of cases of several kinds.
pub(in crate::check) type Table = Vec<Box<dyn Case>>;

/// What the full self-test runs.
#[derive(Default)]
pub(in crate::check) struct Suite {
    /// With every variant that the device offers.
    pub(in crate::check) variants: Table,
    /// Once.
    pub(in crate::check) once: Table,
}

impl Suite {
    /// Adds the tables of one op.
    pub(super) fn add<C: Tables>(&mut self) {
        self.variants.extend(C::variants().into_iter().map(boxed));
        self.once.extend(C::once().into_iter().map(boxed));
    }
}

fn boxed<C: Tables>(case: C) -> Box<dyn Case> {
    Box::new(case)
}

/// The quick cases of one op.
pub(super) fn quick<C: Tables>(heads: [usize; 3]) -> impl Iterator<Item = Box<dyn Case>> {
    C::quick(heads).into_iter().map(boxed)
}

/// Defines, from two lists of cases (linear layers and everything else), the functions that collect
/// their tables.
macro_rules! collect {
    (linear: $($linear:ident),+; rest: $($rest:ident),+) => {
        /// Linear layers.
        pub(super) fn linear(suite: &mut Suite) {
            $(suite.add::<$linear>();)+
        }

        /// Everything else.
        pub(super) fn rest(suite: &mut Suite) {
            $(suite.add::<$rest>();)+
        }

        /// A few small shapes of each op; attention with the model's own heads.
        pub(super) fn quick(heads: [usize; 3]) -> Table {
            let mut table = Table::new();
            $(table.extend(table::quick::<$linear>(heads));)+
            $(table.extend(table::quick::<$rest>(heads));)+
            table
        }
    };
}

pub(super) use collect;
