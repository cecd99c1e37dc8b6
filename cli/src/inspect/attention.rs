//! `pellucid inspect attention`: where heads look.

use clap::Args;
use pellucid::Result;
use pellucid::inspect::{AttentionOptions, attention};

use super::emit::{Array, Found};
use super::subject::{Opened, Subject, fitted, shown};

/// Read attention patterns: how much each token attends to each earlier one.
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
        let options = AttentionOptions { layer: self.layer, head: self.head };
        let found = attention(&mut llm, &tokens, &edits, options).await?;
        let names: Vec<String> = tokens.iter().map(|id| shown(&llm, *id)).collect();
        let mut table = String::new();
        for (layer, head, pattern) in found.each() {
            table.push_str(&format!("L{layer}H{head}\n"));
            for (query, row) in pattern.chunks(tokens.len()).enumerate() {
                const SHADES: [char; 5] = ['·', '░', '▒', '▓', '█'];
                let shade = |weight: &f32| SHADES[((weight * 4.0).round() as usize).min(4)];
                let cells: String = row[..=query].iter().map(shade).collect();
                table.push_str(&format!("  {} {cells}\n", fitted(&names[query], 14)));
            }
        }
        let (object, shape) = (found.json(&tokens), found.shape().to_vec());
        let arrays = vec![Array { name: "pattern".into(), shape, values: found.values }];
        self.subject.out.emit(&Found { object, arrays, table })
    }
}
