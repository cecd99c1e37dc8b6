//! `pellucid inspect patch`: values of one text put into another, piece by piece.

use clap::{Args, ValueEnum};
use pellucid::generate::Llm;
use pellucid::hook::Point;
use pellucid::inspect::{Metric, PatchOptions, Pieces, patch};
use pellucid::{Error, Result};

use crate::edits::EditOptions;
use crate::input::TokenList;
use crate::options::{self, ModelOptions};
use crate::output;

use super::emit::{Array, Found, OutputOptions, grid};
use super::subject::{fitted, shown, token};

/// Activation patching: copy values from a clean run into a corrupted run, one piece at a time.
///
/// The effect is measured by the logit of --answer minus that of --versus after the text.
#[derive(Debug, Args)]
pub(crate) struct Patch {
    /// Clean text
    #[arg(long, value_name = "TEXT", required_unless_present = "clean_tokens")]
    clean: Option<String>,
    /// Clean text as token ids
    #[arg(long, value_name = "ID,ID,...", conflicts_with = "clean")]
    clean_tokens: Option<TokenList>,
    /// Corrupted text, of as many tokens as the clean one
    #[arg(long, value_name = "TEXT", required_unless_present = "corrupted_tokens")]
    corrupted: Option<String>,
    /// Corrupted text as token ids
    #[arg(long, value_name = "ID,ID,...", conflicts_with = "corrupted")]
    corrupted_tokens: Option<TokenList>,
    /// Value to patch
    #[arg(long, value_name = "NAME")]
    what: What,
    /// Pieces to patch one at a time
    #[arg(long, value_name = "PIECES", default_value = "position")]
    by: By,
    /// Token whose logit counts: its id or its text
    #[arg(long, value_name = "TOKEN")]
    answer: String,
    /// Token whose logit is subtracted: its id or its text
    #[arg(long, value_name = "TOKEN")]
    versus: String,
    #[command(flatten)]
    edits: EditOptions,
    #[command(flatten)]
    out: OutputOptions,
    #[command(flatten)]
    model: ModelOptions,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum What {
    ResidPre,
    ResidMid,
    AttnOut,
    MlpOut,
    Z,
    Q,
    K,
    V,
    Pattern,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    Position,
    Head,
    HeadPosition,
}

impl What {
    fn point(self) -> Point {
        match self {
            Self::ResidPre => Point::ResidPre,
            Self::ResidMid => Point::ResidMid,
            Self::AttnOut => Point::AttnOut,
            Self::MlpOut => Point::MlpOut,
            Self::Z => Point::Z,
            Self::Q => Point::Q,
            Self::K => Point::K,
            Self::V => Point::V,
            Self::Pattern => Point::Pattern,
        }
    }
}

impl Patch {
    pub(crate) async fn run(&self) -> Result<()> {
        self.out.file()?;
        let ids = |list: &Option<TokenList>| list.as_ref().map(TokenList::ids).transpose();
        let (clean, corrupted) = (ids(&self.clean_tokens)?, ids(&self.corrupted_tokens)?);
        let mut typed = [&self.clean, &self.corrupted].into_iter().flatten();
        let encode = pellucid::tokenizer::Encode::default();
        typed.try_for_each(|text| self.model.check_prompt(text, encode))?;
        let (mut llm, _) = self.model.load_for(clean.is_some() && corrupted.is_some()).await?;
        let clean = tokens(&llm, clean, &self.clean)?;
        let corrupted = tokens(&llm, corrupted, &self.corrupted)?;
        let metric = Metric::LogitDifference {
            answer: token(&llm, "--answer", &self.answer)?,
            versus: token(&llm, "--versus", &self.versus)?,
        };
        let by = match self.by {
            By::Position => Pieces::Positions,
            By::Head => Pieces::Heads,
            By::HeadPosition => Pieces::HeadsAndPositions,
        };
        let edits = self.edits.resolve(llm.config(), clean.len())?;
        let bar = output::progress_bar("patching {bar:30} {pos} of {len}, {eta} left");
        let progress = output::counted(&bar);
        let options = PatchOptions { point: self.what.point(), by };
        let texts = [&clean[..], &corrupted[..]];
        let found = patch(&mut llm, texts, &edits, options, metric, progress).await;
        bar.finish_and_clear();
        let found = found?;
        let normalized = found.normalized();
        let object = found.json(&clean, &corrupted);
        let narrow = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x as f32).collect();
        let shape = found.shape.clone();
        let whole = normalized.iter().map(|value| value.unwrap_or(f64::NAN));
        let arrays = vec![
            Array {
                name: "value".into(),
                shape: shape.clone(),
                values: narrow(&mut found.values.iter().copied()),
            },
            Array { name: "normalized".into(), shape, values: narrow(&mut whole.clone()) },
        ];
        let columns = found.values.len() / found.shape[0];
        let whole: Vec<f64> = whole.collect();
        let rows: Vec<Vec<f64>> = whole.chunks(columns).map(<[f64]>::to_vec).collect();
        let title = format!(
            "clean {:.4}, corrupted {:.4}; share that each piece of {} restores, by {}",
            found.clean,
            found.corrupted,
            self.what.point().name(),
            found.axes[1..].join(" and ")
        );
        let mut table = String::new();
        if matches!(by, Pieces::Positions) {
            let names = corrupted.iter().enumerate();
            let names = names.map(|(at, id)| format!("{at:>5} {}", fitted(&shown(&llm, *id), 12)));
            table.push_str(&names.collect::<Vec<_>>().join("\n"));
            table.push('\n');
        }
        table.push_str(&grid(&title, &rows));
        self.out.emit(&Found { object, arrays, table })
    }
}

fn tokens(llm: &Llm, ids: Option<Vec<u32>>, text: &Option<String>) -> Result<Vec<u32>> {
    match (ids, text) {
        (Some(ids), _) => Ok(ids),
        (None, Some(text)) => options::encode(llm, text, pellucid::tokenizer::Encode::default()),
        (None, None) => Err(Error::Input("give a clean and a corrupted text".to_owned())),
    }
}
