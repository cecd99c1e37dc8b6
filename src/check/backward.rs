//! What the self-test tries of training: hostile shapes and values for every derivative.

use super::tables::Tables;

/// Derivatives, and what a step does with them.
pub(super) fn add(_tables: &mut Tables) {}
