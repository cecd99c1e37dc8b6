//! `pellucid inspect lens`: what the model would say after each part of it.

use clap::Args;
use pellucid::Result;
use pellucid::inspect::{LensOptions, Reading, lens};

use super::emit::{Array, Found};
use super::subject::{Opened, Positions, Subject, fitted, shown, token};

/// Apply the logit lens: what the model would predict after each of its parts.
///
/// The residual stream after each part goes through the final norm and the head.
#[derive(Debug, Args)]
pub(crate) struct Lens {
    /// Report the K most probable tokens at each place
    #[arg(long, value_name = "K", default_value_t = 5)]
    top: usize,
    /// Report the rank of this token: its id or its text
    #[arg(long, value_name = "TOKEN")]
    target: Option<String>,
    /// Report these positions only: a:b, where negative numbers count from the end
    #[arg(long, value_name = "A:B", allow_hyphen_values = true)]
    positions: Option<Positions>,
    #[command(flatten)]
    subject: Subject,
}

impl Lens {
    pub(crate) async fn run(&self) -> Result<()> {
        let Opened { mut llm, tokens, edits } = self.subject.open().await?;
        let target = self.target.as_ref().map(|text| token(&llm, "--target", text)).transpose()?;
        let positions = self.positions.map(|positions| positions.of(tokens.len()));
        let options = LensOptions { top: self.top.min(llm.config().vocab), target, positions };
        let found = lens(&mut llm, &tokens, &edits, &options).await?;
        let object = found.json(&tokens);
        let shape = vec![found.labels.len(), found.readings[0].len()];
        let numbers = |of: &dyn Fn(&Reading) -> f64| -> Vec<f32> {
            found.readings.iter().flatten().map(|reading| of(reading) as f32).collect()
        };
        let array =
            |name: &'static str, values| Array { name: name.into(), shape: shape.clone(), values };
        let mut arrays = vec![
            array("entropy", numbers(&|reading| reading.entropy)),
            array("kl", numbers(&|reading| reading.kl)),
        ];
        if target.is_some() {
            arrays.push(array("rank", numbers(&|reading| reading.rank.unwrap_or(0) as f64)));
        }
        let mut table = String::new();
        for at in 0..found.readings[0].len() {
            let position = found.first + at;
            table.push_str(&format!(
                "after {} (position {position})\n",
                shown(&llm, tokens[position])
            ));
            for (label, row) in found.labels.iter().zip(&found.readings) {
                let Reading { top, kl, rank, .. } = &row[at];
                let best = top.iter().map(|(id, logprob)| {
                    format!("{} {:>5.3}", fitted(&shown(&llm, *id), 12), logprob.exp())
                });
                let best: Vec<String> = best.collect();
                let rank = rank.map_or_else(String::new, |rank| format!("  rank {rank:>6}"));
                table.push_str(&format!("  {label:>10}  KL {kl:>7.3}{rank}  {}\n", best.join(" ")));
            }
        }
        self.subject.out.emit(&Found { object, arrays, table })
    }
}
