//! Names of tensors as they are inside the wrappers that training programs put around a model.

use std::path::Path;

use super::source::Entries;
use crate::error::{Error, Result};

/// What wrappers put in front of the names of a module, wherever it is.
const INSIDE: [&str; 4] =
    ["_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "base_layer."];

/// What they put in front of all names.
const IN_FRONT: [&str; 2] = ["base_model.model.", "module."];

/// The parts of names of an adapter's tensors.
const ADAPTER: [&str; 3] = [".lora_A.", ".lora_B.", ".lora_embedding_"];

/// The name without wrappers.
pub(super) fn unwrapped(name: &str) -> String {
    let mut name = INSIDE.iter().fold(name.to_owned(), |name, part| name.replace(part, ""));
    while let Some(rest) = IN_FRONT.iter().find_map(|part| name.strip_prefix(part)) {
        name = rest.to_owned();
    }
    name
}

/// The tensors under their names without wrappers.
pub(super) fn unwrap(path: &Path, entries: Entries) -> Result<Entries> {
    let of_adapter = |name: &&String| ADAPTER.iter().any(|part| name.contains(part));
    if let Some(name) = entries.keys().filter(of_adapter).min() {
        return Err(Error::unsupported(
            format!("{}: a LoRA adapter beside its model (tensor {name})", path.display()),
            "models into whose weights the adapter was merged",
        ));
    }
    let mut all = Entries::with_capacity(entries.len());
    for (name, mut entry) in entries {
        let known = unwrapped(&name);
        entry.stored_as = (known != name).then(|| name.clone());
        if let Some(other) = all.insert(known.clone(), entry) {
            let other = other.stored_as.unwrap_or(known);
            return Err(Error::tensor(path, name, format!("is in the file as {other} too")));
        }
    }
    Ok(all)
}
