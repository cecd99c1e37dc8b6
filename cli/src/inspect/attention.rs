//! `pellucid inspect attention`: where heads look.

use clap::Args;
use pellucid::hook::Hook;
use pellucid::inspect::nested;
use pellucid::model::actions;
use pellucid::{Error, Result};
use serde_json::json;

use super::emit::{Array, Found};
use super::subject::{Opened, Subject, fitted, shown};

/// Read attention patterns: how much each token looks at each earlier one.
#[derive(Debug, Args)]
pub(crate) struct Attention {
    /// Only this layer
    #[arg(long, value_name = "L")]
    layer: Option<usize>,
    /// Only this head
    #[arg(long, value_name = "H")]
    head: Option<usize>,
    #[command(flatten)]
    subject: Subject,
}

impl Attention {
    pub(crate) async fn run(&self) -> Result<()> {
        let Opened { mut llm, tokens, edits } = self.subject.open().await?;
        let (layers, heads) = (llm.config().layers, llm.config().heads);
        let chosen = |what: &str, number: Option<usize>, count: usize| match number {
            Some(number) if number >= count => Err(Error::Input(format!(
                "--{what} {number} is not in the model, which has {count}, counted from 0"
            ))),
            Some(number) => Ok(number..number + 1),
            None => Ok(0..count),
        };
        let layers = chosen("layer", self.layer, layers)?;
        let chosen_heads = chosen("head", self.head, heads)?;
        let actions = actions(&edits, layers.clone().map(Hook::Pattern));
        let seen = llm.observe(&tokens, &actions, &[]).await?.activations;
        let t = tokens.len();
        let mut values = Vec::new();
        for activation in &seen {
            let own = activation.values.chunks(t * t).skip(chosen_heads.start);
            values.extend(own.take(chosen_heads.len()).flatten());
        }
        let shape = [layers.len(), chosen_heads.len(), t, t];
        let names: Vec<String> = tokens.iter().map(|id| shown(&llm, *id)).collect();
        let mut table = String::new();
        for (number, pattern) in values.chunks(t * t).enumerate() {
            let layer = layers.start + number / chosen_heads.len();
            let head = chosen_heads.start + number % chosen_heads.len();
            table.push_str(&format!("L{layer}H{head}\n"));
            for (query, row) in pattern.chunks(t).enumerate() {
                const SHADES: [char; 5] = ['·', '░', '▒', '▓', '█'];
                let shade = |weight: &f32| SHADES[((weight * 4.0).round() as usize).min(4)];
                let cells: String = row[..=query].iter().map(shade).collect();
                table.push_str(&format!("  {} {cells}\n", fitted(&names[query], 14)));
            }
        }
        let object = json!({ "tokens": tokens, "pattern": nested(&shape, &values) });
        let arrays = vec![Array { name: "pattern".into(), shape: shape.to_vec(), values }];
        self.subject.out.emit(&Found { object, arrays, table })
    }
}
