//! `pellucid adapters`: lists the GPUs of this machine.

use clap::Args;
use pellucid::Result;
use pellucid::gpu::{self, Adapter};
use serde::Serialize;

use crate::options::Backend;
use crate::output;

/// Lists the GPUs of this machine.
///
/// --adapter takes an index of this list, or a part of a name. OpenGL shows the same GPUs by a slower
/// way: they are listed for --backend gl, or where there are no others.
#[derive(Debug, Args)]
pub(crate) struct Adapters {
    /// Only those of this interface, with the indices that --adapter takes together with it
    #[arg(long)]
    backend: Option<Backend>,
    /// Print one JSON object instead of a table
    #[arg(long)]
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
            output::note(
                "no adapter here runs compute shaders; --backend cpu runs without one, slowly",
            );
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
