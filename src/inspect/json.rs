//! What analyses found, as JSON: the same fields in the command line and in a browser.
//!
//! Numbers that are not finite become null.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::hook::Hook;
use crate::model::{Activation, bytes_of, hooks, shape};

use super::attention::Patterns;
use super::attribute::Attribution;
use super::heads::HeadScores;
use super::lens::{Lens, Reading};
use super::sweep::{Ablation, Parts, Patched};

/// Numbers nested as their shape says.
pub fn nested(shape: &[usize], values: &[impl Copy + Serialize]) -> Value {
    match shape {
        [] | [_] => json!(values),
        [first, rest @ ..] => {
            let each = values.len() / first.max(&1);
            let parts = (0..*first).map(|at| nested(rest, &values[at * each..][..each]));
            Value::Array(parts.collect())
        }
    }
}

/// The named values of a model: `hooks`, with the shapes and sizes over a text of so many tokens.
pub fn hooks_json(config: &Config, length: usize) -> Value {
    let row = |hook: Hook| {
        json!({
            "name": hook.to_string(),
            "aliases": hook.aliases(),
            "shape": shape(config, hook, length, length),
            "bytes": bytes_of(config, &[hook], length, length),
            "meaning": hook.point().about(),
        })
    };
    json!({ "hooks": hooks(config).into_iter().map(row).collect::<Vec<_>>() })
}

/// Named values of a text: `tokens`, and `values` by classic names, each with `shape` and flat `data`.
pub fn values_json(tokens: &[u32], activations: &[Activation]) -> Value {
    let mut values = Map::new();
    for Activation { hook, shape, values: data } in activations {
        values.insert(hook.to_string(), json!({ "shape": shape, "data": data }));
    }
    json!({ "tokens": tokens, "values": values })
}

impl Lens {
    /// `tokens`, `labels`, `top`, `entropy`, `kl` and `rank`.
    pub fn json(&self, tokens: &[u32]) -> Value {
        let all = |of: &dyn Fn(&Reading) -> Value| -> Vec<Vec<Value>> {
            self.readings.iter().map(|row| row.iter().map(of).collect()).collect()
        };
        json!({
            "tokens": tokens,
            "labels": self.labels,
            "top": all(&|reading| json!(reading.top)),
            "entropy": all(&|reading| json!(reading.entropy)),
            "kl": all(&|reading| json!(reading.kl)),
            "rank": all(&|reading| json!(reading.rank)),
        })
    }
}

impl Attribution {
    /// `tokens`, `components`, `heads`, `neurons`, `total` and `logit`.
    pub fn json(&self, tokens: &[u32]) -> Value {
        let component = |(name, value): &(String, f64)| json!({ "name": name, "value": value });
        let neuron = |(layer, neuron, value): &(usize, usize, f64)| json!({ "layer": layer, "neuron": neuron, "value": value });
        json!({
            "tokens": tokens,
            "components": self.components.iter().map(component).collect::<Vec<_>>(),
            "heads": self.heads,
            "neurons": self.neurons.iter().map(neuron).collect::<Vec<_>>(),
            "total": self.total,
            "logit": self.logit,
        })
    }
}

impl Patterns {
    /// `tokens` and `pattern`.
    pub fn json(&self, tokens: &[u32]) -> Value {
        json!({ "tokens": tokens, "pattern": nested(&self.shape(), &self.values) })
    }
}

impl HeadScores {
    /// The measures, each with its name.
    pub fn measures(&self) -> [(&'static str, &Vec<Vec<f64>>); 7] {
        [
            ("previous", &self.previous),
            ("duplicate", &self.duplicate),
            ("induction", &self.induction),
            ("current", &self.current),
            ("first", &self.first),
            ("prefix_matching", &self.prefix_matching),
            ("copying_olsson", &self.copying_olsson),
        ]
    }

    /// `tokens`, and each measure by its name.
    pub fn json(&self) -> Value {
        let mut object = json!({ "tokens": self.tokens });
        for (name, rows) in self.measures() {
            object[name] = json!(rows);
        }
        object
    }
}

impl Ablation {
    /// The sizes of the values: layers, and heads if those are the parts.
    pub fn shape(&self, parts: Parts) -> Vec<usize> {
        let layers = self.values.len();
        match parts {
            Parts::Heads => vec![layers, self.values.first().map_or(0, Vec::len)],
            _ => vec![layers],
        }
    }

    /// `tokens`, `baseline` and `value`.
    pub fn json(&self, tokens: &[u32], parts: Parts) -> Value {
        let value = nested(&self.shape(parts), &self.values.concat());
        json!({ "tokens": tokens, "baseline": self.baseline, "value": value })
    }
}

impl Patched {
    /// `clean_tokens`, `corrupted_tokens`, `axes`, `value`, `clean`, `corrupted` and `normalized`.
    pub fn json(&self, clean: &[u32], corrupted: &[u32]) -> Value {
        json!({
            "clean_tokens": clean,
            "corrupted_tokens": corrupted,
            "axes": self.axes,
            "value": nested(&self.shape, &self.values),
            "clean": self.clean,
            "corrupted": self.corrupted,
            "normalized": nested(&self.shape, &self.normalized()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_nested_as_their_shape_says() {
        let values = [1.0, 2.0, f64::INFINITY, 4.0];
        assert_eq!(nested(&[2, 2], &values).to_string(), "[[1.0,2.0],[null,4.0]]");
        assert_eq!(nested(&[2, 0], &[0.0; 0]).to_string(), "[[],[]]");
    }
}
