//! `pellucid inspect values`: named values of a text.

use std::path::PathBuf;

use clap::Args;
use pellucid::config::Config;
use pellucid::generate::{Llm, Request};
use pellucid::hook::Hook;
use pellucid::inspect::{nested, values_json, write_values};
use pellucid::model::{Activation, Observed, actions, bytes_of, heads_first, named};
use pellucid::reference::top_k;
use pellucid::{Error, Result};
use serde_json::{Value, json};

use crate::options::check_top;
use crate::output;

use super::emit::{Array, Found, Kind, bar};
use super::subject::{Opened, Positions, Subject, Text, fitted, shown, text_lines};

/// Read named values of one text or several.
///
/// Names may be TransformerLens's classic ones, those of its version 4, addresses such as
/// `resid_post.5` or `pattern.-1`, or globs such as `blocks.*.hook_z`; see `pellucid inspect hooks`.
#[derive(Debug, Args)]
pub(crate) struct Values {
    /// Value to read; may be repeated
    #[arg(long = "hook", value_name = "NAME", required = true)]
    hooks: Vec<String>,
    /// Read the logits after every token as well
    #[arg(long)]
    logits: bool,
    /// Report only the K most probable tokens instead of all logits
    #[arg(long, value_name = "K", requires = "logits")]
    top: Option<usize>,
    /// Report logits of these positions only: a:b, where negative numbers count from the end
    #[arg(long, value_name = "A:B", allow_hyphen_values = true, requires = "logits")]
    positions: Option<Positions>,
    /// Continue the text by N tokens, each the most probable one, and read their values too
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "logits")]
    max_new_tokens: usize,
    /// A text to read; repeat it to read several texts independently
    #[arg(long = "prompt", value_name = "TEXT", group = "Prompt", help_heading = "Input")]
    prompts: Vec<String>,
    /// Read each line of a text file as a text of its own, or of standard input with -
    #[arg(long, value_name = "FILE", group = "Prompt", help_heading = "Input")]
    lines: Option<PathBuf>,
    #[command(flatten)]
    subject: Subject,
}

/// What was read of one text.
struct Seen {
    tokens: Vec<u32>,
    activations: Vec<Activation>,
    /// What there is of logits, under its name.
    logits: Option<(&'static str, Value)>,
    /// The same as numbers, for a file.
    arrays: Vec<Array>,
    /// Positions with the most probable next tokens, and ln p of each, for the table.
    top: Vec<(usize, Vec<(u32, f32)>)>,
}

impl Values {
    pub(crate) async fn run(&self) -> Result<()> {
        let several = self.texts()?;
        let (mut llm, texts) = match &several {
            Some(texts) => self.subject.open_each(texts).await?,
            None => {
                let Opened { llm, tokens, edits } = self.subject.open().await?;
                (llm, vec![Text { tokens, edits }])
            }
        };
        let config = llm.config().clone();
        check_top("--top", self.top, config.vocab)?;
        let hooks = all_named(&config, &self.hooks)?;
        self.tell_size(&llm, &hooks, &texts);
        let out = &self.subject.out;
        let plain = self.max_new_tokens == 0 && self.top.is_none() && self.positions.is_none();
        if let (Some((path, Kind::Safetensors)), None, true) = (out.file()?, &several, plain) {
            let Text { tokens, edits } = &texts[0];
            write_values(&mut llm, tokens, edits, &hooks, self.logits, path).await?;
            let names: Vec<String> = hooks.iter().map(Hook::to_string).collect();
            let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
            if self.logits {
                names.push("logits");
            }
            return out.written(path, &names);
        }
        let (mut objects, mut arrays, mut table) = (Vec::new(), Vec::new(), String::new());
        for (number, text) in texts.into_iter().enumerate() {
            let seen = self.read(&mut llm, text, &hooks).await?;
            let mut object = values_json(&seen.tokens, &seen.activations);
            if let Some((name, logits)) = seen.logits {
                object[name] = logits;
            }
            objects.push(object);
            let names: Vec<String> = seen.tokens.iter().map(|id| shown(&llm, *id)).collect();
            if several.is_some() {
                table.push_str(&format!("text {number}\n"));
            }
            table.extend(seen.activations.iter().map(|value| self::table(value, &names)));
            table.push_str(&table_of_tokens(&llm, &seen.top, &names));
            let of_hook = |value: Activation| Array {
                name: value.hook.to_string().into(),
                shape: value.shape,
                values: value.values,
            };
            let own = seen.activations.into_iter().map(of_hook).chain(seen.arrays);
            arrays.extend(own.map(|array| match several {
                Some(_) => Array { name: format!("{number}/{}", array.name).into(), ..array },
                None => array,
            }));
        }
        let object = match several {
            Some(_) => json!({ "prompts": objects }),
            None => objects.pop().unwrap_or_default(),
        };
        out.emit(&Found { object, arrays, table })
    }

    /// The texts of `--prompt` and `--lines`, if there are such.
    fn texts(&self) -> Result<Option<Vec<String>>> {
        let Some(file) = &self.lines else {
            return Ok(Some(self.prompts.clone()).filter(|prompts| !prompts.is_empty()));
        };
        text_lines(file).map(Some)
    }

    /// Says how much will be read.
    fn tell_size(&self, llm: &Llm, hooks: &[Hook], texts: &[Text]) {
        let (mut tokens, mut bytes) = (0, 0);
        for text in texts {
            let length = (text.tokens.len() + self.max_new_tokens).min(llm.context());
            tokens += length;
            bytes += bytes_of(llm.config(), hooks, length, length);
            let row = self.top.map_or(4 * llm.config().vocab, |k| 8 * k);
            bytes += (self.logits_of(length).len() * row) as u64;
        }
        output::note(&format!(
            "{} values of {tokens} tokens: {}",
            hooks.len(),
            indicatif::HumanBytes(bytes)
        ));
    }

    /// The positions whose logits are read.
    fn logits_of(&self, tokens: usize) -> Vec<usize> {
        match self.positions {
            _ if !self.logits => Vec::new(),
            Some(positions) => positions.of(tokens).filter(|at| *at < tokens).collect(),
            None => (0..tokens).collect(),
        }
    }

    async fn read(&self, llm: &mut Llm, text: Text, hooks: &[Hook]) -> Result<Seen> {
        let Text { mut tokens, edits } = text;
        if self.max_new_tokens > 0 {
            let (max_new_tokens, keep) = (self.max_new_tokens, hooks.to_vec());
            let request = Request { max_new_tokens, edits, keep, ..Request::default() };
            let going_on = |_| std::ops::ControlFlow::Continue(());
            let (generation, _) = llm.generate(&tokens, &request, going_on).await?;
            tokens.extend(&generation.tokens);
            tokens.pop();
            let (activations, logits) = (generation.kept, None);
            return Ok(Seen { tokens, activations, logits, arrays: Vec::new(), top: Vec::new() });
        }
        let actions = actions(&edits, hooks.iter().copied());
        let of = self.logits_of(tokens.len());
        if self.logits && of.is_empty() {
            return Err(Error::Input(format!(
                "--positions names none of the {} positions of a text",
                tokens.len()
            )));
        }
        if let Some(k) = self.top {
            let Observed { activations, top, .. } =
                llm.observe_top(&tokens, &actions, &of, k).await?;
            let array = |name: &'static str, values: &dyn Fn(&(u32, f32)) -> f32| Array {
                name: name.into(),
                shape: vec![of.len(), k],
                values: top.iter().flatten().map(values).collect(),
            };
            // Every id is a whole number that f32 holds.
            let arrays =
                vec![array("top", &|pair| pair.1), array("top_ids", &|pair| pair.0 as f32)];
            let logits = Some(("top", json!(top)));
            let top = of.into_iter().zip(top).collect();
            return Ok(Seen { tokens, activations, logits, arrays, top });
        }
        let Observed { activations, logits, .. } = llm.observe(&tokens, &actions, &of).await?;
        let vocab = llm.config().vocab;
        let best = of.iter().zip(logits.chunks(vocab)).map(|(at, row)| (*at, most_probable(row)));
        let top = best.collect();
        if !self.logits {
            return Ok(Seen { tokens, activations, logits: None, arrays: Vec::new(), top });
        }
        let shape = vec![of.len(), vocab];
        let object = Some(("logits", nested(&shape, &logits)));
        let arrays = vec![Array { name: "logits".into(), shape, values: logits }];
        Ok(Seen { tokens, activations, logits: object, arrays, top })
    }
}

/// The tokens of a row of logits that the table shows, and ln p of each.
fn most_probable(logits: &[f32]) -> Vec<(u32, f32)> {
    const SHOWN: usize = 5;
    let logits: Vec<f64> = logits.iter().map(|x| f64::from(*x)).collect();
    top_k(&logits, SHOWN).into_iter().map(|(id, logprob)| (id, logprob as f32)).collect()
}

/// The hooks of several names, each once, in the order of the forward pass.
fn all_named(config: &Config, names: &[String]) -> Result<Vec<Hook>> {
    let mut hooks = Vec::new();
    for name in names {
        hooks.extend(named(config, name)?);
    }
    hooks.sort_by_key(|hook| hook.place());
    hooks.dedup();
    Ok(hooks)
}

/// For each position the most probable next tokens, with their probabilities.
fn table_of_tokens(llm: &Llm, top: &[(usize, Vec<(u32, f32)>)], names: &[String]) -> String {
    if top.is_empty() {
        return String::new();
    }
    let mut text = "most probable next tokens\n".to_owned();
    for (at, best) in top {
        let best = best.iter().map(|(id, logprob)| {
            format!("{} {:>5.3}", fitted(&shown(llm, *id), 12), logprob.exp())
        });
        let best: Vec<String> = best.collect();
        text.push_str(&format!("  {at:>5} {} {}\n", fitted(&names[*at], 16), best.join(" ")));
    }
    text
}

/// For each token the length of its value and the first numbers; for scores and patterns, the token
/// that each head looks at most.
fn table(value: &Activation, names: &[String]) -> String {
    let sizes: Vec<String> = value.shape.iter().map(usize::to_string).collect();
    let mut text = format!("{} ({})\n", value.hook, sizes.join(", "));
    if heads_first(value.hook) {
        let (rows, keys) = (value.shape[1], value.shape[2]);
        for (head, of_head) in value.values.chunks(rows * keys).enumerate() {
            text.push_str(&format!("  head {head}\n"));
            for (row, weights) in of_head.chunks(keys).enumerate() {
                let best =
                    (0..=row.min(keys - 1)).max_by(|a, b| weights[*a].total_cmp(&weights[*b]));
                let Some(best) = best else { continue };
                text.push_str(&format!(
                    "  {row:>5} {} → {best:>5} {} {:.3}\n",
                    fitted(&names[row], 16),
                    fitted(&names[best], 16),
                    weights[best]
                ));
            }
        }
        return text;
    }
    let width = value.values.len() / value.shape[0].max(1);
    let rows: Vec<&[f32]> = value.values.chunks(width.max(1)).collect();
    let norm = |row: &[f32]| row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let norms: Vec<f64> = rows.iter().map(|row| norm(row)).collect();
    let most = norms.iter().copied().filter(|x| x.is_finite()).reduce(f64::max).unwrap_or(0.0);
    for (at, (row, norm)) in rows.iter().zip(&norms).enumerate() {
        let some: Vec<String> = row.iter().take(4).map(|x| format!("{x:>9.4}")).collect();
        let more = if row.len() > 4 { " …" } else { "" };
        text.push_str(&format!(
            "  {at:>5} {} |x| {norm:>10.4} {:<12} {}{more}\n",
            fitted(&names[at], 16),
            bar(*norm, most, 12),
            some.join(" ")
        ));
    }
    text
}
