//! Every op on this machine's adapter against its twin in plain Rust.
//!
//! An adapter is required: without one these tests fail. `PELLUCID_TEST_ADAPTER` says which
//! software adapter the caller has chosen, `lavapipe` or `swiftshader`; the tests verify it.

mod attention;
mod backward;
mod common;
mod engine;
mod faults;
mod linear;
mod ops;
mod own_device;
mod sample;
mod self_test;
#[path = "../common/mod.rs"]
mod shared;
