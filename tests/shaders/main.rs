//! What can be known of the kernels without an adapter: that every combination of kernel and
//! parts is sound and can be written for every system, that the ops bind what the kernels
//! declare, and what the forward page records.

mod every_op;
mod module;
#[path = "../common/programs.rs"]
mod programs;
mod reflection;
mod schedule;
mod text;

use programs::{fillings, fills, programs, slots};
