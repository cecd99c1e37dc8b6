//! `pellucid direction`: a steering vector from two sets of texts.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pellucid::Result;
use pellucid::inspect::{Method, directions, write_directions};
use serde_json::{Value, json};

use crate::inspect::{encode_all, text_lines};
use crate::options::ModelOptions;
use crate::output;

/// Make a steering vector from positive and negative example texts.
///
/// For each layer, the direction is computed from the layer's output at the last token of each text.
/// The file is a GGUF control vector, which --steer and llama.cpp read. Every tenth text is held out, to
/// measure how well each direction separates the two sides.
#[derive(Debug, Args)]
pub(crate) struct Direction {
    /// Positive examples, one per line
    #[arg(long, value_name = "FILE")]
    positive: PathBuf,
    /// Negative examples, one per line
    #[arg(long, value_name = "FILE")]
    negative: PathBuf,
    /// Use the difference of the means, or the first principal component of the differences of pairs
    #[arg(long, value_name = "METHOD", default_value = "mean")]
    method: How,
    /// File to write
    #[arg(short = 'o', long = "output", value_name = "FILE.gguf")]
    output: PathBuf,
    /// Print one JSON object instead of a table
    #[arg(long, help_heading = "Output")]
    json: bool,
    #[command(flatten)]
    model: ModelOptions,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum How {
    Mean,
    Pca,
}

impl Direction {
    pub(crate) async fn run(&self) -> Result<()> {
        // Errors that need no model come before it is loaded.
        let (positive, negative) = (text_lines(&self.positive)?, text_lines(&self.negative)?);
        let (mut llm, _) = self.model.load().await?;
        let (positive, negative) = (encode_all(&llm, &positive)?, encode_all(&llm, &negative)?);
        let method = match self.method {
            How::Mean => Method::Mean,
            How::Pca => Method::Pca,
        };
        let bar = output::progress_bar("reading {bar:30} {pos} of {len} texts, {eta} left");
        let progress = output::counted(&bar);
        let found = directions(&mut llm, &positive, &negative, method, progress).await;
        bar.finish_and_clear();
        let found = found?;
        write_directions(&self.output, &llm.config().architecture, &found)?;
        if self.json {
            let layer = |found: &pellucid::inspect::Direction| {
                let pellucid::inspect::Direction { layer, norm, separation, .. } = found;
                json!({ "layer": layer, "norm": norm, "separation": separation })
            };
            let layers: Vec<Value> = found.iter().map(layer).collect();
            return output::json(&json!({ "layers": layers, "file": self.output }));
        }
        let mut table = "layer       norm  separation of held-out texts\n".to_owned();
        for found in &found {
            let separation =
                found.separation.map_or_else(|| "-".to_owned(), |share| format!("{share:.3}"));
            table.push_str(&format!("{:>5} {:>10.4}  {separation}\n", found.layer, found.norm));
        }
        output::piece(&table)?;
        output::note(&format!("wrote {}", self.output.display()));
        Ok(())
    }
}
