//! Which variants of the kernels a model runs with on a device.

use std::sync::Arc;

use crate::config::Config;
use crate::error::Result;
use crate::gpu::{Engine, Gpu, Program};
use crate::ops::{Choices, Known};

use super::{Record, Shelf, Store, admit};

/// How the variants that a model runs with are chosen for a device.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// Whether variants are compared with the reference at the adapter's first use, and wrong ones are
    /// left out.
    pub check: bool,
    /// Whether variants are used that `pellucid tune` measured to be faster.
    pub tuned: bool,
    /// Whether products in f16 may be used where they are faster.
    pub half: bool,
    /// Where the adapter's record is kept; in the cache folder if `None` (see [`Store`]).
    pub storage: Option<Arc<dyn Shelf>>,
}

impl Default for Wishes {
    /// Checked, tuned, in f32.
    fn default() -> Self {
        Self { check: true, tuned: true, half: false, storage: None }
    }
}

impl Wishes {
    /// The built-in variants as they are: nothing is checked, and no measurement is used.
    pub fn built_in() -> Self {
        Self { check: false, tuned: false, ..Self::default() }
    }
}

/// Which variants of the kernels run.
#[derive(Clone, Debug)]
pub enum Variants {
    /// Those that are chosen for the device in this way.
    Chosen(Wishes),
    /// Exactly these.
    Given(Choices),
}

impl From<Wishes> for Variants {
    fn from(wishes: Wishes) -> Self {
        Self::Chosen(wishes)
    }
}

impl From<Choices> for Variants {
    fn from(choices: Choices) -> Self {
        Self::Given(choices)
    }
}

/// The variants to use for a model on a device. Those to be chosen are the ones that come out right
/// ([`admit`]), and of these the ones measured to be fastest. What is known of the adapter is read from
/// its [`Store`], and what is learned is kept there.
///
/// `programs` lists what the model runs with given choices.
///
/// # Errors
/// As [`admit`].
pub async fn choose(
    gpu: Gpu,
    config: &Config,
    variants: Variants,
    programs: &dyn Fn(&Choices) -> Result<Vec<Program>>,
) -> Result<(Engine, Choices)> {
    let wishes = match variants {
        Variants::Given(choices) => return Ok((Engine::new(gpu), choices)),
        Variants::Chosen(wishes) => wishes,
    };
    let store = match wishes.storage {
        Some(shelf) => Store::on(shelf, gpu.adapter()),
        None => Store::new(gpu.adapter()),
    };
    let before = store.load();
    let mut record = before.clone();
    record.known.half = wishes.half;
    if !wishes.tuned {
        record.known = record.known.unmeasured();
    }
    if !wishes.check {
        let choices = Choices::new(gpu.caps(), record.known.unchecked());
        return Ok((Engine::new(gpu), choices));
    }
    let &Config { heads, kv_heads, head_width, .. } = config;
    let heads = [heads, kv_heads, head_width];
    let admitted = admit(Engine::new(gpu), &mut record, heads, programs).await?;
    let known = Known { excluded: record.known.excluded, ..before.known.clone() };
    let after = Record { passed: record.passed, known };
    if after != before {
        store.save(&after);
    }
    Ok(admitted)
}
