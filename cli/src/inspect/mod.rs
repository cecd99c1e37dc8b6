//! `pellucid inspect`: what a model computes, value by value.

mod ablate;
mod attention;
mod attribute;
mod emit;
mod heads;
mod hooks;
mod lens;
mod patch;
mod subject;
mod values;

pub(crate) use subject::{encode_all, text_lines};

use clap::Subcommand;
use pellucid::Result;

/// Look inside a model: its named values, and what they do
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    #[command(subcommand)]
    analysis: Analysis,
}

#[derive(Debug, Subcommand)]
enum Analysis {
    Hooks(hooks::Hooks),
    Values(values::Values),
    Lens(lens::Lens),
    Attribute(attribute::Attribute),
    Attention(attention::Attention),
    Heads(heads::Heads),
    Ablate(ablate::Ablate),
    Patch(patch::Patch),
}

impl Inspect {
    pub(crate) async fn run(&self) -> Result<()> {
        match &self.analysis {
            Analysis::Hooks(command) => command.run(),
            Analysis::Values(command) => command.run().await,
            Analysis::Lens(command) => command.run().await,
            Analysis::Attribute(command) => command.run().await,
            Analysis::Attention(command) => command.run().await,
            Analysis::Heads(command) => command.run().await,
            Analysis::Ablate(command) => command.run().await,
            Analysis::Patch(command) => command.run().await,
        }
    }
}
