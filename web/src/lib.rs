//! Pellucid in a browser: what a worker's JavaScript calls.
//!
//! Everything here runs in a worker, where files can be read synchronously. `page/pellucid.js` is the
//! interface for other scripts; `page/pellucid.d.ts` has its types. Settings and results are plain
//! objects, passed as JSON.
#![cfg(target_arch = "wasm32")]

mod archive;
mod doctor;
mod files;
mod inspect;
mod model;
mod request;
mod tokenizer;
mod trainer;
mod value;

pub use doctor::doctor;
pub use model::Model;
pub use tokenizer::{Tokenizer, learn_tokenizer};
pub use trainer::Trainer;

use wasm_bindgen::prelude::*;

/// Runs once, when the module is loaded: panics and warnings go to the console.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
    // A second module in the same worker has to share the first one's logger.
    let _ = console_log::init_with_level(log::Level::Warn);
}

/// Bytes of this module's memory, which grows and never shrinks.
#[wasm_bindgen(js_name = memoryBytes)]
pub fn memory_bytes() -> f64 {
    core::arch::wasm32::memory_size::<0>() as f64 * 65_536.0
}
