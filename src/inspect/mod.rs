//! Looking into models through their named values.

#[cfg(doctest)]
#[doc = include_str!("../../docs/inspect.md")]
mod page {}

mod attention;
mod attribute;
mod compare;
mod direction;
mod edit_resolve;
mod edit_text;
mod groups;
mod heads;
mod json;
mod lens;
mod steer;
mod sweep;
mod tensors;
mod unit;
mod values_file;

pub use attention::{AttentionOptions, Patterns, attention};
pub use attribute::{AttributeOptions, Attribution, attribute};
pub use compare::{Comparison, Difference, compare};
pub use direction::{Direction, Method, directions, write_directions};
pub use edit_text::EditText;
pub use heads::{HeadOptions, HeadScores, heads};
pub use json::{hooks_json, nested, values_json};
pub use lens::{Lens, LensOptions, Reading, lens};
pub use steer::Steering;
pub use sweep::{Ablation, Instead, Metric, Parts, PatchOptions, Patched, Pieces, ablate, patch};
pub use tensors::Tensors;
pub use unit::Unit;
pub use values_file::write_values;
