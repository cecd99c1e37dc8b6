//! From a checkpoint to something that runs.

use crate::check::{self, Store};
use crate::config::Config;
use crate::error::Result;
use crate::gpu::{Engine, Gpu};
use crate::model::{self, LoadOptions, Session, SessionOptions};
use crate::ops::{Choices, Known};
use crate::reference;
use crate::weights::Checkpoint;

use super::llm::{Options, Runner};

/// A model that the reference will run.
pub(super) fn cpu_runner(
    checkpoint: &Checkpoint,
    options: &Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Runner> {
    let context = model::context(checkpoint.config(), options.context)?;
    let model = Box::new(reference::Model::load(checkpoint, progress)?);
    Ok(Runner::Cpu { model, context })
}

/// A model on a device, with the variants that suit it.
pub(super) async fn gpu_runner(
    gpu: Gpu,
    checkpoint: &Checkpoint,
    options: &Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Runner> {
    let load = LoadOptions { quantize: options.quantize };
    let session = SessionOptions {
        context: options.context,
        sequences: options.sequences,
        cache: options.cache,
        chunk: None,
    };
    let fit = model::plan(&gpu, checkpoint, load, &session)?;
    log::info!(
        "{} bytes of weights and {} of keys and values on {}",
        fit.weights,
        fit.cache,
        gpu.adapter().name
    );
    let store = Store::new(gpu.adapter());
    let mut engine = Engine::new(gpu);
    let model = model::Model::load(&mut engine, checkpoint, load, progress)?;
    let (engine, choices) = choose(engine, &model, &store, options, &session).await?;
    Ok(Runner::Gpu(Box::new(Session::new(engine, model, choices, session)?)))
}

/// The variants to use: those that come out right, and of these the ones measured to be fastest.
async fn choose(
    engine: Engine,
    model: &model::Model,
    store: &Store,
    options: &Options,
    session: &SessionOptions,
) -> Result<(Engine, Choices)> {
    let before = store.load();
    let mut record = before.clone();
    record.known.half = options.half;
    if !options.tuned {
        record.known = record.known.unmeasured();
    }
    if !options.check {
        let choices = Choices::new(engine.gpu().caps(), record.known.unchecked());
        return Ok((engine, choices));
    }
    let Config { heads, kv_heads, head_width, .. } = model.config;
    let programs = |choices: &Choices| model::programs(model, choices, session);
    let heads = [heads, kv_heads, head_width];
    let (engine, choices) = check::admit(engine, &mut record, heads, &programs).await?;
    let known = Known { excluded: record.known.excluded, ..before.known.clone() };
    let after = check::Record { passed: record.passed, known };
    if after != before {
        store.save(&after);
    }
    Ok((engine, choices))
}
