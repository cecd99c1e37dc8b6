//! Tests of the kernels without an adapter: every combination of kernel and parts is valid and can
//! be translated for every backend, the ops bind what the kernels declare, and the forward page
//! records the expected schedule.

#[path = "../common/barriers.rs"]
mod barriers;
mod every_op;
mod module;
#[path = "../common/programs.rs"]
mod programs;
mod reflection;
mod schedule;
mod text;

use programs::{fillings, fills, programs, slots};
