//! Parts of a model that can be taken out: layers, attention, MLPs, heads, neurons.

use std::fmt;
use std::str::FromStr;

use crate::config::{Config, Mlp};
use crate::error::{Error, Result};
use crate::hook::Hook;
use crate::model::{Change, Edit};

/// A part of a model: `L5`, `L5.attn`, `L5.mlp`, `L5H1` or `L5N123`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unit {
    /// Attention and MLP of a layer.
    Layer(usize),
    /// The attention of a layer.
    Attention(usize),
    /// The MLP of a layer.
    Mlp(usize),
    /// A query head: layer and head.
    Head(usize, usize),
    /// A neuron of the MLP: layer and column of `mlp.hook_post`.
    Neuron(usize, usize),
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layer(layer) => write!(f, "L{layer}"),
            Self::Attention(layer) => write!(f, "L{layer}.attn"),
            Self::Mlp(layer) => write!(f, "L{layer}.mlp"),
            Self::Head(layer, head) => write!(f, "L{layer}H{head}"),
            Self::Neuron(layer, neuron) => write!(f, "L{layer}N{neuron}"),
        }
    }
}

impl FromStr for Unit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unit = || {
            let rest = text.strip_prefix('L')?;
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (layer, rest) = rest.split_at(end);
            let layer = layer.parse().ok()?;
            Some(match rest {
                "" => Self::Layer(layer),
                ".attn" => Self::Attention(layer),
                ".mlp" => Self::Mlp(layer),
                _ => match rest.split_at_checked(1)? {
                    ("H", head) => Self::Head(layer, digits(head)?),
                    ("N", neuron) => Self::Neuron(layer, digits(neuron)?),
                    _ => return None,
                },
            })
        };
        unit().ok_or_else(|| {
            Error::Input(format!(
                "`{text}` names no part of a model; those are L5, L5.attn, L5.mlp, L5H1 and L5N123"
            ))
        })
    }
}

/// A number of digits alone.
fn digits(text: &str) -> Option<usize> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

impl Unit {
    /// The edits under which it contributes nothing to the residual stream.
    ///
    /// # Errors
    /// [`Error::Input`] for a part that a model of this kind does not have.
    pub fn ablation(self, config: &Config) -> Result<Vec<(Hook, Edit)>> {
        self.check(config)?;
        let all = |hook| (hook, Edit::all(Change::Zero));
        Ok(match self {
            Self::Layer(layer) if config.mlp == Mlp::None => vec![all(Hook::AttnOut(layer))],
            Self::Layer(layer) => vec![all(Hook::AttnOut(layer)), all(Hook::MlpOut(layer))],
            Self::Attention(layer) => vec![all(Hook::AttnOut(layer))],
            Self::Mlp(layer) => vec![all(Hook::MlpOut(layer))],
            Self::Head(layer, head) => {
                let edit = Edit { heads: Some(head..head + 1), ..Edit::all(Change::Zero) };
                vec![(Hook::Z(layer), edit)]
            }
            Self::Neuron(layer, neuron) => {
                let edit = Edit { columns: Some(neuron..neuron + 1), ..Edit::all(Change::Zero) };
                vec![(Hook::MlpPost(layer), edit)]
            }
        })
    }

    fn check(self, config: &Config) -> Result<()> {
        let (layer, part) = match self {
            Self::Layer(layer) | Self::Attention(layer) => (layer, None),
            Self::Mlp(layer) => (layer, Some((0, "MLP", config.mlp.hidden().min(1)))),
            Self::Head(layer, head) => (layer, Some((head, "heads", config.heads))),
            Self::Neuron(layer, neuron) => (layer, Some((neuron, "neurons", config.mlp.hidden()))),
        };
        if layer >= config.layers {
            return Err(Error::Input(format!(
                "this model has no {self}: it has {} layers, counted from 0",
                config.layers
            )));
        }
        match part {
            Some((_, what, 0)) => Err(Error::Input(format!("this model has no {self}: no {what}"))),
            Some((number, what, count)) if number >= count => Err(Error::Input(format!(
                "this model has no {self}: its layers have {count} {what}, counted from 0"
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_as_they_are_written() {
        for text in ["L5", "L5.attn", "L5.mlp", "L5H1", "L0N123"] {
            assert_eq!(text.parse::<Unit>().unwrap().to_string(), text);
        }
        for wrong in ["", "L", "5", "L5.", "L5H", "L5H+1", "L5H1 ", "L5X1", "L-1", "L5é"] {
            assert!(wrong.parse::<Unit>().is_err(), "{wrong}");
        }
    }
}
