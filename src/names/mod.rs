//! Words that all floors share: the names of activations, the formats of weights.

mod format;
mod hook;
mod sampling;

pub use format::{Format, FormatInfo, Planes, Records};
pub use hook::{Hook, Need, Point, Size};
pub use sampling::Sampling;
