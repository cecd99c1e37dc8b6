//! `pellucid inspect heads`: what heads attend to, in numbers.

use clap::Args;
use pellucid::Result;
use pellucid::inspect::{HeadOptions, heads};

use crate::edits::EditOptions;
use crate::options::ModelOptions;

use super::emit::{Array, Found, OutputOptions, grid};

/// Measure what each head attends to, on a random sequence that repeats.
///
/// Each number is the mean attention to the token before (previous), to the same token in the first copy
/// (duplicate), to the one after that (induction), to itself (current) and to the first token.
#[derive(Debug, Args)]
pub(crate) struct Heads {
    /// Length of the random sequence before it repeats
    #[arg(long, value_name = "N", default_value_t = 50)]
    period: usize,
    /// Seed of the random tokens
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    edits: EditOptions,
    #[command(flatten)]
    out: OutputOptions,
    #[command(flatten)]
    model: ModelOptions,
}

impl Heads {
    pub(crate) async fn run(&self) -> Result<()> {
        self.out.file()?;
        let (mut llm, _) = self.model.load().await?;
        let options = HeadOptions { period: self.period, seed: self.seed };
        let edits = self.edits.resolve(llm.config(), 2 * self.period)?;
        let found = heads(&mut llm, &edits, options).await?;
        let shape = [llm.config().layers, llm.config().heads];
        let object = found.json();
        let (mut arrays, mut table) = (Vec::new(), String::new());
        for (name, rows) in found.measures() {
            let all: Vec<f64> = rows.concat();
            let values = all.iter().map(|one| *one as f32).collect();
            arrays.push(Array { name: name.into(), shape: shape.to_vec(), values });
            table.push_str(&grid(name, rows));
        }
        self.out.emit(&Found { object, arrays, table })
    }
}
