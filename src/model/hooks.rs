//! Which named values a model has, and their shapes.

use crate::config::{Config, Mlp, Position};
use crate::error::{Error, Result};
use crate::hook::{Hook, Need, Size};

/// The values that a model of this kind has, in the order of the forward pass.
pub fn hooks(config: &Config) -> Vec<Hook> {
    let all = Hook::all(config.layers).into_iter();
    all.filter(|hook| offered(config, *hook).is_ok()).collect()
}

/// Whether a model of this kind has a value.
///
/// # Errors
/// [`Error::Input`], naming the hook and saying why there is no such value.
pub fn offered(config: &Config, hook: Hook) -> Result<()> {
    let refuse = |why: &str| Err(Error::Input(format!("this model has no {hook}: {why}")));
    if hook.layer().is_some_and(|layer| layer >= config.layers) {
        return refuse(&format!("it has {} layers, counted from 0", config.layers));
    }
    let lacking = hook.point().needs().iter().find_map(|need| lacking(config, *need));
    lacking.map_or(Ok(()), refuse)
}

/// Why a model of this kind lacks what a value needs, or `None`.
fn lacking(config: &Config, need: Need) -> Option<&'static str> {
    let rotary = matches!(config.position, Position::Rope(_));
    let (has, why) = match need {
        Need::LearnedPositions => {
            (!rotary, "it rotates queries and keys instead of adding positions")
        }
        Need::Rotation => {
            (rotary, "it adds learned positions instead of rotating queries and keys")
        }
        Need::Mlp => (config.mlp != Mlp::None, "its layers have attention only"),
        Need::Gate => (config.mlp.gated(), "its MLP has no gate, and so no factor next to it"),
        Need::Serial => (
            !config.parallel,
            "attention and MLP read the same stream in parallel, so there is none between them",
        ),
        Need::HeadNorms => (config.qk_norm, "its queries and keys have no norm of their own"),
        Need::NormAfterAttention => {
            (config.post_norms, "the output of attention is added without a norm")
        }
        Need::NormAfterMlp => (config.post_norms, "the output of the MLP is added without a norm"),
    };
    (!has).then_some(why)
}

/// The shape of a value over some rows, the furthest of which sees `keys` keys.
pub fn shape(config: &Config, hook: Hook, rows: usize, keys: usize) -> Vec<usize> {
    let size = |size: &Size| match size {
        Size::One => 1,
        Size::T => rows,
        Size::C => config.width,
        Size::H => config.heads,
        Size::K => config.kv_heads,
        Size::D => config.head_width,
        Size::F => config.mlp.hidden(),
        Size::S => keys,
    };
    hook.point().shape().iter().map(size).collect()
}

/// The bytes of these values over `rows` rows, the furthest of which sees `keys` keys.
pub fn bytes_of(config: &Config, hooks: &[Hook], rows: usize, keys: usize) -> u64 {
    let each = hooks.iter().map(|hook| shape(config, *hook, rows, keys));
    each.map(|shape| 4 * shape.iter().map(|size| *size as u64).product::<u64>()).sum()
}

/// Whether the heads are the first axis of a value, before the rows: scores and patterns.
pub fn heads_first(hook: Hook) -> bool {
    matches!(hook.point().shape(), [Size::H, ..])
}

/// The values of a model that a name means, in any of its [spellings](Hook::spelled), in the order of
/// the forward pass.
///
/// # Errors
/// [`Error::Input`] for a name that means none of them: with the reason why this model lacks the value,
/// or with the nearest names.
pub fn named(config: &Config, text: &str) -> Result<Vec<Hook>> {
    let spelled = Hook::spelled(text, config.layers);
    let (first, glob) = (spelled.first().copied(), text.contains(['*', '?']));
    let mut found: Vec<Hook> =
        spelled.into_iter().filter(|hook| offered(config, *hook).is_ok()).collect();
    if !glob && found.len() > 1 {
        // Of values that share a spelling the one is meant that fewer models have.
        found.sort_by_key(|hook| std::cmp::Reverse(hook.point().needs().len()));
        found.truncate(1);
    }
    if !found.is_empty() {
        return Ok(found);
    }
    if let Some(first) = first {
        offered(config, first)?;
    }
    let nearest = Hook::nearest(text, &hooks(config)).join(", ");
    Err(Error::Input(format!("no hook is named {text}; the nearest are {nearest}")))
}
