//! Which variants of the kernels a model runs with on a device.

use std::sync::Arc;

use crate::config::Config;
use crate::error::Result;
use crate::gpu::{Engine, Gpu, Program};
use crate::select::{DeviceProfile, KernelSelection};
use crate::tune::{KeyValueStorage, ProfileCache, Record};

use super::self_test::verify_kernels;

/// How the variants that a model runs with are chosen for a device.
#[derive(Clone, Debug)]
pub struct SelectionPolicy {
    /// Whether variants are compared with the reference when the adapter is first used, and wrong
    /// ones are left out.
    pub check: bool,
    /// Whether to use the variants that `pellucid tune` measured to be faster.
    pub tuned: bool,
    /// Whether products in f16 may be used where they are faster.
    pub f16: bool,
    /// Where the adapter's record is kept; in the cache folder if `None` (see [`ProfileCache`]).
    pub storage: Option<Arc<dyn KeyValueStorage>>,
}

impl Default for SelectionPolicy {
    /// Checked, tuned, in f32.
    fn default() -> Self {
        Self { check: true, tuned: true, f16: false, storage: None }
    }
}

impl SelectionPolicy {
    /// The built-in variants as they are: nothing is checked, and no measurement is used.
    pub fn built_in() -> Self {
        Self { check: false, tuned: false, ..Self::default() }
    }
}

/// Which variants of the kernels run.
#[derive(Clone, Debug)]
pub enum Variants {
    /// Those chosen for the device under this policy.
    Chosen(SelectionPolicy),
    /// Exactly these.
    Given(KernelSelection),
}

impl From<SelectionPolicy> for Variants {
    fn from(policy: SelectionPolicy) -> Self {
        Self::Chosen(policy)
    }
}

impl From<KernelSelection> for Variants {
    fn from(selection: KernelSelection) -> Self {
        Self::Given(selection)
    }
}

/// The variants to use for a model on a device. Unless given, they are those that pass
/// [`verify_kernels`], and of these the ones measured to be fastest. What is known about the
/// adapter is read from its [`ProfileCache`], and what is learned is saved there.
///
/// `programs` lists what the model runs with a given selection.
///
/// # Errors
/// As [`verify_kernels`].
pub async fn select_kernels(
    gpu: Gpu,
    config: &Config,
    variants: Variants,
    programs: &dyn Fn(&KernelSelection) -> Result<Vec<Program>>,
) -> Result<(Engine, KernelSelection)> {
    let policy = match variants {
        Variants::Given(selection) => return Ok((Engine::new(gpu), selection)),
        Variants::Chosen(policy) => policy,
    };
    let cache = match policy.storage {
        Some(storage) => ProfileCache::in_storage(storage, gpu.adapter()),
        None => ProfileCache::new(gpu.adapter()),
    };
    let before = cache.load();
    let mut record = before.clone();
    record.profile.f16 = policy.f16;
    if !policy.tuned {
        record.profile = record.profile.unmeasured();
    }
    if !policy.check {
        let selection = KernelSelection::new(gpu.caps(), record.profile.unchecked());
        return Ok((Engine::new(gpu), selection));
    }
    let &Config { heads, kv_heads, head_width, .. } = config;
    let heads = [heads, kv_heads, head_width];
    let verified = verify_kernels(Engine::new(gpu), &mut record, heads, programs).await?;
    let profile = DeviceProfile { excluded: record.profile.excluded, ..before.profile.clone() };
    let after = Record { passed: record.passed, profile };
    if after != before {
        cache.save(&after);
    }
    Ok(verified)
}
