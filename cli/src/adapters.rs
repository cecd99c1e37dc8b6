//! `pellucid adapters`: lists the GPUs of this machine.

use clap::Args;
use pellucid::Result;
use pellucid::gpu::{self, Adapter};
use serde::Serialize;

use crate::options::Backend;
use crate::output;

/// List the GPUs of this machine.
///
/// Other commands accept an index of this list, or part of a name, as --adapter. OpenGL offers the
/// same GPUs through a slower interface: its adapters are listed with --backend gl, or if there are
/// no others.
#[derive(Debug, Args)]
pub(crate) struct Adapters {
    /// List only the adapters of this graphics API
    ///
    /// The indices are those that --adapter takes together with this --backend.
    #[arg(long, help_heading = "Device")]
    backend: Option<Backend>,
    /// Print one JSON object instead of a table
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    adapters: Vec<Adapter>,
}

impl Adapters {
    pub(crate) async fn run(&self) -> Result<()> {
        let adapters = match self.backend.map(Backend::interface) {
            Some(None) => Vec::new(),
            interface => gpu::adapters(interface.flatten()).await?,
        };
        if adapters.is_empty() {
            let which = if self.backend.is_some() { "of this backend " } else { "" };
            output::note(&format!(
                "no adapter {which}here can run compute shaders; --backend cpu needs none, but is slow",
            ));
        }
        if self.json {
            return output::json(&Report { adapters });
        }
        adapters.iter().try_for_each(|adapter| output::line(&row(adapter)))
    }
}

fn row(adapter: &Adapter) -> String {
    let Adapter { index, name, backend, kind, driver, features, limits } = adapter;
    format!(
        "{index}  {name}\n   {backend}, {kind}, {driver}\n   {} MiB a binding, {} MiB a buffer{}{}",
        limits.max_storage_buffer_binding_size >> 20,
        limits.max_buffer_size >> 20,
        if features.is_empty() { "" } else { ", " },
        features.join(", ")
    )
}
