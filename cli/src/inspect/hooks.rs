//! `pellucid inspect hooks`: the named values of a model.

use clap::Args;
use pellucid::Result;
use pellucid::config::{Config, Mlp};
use pellucid::hook::Point;
use pellucid::inspect::hooks_json;
use pellucid::model::{offered, shape};

use crate::options::ModelOptions;

use super::emit::{Found, OutputOptions};

/// List the named values of a model.
///
/// Without --json, a diagram of a layer shows the place of each name.
#[derive(Debug, Args)]
pub(crate) struct Hooks {
    /// Number of tokens, for the shapes and sizes
    #[arg(long, value_name = "T", default_value_t = 1)]
    length: usize,
    #[command(flatten)]
    out: OutputOptions,
    #[command(flatten)]
    model: ModelOptions,
}

impl Hooks {
    pub(crate) fn run(&self) -> Result<()> {
        self.out.file()?;
        let checkpoint = self.model.checkpoint()?;
        let config = checkpoint.config();
        let length = self.length;
        let table = format!("{}\n{}", diagram(config), list(config, length));
        self.out.emit(&Found { object: hooks_json(config, length), arrays: Vec::new(), table })
    }
}

/// The names of a model: those outside the layers, and those of one layer with `N` in its place.
fn list(config: &Config, length: usize) -> String {
    let mut text = format!("{:<34} {:<22} meaning\n", "name", "shape");
    for point in Point::all().filter(|point| has(config, *point)) {
        let hook = point.at(0);
        let name =
            if point.in_layer() { format!("blocks.N.{}", point.name()) } else { hook.to_string() };
        let sizes = shape(config, hook, length, length);
        let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
        let shape = format!("({})", sizes.join(", "));
        text.push_str(&format!("{name:<34} {shape:<22} {}\n", point.about()));
    }
    let layers = config.layers;
    text.push_str(&format!("N is a layer, from 0 to {}\n", layers - 1));
    text
}

fn has(config: &Config, point: Point) -> bool {
    offered(config, point.at(0)).is_ok()
}

/// The model as it computes, from top to bottom, with the names at their places.
fn diagram(config: &Config) -> String {
    let own = |point: Point| has(config, point);
    let names = |points: &[Point]| {
        let names: Vec<&str> =
            points.iter().filter(|point| own(**point)).map(|p| p.name()).collect();
        names.join(", ")
    };
    let mut text = String::new();
    let mut line = |what: &str, points: &[Point]| {
        text.push_str(format!("{what:<32} {}", names(points)).trim_end());
        text.push('\n');
    };
    use Point::*;
    line("tokens", &[]);
    line("│ look up", &[Embed, PosEmbed]);
    line(&format!("┌─ layer N = 0 to {} ", config.layers - 1), &[]);
    line("│ stream x", &[ResidPre]);
    line("├──┐ attention reads", &[AttnIn, QInput, KInput, VInput]);
    line("│  │ norm", &[Ln1Scale, Ln1Normalized]);
    line("│  │ queries, keys, values", &[Q, K, V]);
    if own(QNormed) {
        line("│  │ their norms", &[QNormed, KNormed]);
    }
    if own(RotQ) {
        line("│  │ rotation", &[RotQ, RotK]);
    }
    line("│  │ scores, pattern", &[AttnScores, Pattern]);
    line("│  │ pattern × values", &[Z]);
    line("│  │ output, each head's", &[Result]);
    if own(AttnBeforeNorm) {
        line("│  │ norm after attention", &[AttnBeforeNorm, Ln1PostScale, Ln1PostNormalized]);
    }
    line("├◀─┘ added to the stream", &[AttnOut]);
    if config.mlp != Mlp::None {
        if own(ResidMid) {
            line("│ stream x", &[ResidMid]);
        }
        let same = "├──┐ MLP reads what attention read";
        let reads = if config.parallel { same } else { "├──┐ MLP reads" };
        line(reads, &[MlpIn]);
        line("│  │ norm", &[Ln2Scale, Ln2Normalized]);
        line("│  │ into the hidden width", &[MlpPre, MlpPreLinear]);
        line("│  │ activation", &[MlpPost]);
        if own(MlpBeforeNorm) {
            line("│  │ norm after the MLP", &[MlpBeforeNorm, Ln2PostScale, Ln2PostNormalized]);
        }
        line("├◀─┘ added to the stream", &[MlpOut]);
    }
    line("│ stream x", &[ResidPost]);
    line("└─ next layer", &[]);
    line("│ final norm", &[LnFinalScale, LnFinalNormalized]);
    line("logits", &[]);
    text
}
