//! Whether this browser's GPU calculates rightly, and what is kept of it.

use std::fmt;

use js_sys::Function;
use pellucid::check::{self, Report, Share, Shelf, Store, Verdict};
use pellucid::gpu::{AdapterChoice, Engine, Gpu};
use send_wrapper::SendWrapper;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::value::{Result, plain, told};

/// What [`doctor`] finds.
#[derive(Serialize)]
struct Findings<'a> {
    kernels: Vec<&'a Verdict>,
    ok: bool,
}

/// Holds every kernel, in every variant that the adapter offers, against its twin; `progress` hears how
/// many cases of how many were tried.
#[wasm_bindgen]
pub async fn doctor(progress: Function) -> Result<JsValue> {
    let mut report = Report::default();
    let shares = Share::ALL;
    let mut before = 0;
    for (index, share) in shares.into_iter().enumerate() {
        let gpu = Gpu::open(&AdapterChoice::default()).await.map_err(told)?;
        let mut all = 0;
        let mut heard = |done: usize, total: usize| {
            all = total;
            // The other shares are about as long.
            let length = before + total * (shares.len() - index);
            let _ = progress.call2(&JsValue::NULL, &(before + done).into(), &length.into());
        };
        report.join(check::doctor(Engine::new(gpu), share, &mut heard).await.map_err(told)?);
        before += all;
    }
    plain(&Findings { kernels: report.verdicts.values().collect(), ok: report.ok() })
}

/// A script's own memory of earlier visits.
struct Visits {
    load: SendWrapper<Function>,
    save: SendWrapper<Function>,
}

impl fmt::Debug for Visits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Visits")
    }
}

impl Shelf for Visits {
    fn load(&self, name: &str) -> Option<String> {
        self.load.call1(&JsValue::NULL, &name.into()).ok()?.as_string()
    }

    fn save(&self, name: &str, text: &str) {
        // What cannot be kept is found out again.
        let _ = self.save.call2(&JsValue::NULL, &name.into(), &text.into());
    }
}

/// Keeps what is found out about the adapter by these: `load` gives the text of a name or undefined,
/// `save` takes a name and a text.
#[wasm_bindgen]
pub fn shelve(load: Function, save: Function) {
    let (load, save) = (SendWrapper::new(load), SendWrapper::new(save));
    Store::shelve(Box::new(Visits { load, save }));
}
