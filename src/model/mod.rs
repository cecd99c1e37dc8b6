//! The model on the device: its weights, its state, and the forward page.

mod assemble;
mod blocks;
mod bound;
mod edit;
mod forms;
mod forward;
mod hook_fn;
mod hooks;
mod memory;
mod own_op;
mod params;
mod programs;
mod rows;
mod session;
mod tape;
mod upload;
mod weights;

#[cfg(feature = "train")]
pub(crate) use blocks::Pass;
pub(crate) use bound::Bound;
pub use edit::{Action, Change, Edit, actions};
pub use forms::copied;
pub use forward::{forward, layers, logits};
pub use hook_fn::{HookFn, HookValue, Place};
pub use hooks::{bytes_of, heads_first, hooks, named, offered, shape};
pub use memory::{MemoryUse, SessionOptions, context, layer_cache, plan};
#[cfg(feature = "train")]
pub(crate) use memory::{create_cache, free_memory, pieces};
pub use own_op::OwnOp;
pub use params::{ParamRef, Values};
pub use programs::{programs, workload};
pub use rows::Rows;
#[cfg(feature = "inspect")]
pub(crate) use session::Readout;
pub use session::{
    Activation, Observed, ObservedRows, OnDevice, Progress, Resident, Row, Scored, Session,
    VariantOutcome, rows,
};
pub(crate) use session::{Collected, Prefill, Staged, Trace};
pub use tape::{DropoutSite, Marks, Tape};
pub use upload::LoadOptions;
pub use weights::{Block, GateUp, Joined, Map, MlpWeights, Model, NormPlace, NormWeights, Qkv};
