//! Logits that are infinite or NaN, and where the values before them begin to be so.

use half::f16;

use crate::error::{Error, Remedy, Result};
use crate::hook::Hook;
use crate::model::{Row, Session, rows};
use crate::ops::CacheFormat;
use crate::reference::{Model, Observer};

/// Rows that are looked at in one run: the values of all layers are read back.
const ROWS: usize = 16;

/// The values that are looked at, in the order of the pass: what each layer makes of its input.
fn hooks(layers: usize) -> Vec<Hook> {
    [Hook::Embed].into_iter().chain((0..layers).map(Hook::ResidPost)).collect()
}

/// The error about the logits after these tokens, on a device. The caches are overwritten.
pub(super) async fn on_device(session: &mut Session, tokens: &[u32]) -> Error {
    let hooks = hooks(session.model().config.layers);
    for rows in rows(tokens, 0).chunks(ROWS) {
        // The fault is told even where this look at it fails.
        let Ok(seen) = session.values(rows, &hooks).await else {
            return error(tokens, unknown());
        };
        let wrong = |value: &f32| !value.is_finite();
        let Some(first) = seen.iter().find(|seen| seen.values.iter().any(wrong)) else { continue };
        if let Some(layer) = first.hook.layer()
            && let Ok(Some(which)) = beyond_f16(session, rows, layer).await
        {
            return Error::NotFinite {
                tokens: tokens.len(),
                first: format!(
                    "the {which} of layer {layer}, which lie beyond ±65504, the range of a cache in f16"
                ),
                remedies: vec![Remedy::CacheF32],
            };
        }
        return error(tokens, place(Some(first.hook)));
    }
    error(tokens, place(None))
}

/// Whether a layer has finite keys or values for these rows that its cache could not hold.
async fn beyond_f16(
    session: &mut Session,
    rows: &[Row],
    layer: usize,
) -> Result<Option<&'static str>> {
    if session.cache_format() != CacheFormat::F16 {
        return Ok(None);
    }
    let computed = session.values(rows, &[Hook::K(layer), Hook::V(layer)]).await?;
    let held = rows.iter().map(|row| row.position as usize + 1).max().unwrap_or(0);
    let held = session.read_cache(layer, held).await?;
    let lost = |bytes: &Vec<u8>| {
        bytes.chunks_exact(2).any(|half| !f16::from_le_bytes([half[0], half[1]]).is_finite())
    };
    let mut pairs = computed.iter().zip(&held).zip(["keys", "values"]);
    let found = pairs.find(|((computed, held), _)| {
        computed.values.iter().all(|value| value.is_finite()) && lost(held)
    });
    Ok(found.map(|(_, which)| which))
}

/// The same on the reference.
pub(super) fn on_reference(model: &Model, tokens: &[u32]) -> Error {
    let mut look = Look { hooks: hooks(model.config.layers), first: None };
    match model.forward_last(&mut model.cache_for(tokens.len()), tokens, &mut look) {
        Ok(_) => error(tokens, place(look.first)),
        Err(_) => error(tokens, unknown()),
    }
}

fn error(tokens: &[u32], first: String) -> Error {
    Error::NotFinite { tokens: tokens.len(), first, remedies: Vec::new() }
}

/// The words for the first value at fault; if there is none before the head, for the head.
fn place(first: Option<Hook>) -> String {
    match first.map(|hook| (hook, hook.layer())) {
        Some((hook, Some(layer))) => format!("those of layer {layer} ({hook})"),
        Some((hook, None)) => format!("those of {hook}"),
        None => "those of the head, after the last layer".to_owned(),
    }
}

fn unknown() -> String {
    "those of an unknown layer".to_owned()
}

struct Look {
    hooks: Vec<Hook>,
    first: Option<Hook>,
}

impl Observer for Look {
    fn wants(&self, hook: Hook) -> bool {
        self.hooks.contains(&hook)
    }

    fn see(&mut self, hook: Hook, _: &[usize], values: &mut [f64]) {
        if self.first.is_none() && values.iter().any(|value| !value.is_finite()) {
            self.first = Some(hook);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::block_on;
    use crate::checkpoint::Checkpoint;
    use crate::config::{Rope, RopeScaling};
    use crate::generate::runner::Runner;
    use crate::generate::score::score;
    use crate::ops::UNDRAWN;
    use crate::sampling::Sampling;

    /// A model on the reference whose second layer turns its keys by NaN.
    fn broken() -> Runner {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models/llama");
        let checkpoint = Checkpoint::open(&path).unwrap();
        let mut model = Box::new(Model::load(&checkpoint, &mut |_, _| {}).unwrap());
        let rotated = model.config.head_width;
        let rope = Rope { base: f64::NAN, rotated, scaling: RopeScaling::None };
        model.config.kinds[1].rope = Some(rope);
        let context = model.config.context;
        let cache = model.cache_for(context);
        Runner::Cpu { model, context, cache, edits: Vec::new(), keep: Vec::new() }
    }

    #[test]
    fn the_reference_names_the_first_layer_at_fault() {
        let mut runner = broken();
        let expected = "the logits after 3 tokens are infinite or NaN, so there is no next one; the \
                        first values at fault are those of layer 1 (blocks.1.hook_resid_post)";
        let tokens = [1, 2, 3];
        assert_eq!(block_on(runner.not_finite(&tokens)).to_string(), expected);
        let mut decoding = runner.decode(&[&tokens], 0, 0, &Sampling::default(), Some(2)).unwrap();
        let step = block_on(decoding.next(5)).unwrap().unwrap();
        assert_eq!((step.ids, step.top), (vec![UNDRAWN], None));
        assert_eq!(block_on(decoding.not_finite(&tokens)).to_string(), expected);
        let error = block_on(score(&mut runner, &tokens, None)).unwrap_err().to_string();
        assert_eq!(error, expected.replace("3 tokens", "1 tokens"));
    }

    #[test]
    fn the_first_place_is_named_in_words() {
        assert_eq!(place(Some(Hook::Embed)), "those of hook_embed");
        assert_eq!(place(None), "those of the head, after the last layer");
    }
}
