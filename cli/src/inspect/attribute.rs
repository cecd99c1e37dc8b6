//! `pellucid inspect attribute`: which parts of the model make a token likely.

use clap::Args;
use pellucid::Result;
use pellucid::inspect::{AttributeOptions, attribute};

use super::emit::{Array, Found, bar, grid};
use super::subject::{Opened, Subject, shown, token};

/// Attribute a token's logit to the parts of the model (direct logit attribution).
///
/// The logit before the soft cap is the sum of what each part writes to the residual stream, through
/// the final norm, whose divisor is held fixed.
#[derive(Debug, Args)]
pub(crate) struct Attribute {
    /// Token whose logit is attributed: its id or its text
    #[arg(long, value_name = "TOKEN")]
    answer: String,
    /// Attribute the difference from this token's logit instead: its id or its text
    #[arg(long, value_name = "TOKEN")]
    versus: Option<String>,
    /// Position whose next-token logit is attributed [default: the last]
    #[arg(long, value_name = "P")]
    position: Option<usize>,
    /// Also report the K neurons that add the most
    #[arg(long, value_name = "K", default_value_t = 0)]
    neurons: usize,
    #[command(flatten)]
    subject: Subject,
}

impl Attribute {
    pub(crate) async fn run(&self) -> Result<()> {
        let Opened { mut llm, tokens, edits } = self.subject.open().await?;
        let answer = token(&llm, "--answer", &self.answer)?;
        let versus = self.versus.as_ref().map(|text| token(&llm, "--versus", text)).transpose()?;
        let (position, neurons) = (self.position, self.neurons);
        let options = AttributeOptions { answer, versus, position, neurons };
        let found = attribute(&mut llm, &tokens, &edits, &options).await?;
        let heads: Vec<f64> = found.heads.concat();
        let shape = [found.heads.len(), llm.config().heads];
        let object = found.json(&tokens);
        let narrow =
            |values: &[f64]| values.iter().map(|value| *value as f32).collect::<Vec<f32>>();
        let values: Vec<f64> = found.components.iter().map(|(_, value)| *value).collect();
        let arrays = vec![
            Array { name: "components".into(), shape: vec![values.len()], values: narrow(&values) },
            Array { name: "heads".into(), shape: shape.to_vec(), values: narrow(&heads) },
        ];
        let most = values.iter().map(|value| value.abs()).reduce(f64::max).unwrap_or(0.0);
        let against =
            versus.map_or_else(String::new, |id| format!(" minus that of {}", shown(&llm, id)));
        let mut table = format!("logit of {}{against}: {:.4}\n", shown(&llm, answer), found.logit);
        for (name, value) in &found.components {
            table.push_str(&format!("  {name:>14} {value:>10.4} {}\n", bar(*value, most, 24)));
        }
        table.push_str(&format!("  {:>14} {:>10.4}\n", "total", found.total));
        table.push_str(&grid("heads", &found.heads));
        for (layer, neuron, value) in &found.neurons {
            table.push_str(&format!("  L{layer}N{neuron:<8} {value:>10.4}\n"));
        }
        self.subject.out.emit(&Found { object, arrays, table })
    }
}
