//! Whether this browser's GPU computes correctly, and the record kept of it.

use std::sync::Arc;

use js_sys::Function;
use pellucid::check;
use pellucid::check::{Report, Shard, Verdict};
use pellucid::gpu::{AdapterChoice, Engine, Gpu};
use pellucid::tune::KeyValueStorage;
use send_wrapper::SendWrapper;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::value::{Result, plain, to_js_error};

/// The findings of [`doctor`].
#[derive(Serialize)]
struct Findings<'a> {
    kernels: Vec<&'a Verdict>,
    ok: bool,
}

/// Compares every kernel, in every variant that the adapter offers, with its twin; `progress` is
/// called with the number of cases tried and their total.
#[wasm_bindgen]
pub async fn doctor(progress: Function) -> Result<JsValue> {
    let mut report = Report::default();
    let shards = Shard::ALL;
    let mut before = 0;
    for (index, shard) in shards.into_iter().enumerate() {
        let gpu = Gpu::open(&AdapterChoice::default()).await.map_err(to_js_error)?;
        let mut all = 0;
        let mut report_progress = |done: usize, total: usize| {
            all = total;
            // The other shards are about as long.
            let length = before + total * (shards.len() - index);
            let _ = progress.call2(&JsValue::NULL, &(before + done).into(), &length.into());
        };
        report.join(
            check::doctor(Engine::new(gpu), shard, &mut report_progress)
                .await
                .map_err(to_js_error)?,
        );
        before += all;
    }
    plain(&Findings { kernels: report.verdicts.values().collect(), ok: report.ok() })
}

#[wasm_bindgen]
extern "C" {
    /// A script's storage between visits: texts by name.
    #[derive(Clone, Debug)]
    pub type Visits;

    /// The text under a name, or undefined.
    #[wasm_bindgen(method, catch)]
    fn get(this: &Visits, name: &str) -> std::result::Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn set(this: &Visits, name: &str, text: &str) -> std::result::Result<(), JsValue>;
}

/// Values of a worker never leave it, so it is safe to call them `Send`.
#[derive(Debug)]
struct Kept(SendWrapper<Visits>);

impl KeyValueStorage for Kept {
    fn load(&self, name: &str) -> Option<String> {
        self.0.get(name).ok()?.as_string()
    }

    fn save(&self, name: &str, text: &str) {
        // What cannot be stored is measured again.
        let _ = self.0.set(name, text);
    }
}

/// Where the adapter's record is kept.
pub(crate) fn storage(visits: Visits) -> Arc<dyn KeyValueStorage> {
    Arc::new(Kept(SendWrapper::new(visits)))
}
