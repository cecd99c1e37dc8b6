//! The only folder that uses `wgpu`: devices, buffers, shaders, recordings, and the engine that
//! runs them.
//!
//! Nothing here knows what a transformer is.

mod adapter;
mod compiled;
mod counters;
mod device;
mod engine;
mod params;
mod pipeline;
mod plan;
mod readback;
mod recording;
mod shader;
mod tensor;

pub use adapter::{Adapter, AdapterChoice, Limits, adapters};
pub use counters::Counters;
pub use device::{Caps, Gpu};
pub use engine::Engine;
pub(crate) use params::params;
pub use params::{Field, FieldType, Params};
pub use pipeline::Sabotage;
pub use plan::Plan;
pub use readback::Readback;
pub use recording::{Binding, Dispatch, DispatchBuilder, Grid, Recording, shared_slots};
pub use shader::{Kernel, Need, Part, Program, Target, link};
pub use tensor::{BufferId, Tensor, padded};
