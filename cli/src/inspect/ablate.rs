//! `pellucid inspect ablate`: the model without each of its parts.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pellucid::inspect::{Instead, Metric, Parts, ablate};
use pellucid::{Error, Result};

use crate::output;

use super::emit::{Array, Found, grid};
use super::subject::{Opened, Subject, encode_all, text_lines, token};

/// Ablate each part in turn and measure the effect.
#[derive(Debug, Args)]
pub(crate) struct Ablate {
    /// Parts to ablate
    #[arg(long, value_name = "PART")]
    what: What,
    /// Replace the part's output by zero or by its mean
    #[arg(long, value_name = "HOW", default_value = "zero")]
    how: How,
    /// Take the mean over the lines of this text file instead of over the prompt
    #[arg(long, value_name = "FILE")]
    mean_of: Option<PathBuf>,
    #[command(flatten)]
    metric: MetricOptions,
    #[command(flatten)]
    subject: Subject,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    Head,
    Attn,
    Mlp,
    Layer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum How {
    Zero,
    Mean,
}

/// What is measured.
#[derive(Debug, Args)]
pub(crate) struct MetricOptions {
    /// Loss of the text, or the logit of --answer minus that of --versus after it
    #[arg(long, value_name = "METRIC", default_value = "loss")]
    metric: Kind,
    /// Token whose logit counts: its id or its text
    #[arg(long, value_name = "TOKEN")]
    answer: Option<String>,
    /// Token whose logit is subtracted: its id or its text
    #[arg(long, value_name = "TOKEN")]
    versus: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    #[value(name = "loss")]
    Loss,
    #[value(name = "logit_diff")]
    LogitDifference,
}

impl MetricOptions {
    /// The two tokens of a difference of logits, as they were typed; none for the loss. Needs no
    /// model, so that a wrong combination is refused before one is loaded.
    fn compared(&self) -> Result<Option<[&str; 2]>> {
        match (self.metric, &self.answer, &self.versus) {
            (Kind::Loss, None, None) => Ok(None),
            (Kind::Loss, ..) => {
                Err(Error::Input("--answer and --versus require --metric logit_diff".to_owned()))
            }
            (Kind::LogitDifference, Some(answer), Some(versus)) => Ok(Some([answer, versus])),
            (Kind::LogitDifference, ..) => {
                Err(Error::Input("--metric logit_diff needs --answer and --versus".to_owned()))
            }
        }
    }
}

impl Ablate {
    pub(crate) async fn run(&self) -> Result<()> {
        if self.mean_of.is_some() && self.how != How::Mean {
            return Err(Error::Input("--mean-of requires --how mean".to_owned()));
        }
        let compared = self.metric.compared()?;
        let mean_of = self.mean_of.as_deref().map_or(Ok(Vec::new()), text_lines)?;
        let Opened { mut llm, tokens, edits } = self.subject.open().await?;
        let metric = match compared {
            None => Metric::Loss,
            Some([answer, versus]) => Metric::LogitDifference {
                answer: token(&llm, "--answer", answer)?,
                versus: token(&llm, "--versus", versus)?,
            },
        };
        let texts = encode_all(&llm, &mean_of)?;
        let instead = if self.how == How::Mean { Instead::Mean(&texts) } else { Instead::Zero };
        let parts = match self.what {
            What::Head => Parts::Heads,
            What::Attn => Parts::Attention,
            What::Mlp => Parts::Mlps,
            What::Layer => Parts::Layers,
        };
        let bar = output::progress_bar("ablating {bar:30} {pos} of {len}, {eta} left");
        let progress = output::counted(&bar);
        let found = ablate(&mut llm, &tokens, &edits, (parts, instead), metric, progress).await;
        bar.finish_and_clear();
        let found = found?;
        let all: Vec<f64> = found.values.concat();
        let shape = found.shape(parts);
        let object = found.json(&tokens, parts);
        let values = all.iter().map(|value| *value as f32).collect();
        let arrays = vec![
            Array { name: "baseline".into(), shape: vec![1], values: vec![found.baseline as f32] },
            Array { name: "value".into(), shape, values },
        ];
        let change: Vec<Vec<f64>> = found
            .values
            .iter()
            .map(|row| row.iter().map(|x| x - found.baseline).collect())
            .collect();
        let title = format!("baseline {:.4}; change without each part", found.baseline);
        let table = grid(&title, &change);
        self.subject.out.emit(&Found { object, arrays, table })
    }
}
