//! What the test binaries share: the adapter under test, the golden files, and random numbers.
#![allow(dead_code, reason = "each test binary needs some of these")]

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use pellucid::generate::Backend;
use pellucid::gpu::{AdapterChoice, Gpu};
use pellucid::reference::noise;
use serde_json::Value;

/// The adapter under test: one device for all tests of a program, so that each kernel is compiled
/// once.
///
/// `PELLUCID_TEST_ADAPTER` names the software adapter that the caller expects, `lavapipe` or
/// `swiftshader`; on any other adapter the test then fails.
pub(crate) fn gpu() -> Gpu {
    gpu_with(&AdapterChoice::default())
}

/// The same with other limits.
pub(crate) fn gpu_with(choice: &AdapterChoice) -> Gpu {
    static OPEN: Mutex<Vec<(AdapterChoice, Gpu)>> = Mutex::new(Vec::new());
    // A test that failed while it opened a device has added none.
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, gpu)) = open.iter().find(|(other, _)| other == choice) {
        return gpu.clone();
    }
    let gpu = own_gpu(choice);
    open.push((choice.clone(), gpu.clone()));
    gpu
}

/// A device of the test's own, for one that loses it or brings it to an end.
pub(crate) fn own_gpu(choice: &AdapterChoice) -> Gpu {
    let gpu = pollster::block_on(Gpu::open(choice)).expect("an adapter");
    let name = gpu.adapter().name.to_lowercase();
    match std::env::var("PELLUCID_TEST_ADAPTER").as_deref() {
        Ok("lavapipe") => assert!(name.contains("llvmpipe"), "{name} is not lavapipe"),
        Ok("swiftshader") => assert!(name.contains("swiftshader"), "{name} is not SwiftShader"),
        Ok(other) => panic!("PELLUCID_TEST_ADAPTER: no adapter is called {other}"),
        Err(_) => {}
    }
    gpu
}

/// The device under test, for a model that opens by itself.
pub(crate) fn backend() -> Backend {
    Backend::Device(gpu())
}

/// The folder of the golden models, each with the results of another engine.
pub(crate) fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models")
}

/// Another engine's results for a golden model.
pub(crate) fn golden(name: &str) -> Value {
    read_json(&models().join(name).join("golden.json"))
}

/// A JSON file that must be there.
#[track_caller]
pub(crate) fn read_json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Token ids of a golden file.
#[track_caller]
pub(crate) fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// Numbers of a golden file.
#[track_caller]
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

/// Random numbers that are the same in every run.
pub(crate) struct Random {
    seed: u64,
    drawn: u32,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// Uniform over all words.
    pub(crate) fn word(&mut self) -> u32 {
        self.drawn += 1;
        noise(self.seed, 0, 0, self.drawn)
    }

    /// Uniform in 0..1.
    pub(crate) fn uniform(&mut self) -> f64 {
        f64::from(self.word()) / 2_f64.powi(32)
    }

    /// One of `count` things.
    pub(crate) fn index(&mut self, count: usize) -> usize {
        (self.uniform() * count as f64) as usize
    }

    /// Numbers that are uniform in −scale..scale.
    pub(crate) fn values(&mut self, count: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|_| (2.0 * self.uniform() - 1.0) as f32 * scale).collect()
    }
}
