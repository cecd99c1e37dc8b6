//! `pellucid inspect values`: named values of a text.

use clap::Args;
use pellucid::Result;
use pellucid::config::Config;
use pellucid::generate::Request;
use pellucid::hook::Hook;
use pellucid::inspect::write_values;
use pellucid::model::{Activation, actions, bytes_of, heads_first, named};
use serde_json::{Map, json};

use crate::output;

use super::emit::{Array, Found, Kind, bar, nested};
use super::subject::{Opened, Subject, fitted, shown};

/// Read named values of a text.
///
/// Names may be classic ones of TransformerLens, those of its version 4, addresses such as
/// `resid_post.5` or `pattern.-1`, and globs such as `blocks.*.hook_z`; see `pellucid inspect hooks`.
#[derive(Debug, Args)]
pub(crate) struct Values {
    /// The value to read; may be repeated
    #[arg(long = "hook", value_name = "NAME", required = true)]
    hooks: Vec<String>,
    /// Read the logits after every token as well
    #[arg(long)]
    logits: bool,
    /// Continue the text by so many tokens, each the most probable one, and read their values too
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "logits")]
    max_new_tokens: usize,
    #[command(flatten)]
    subject: Subject,
}

impl Values {
    pub(crate) async fn run(&self) -> Result<()> {
        let Opened { mut llm, mut tokens, edits } = self.subject.open().await?;
        let config = llm.config().clone();
        let hooks = all_named(&config, &self.hooks)?;
        let length = (tokens.len() + self.max_new_tokens).min(llm.context());
        let mut bytes = bytes_of(&config, &hooks, length, length);
        if self.logits {
            bytes += 4 * (length * config.vocab) as u64;
        }
        output::note(&format!(
            "{} values of {length} tokens: {}",
            hooks.len(),
            indicatif::HumanBytes(bytes)
        ));
        let out = &self.subject.out;
        if let (Some((path, Kind::Safetensors)), 0) = (out.file()?, self.max_new_tokens) {
            write_values(&mut llm, &tokens, &edits, &hooks, self.logits, path).await?;
            let names: Vec<String> = hooks.iter().map(Hook::to_string).collect();
            let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
            if self.logits {
                names.push("logits");
            }
            return out.written(path, &names);
        }
        let (activations, logits) = if self.max_new_tokens > 0 {
            let max_new_tokens = self.max_new_tokens;
            let keep = hooks.clone();
            let request = Request { max_new_tokens, edits, keep, ..Request::default() };
            let going_on = |_| std::ops::ControlFlow::Continue(());
            let (generation, _) = llm.generate(&tokens, &request, going_on).await?;
            tokens.extend(&generation.tokens);
            tokens.pop();
            (generation.kept, Vec::new())
        } else {
            let actions = actions(&edits, hooks.iter().copied());
            let logits_of: Vec<usize> =
                if self.logits { (0..tokens.len()).collect() } else { Vec::new() };
            let seen = llm.observe(&tokens, &actions, &logits_of).await?;
            (seen.activations, seen.logits)
        };
        let mut values = Map::new();
        for Activation { hook, shape, values: own } in &activations {
            values.insert(hook.to_string(), json!({ "shape": shape, "data": own }));
        }
        let mut object = json!({ "tokens": tokens, "values": values });
        if self.logits {
            object["logits"] = nested(&[tokens.len(), config.vocab], &logits);
        }
        let names: Vec<String> = tokens.iter().map(|id| shown(&llm, *id)).collect();
        let table: String = activations.iter().map(|value| table(value, &names)).collect();
        let array = |value: Activation| Array {
            name: value.hook.to_string().into(),
            shape: value.shape,
            values: value.values,
        };
        let arrays = activations.into_iter().map(array).collect();
        out.emit(&Found { object, arrays, table })
    }
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
