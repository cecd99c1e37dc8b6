//! Direct logit attribution: how much each part of the model adds to the logit of a token.
//!
//! The residual stream is the sum of what its parts write. With the final norm's divisor s frozen at
//! the position, the logit before the soft cap is linear in that sum (Elhage et al. 2021): a part c adds
//! ((c − mean c) / s ⊙ γ) · u, without the mean for an RMS norm, where u is the token's row of the head
//! or the difference of two.

use crate::checkpoint::Param;
use crate::config::{Config, Norm};
use crate::error::{Error, Result};
use crate::generate::Llm;
use crate::hook::Hook;
use crate::model::{Activation, Edit, offered};

/// What to attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeOptions {
    /// The token.
    pub answer: u32,
    /// The token whose logit is subtracted.
    pub versus: Option<u32>,
    /// The position; the last if `None`.
    pub position: Option<usize>,
    /// How many neurons are given.
    pub neurons: usize,
}

/// What each part adds to a logit, or to the difference of two.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribution {
    /// `embed`, `pos_embed`, `0_attn_out`, `0_mlp_out` and so on, and `bias`: the final norm's bias
    /// and the head's.
    pub components: Vec<(String, f64)>,
    /// For each layer and head, its part of the layer's `attn_out`, without the output bias.
    pub heads: Vec<Vec<f64>>,
    /// The neurons that add the most, by size: layer, neuron, value.
    pub neurons: Vec<(usize, usize, f64)>,
    /// The sum of the components.
    pub total: f64,
    /// The model's own, before the soft cap.
    pub logit: f64,
}

/// Attributes a logit at a position to the parts that wrote it.
///
/// # Errors
/// As [`Llm::observe_last`], and [`Error::Input`] for a position that the text does not have.
pub async fn attribute(
    llm: &mut Llm,
    tokens: &[u32],
    edits: &[(Hook, Edit)],
    options: &AttributeOptions,
) -> Result<Attribution> {
    let config = llm.config().clone();
    let position = options.position.unwrap_or(tokens.len().saturating_sub(1));
    let text = tokens.get(..=position).ok_or_else(|| {
        Error::Input(format!("there is no position {position} in {} tokens", tokens.len()))
    })?;
    let own = |point: Hook| offered(&config, point).is_ok();
    let mut reads = vec![Hook::LnFinalScale, Hook::Embed, Hook::PosEmbed];
    for layer in 0..config.layers {
        reads.extend([Hook::AttnOut(layer), Hook::MlpOut(layer), Hook::Z(layer)]);
        reads.extend([Hook::MlpPost(layer), Hook::Ln1PostScale(layer), Hook::Ln2PostScale(layer)]);
    }
    reads.retain(|hook| own(*hook));
    // Values that fused kernels write too are read without changing the run.
    let seen = llm.observe_last(text, edits, &reads).await?;
    let value = |hook: Hook| value_of(&seen.activations, hook);
    let direction = Direction::new(llm, &config, options, value(Hook::LnFinalScale))?;

    let mut components = vec![("embed".to_owned(), direction.dot(value(Hook::Embed)))];
    if own(Hook::PosEmbed) {
        components.push(("pos_embed".to_owned(), direction.dot(value(Hook::PosEmbed))));
    }
    let (mut heads, mut neurons) = (Vec::new(), Vec::new());
    for layer in 0..config.layers {
        components.push((format!("{layer}_attn_out"), direction.dot(value(Hook::AttnOut(layer)))));
        let out = direction.before_norm(
            llm,
            Param::PostNorm1,
            layer,
            value(Hook::Ln1PostScale(layer)),
        )?;
        let parts = through(llm, Param::Out, layer, &out, value(Hook::Z(layer)))?;
        heads.push(parts.chunks(config.head_width).map(|head| head.iter().sum()).collect());
        if !own(Hook::MlpOut(layer)) {
            continue;
        }
        components.push((format!("{layer}_mlp_out"), direction.dot(value(Hook::MlpOut(layer)))));
        if options.neurons > 0 {
            let out = direction.before_norm(
                llm,
                Param::PostNorm2,
                layer,
                value(Hook::Ln2PostScale(layer)),
            )?;
            let parts = through(llm, Param::Down, layer, &out, value(Hook::MlpPost(layer)))?;
            neurons.extend(parts.into_iter().enumerate().map(|(n, part)| (layer, n, part)));
            neurons.sort_by(|a, b| b.2.abs().total_cmp(&a.2.abs()));
            neurons.truncate(options.neurons);
        }
    }
    components.push(("bias".to_owned(), direction.bias));
    let total = components.iter().map(|(_, value)| value).sum();
    let logit = |token: u32| uncapped(f64::from(seen.logits[token as usize]), config.logit_softcap);
    let versus = options.versus.map_or(0.0, logit);
    Ok(Attribution { components, heads, neurons, total, logit: logit(options.answer) - versus })
}

/// A value of the one row that was read; empty if it was not.
fn value_of(seen: &[Activation], hook: Hook) -> &[f32] {
    seen.iter().find(|activation| activation.hook == hook).map_or(&[], |found| &found.values)
}

/// A logit before its soft cap, cap · tanh(x / cap).
fn uncapped(logit: f64, cap: Option<f64>) -> f64 {
    cap.map_or(logit, |cap| cap * (logit / cap).atanh())
}

/// What a part of the stream adds to the logit: a dot product.
struct Direction {
    /// γ ⊙ u / s, less its mean for a layer norm, which is the same as centring the part.
    values: Vec<f64>,
    /// What the biases add.
    bias: f64,
}

impl Direction {
    fn new(llm: &Llm, config: &Config, options: &AttributeOptions, scale: &[f32]) -> Result<Self> {
        let mut head: Vec<f64> = llm.head_row(options.answer)?.into_iter().map(f64::from).collect();
        let head_bias = llm.weight(Param::HeadBias, 0)?;
        let bias_of = |token: u32| head_bias.as_ref().map_or(0.0, |b| f64::from(b[token as usize]));
        let mut bias = bias_of(options.answer);
        if let Some(versus) = options.versus {
            let other = llm.head_row(versus)?;
            head.iter_mut().zip(other).for_each(|(u, other)| *u -= f64::from(other));
            bias -= bias_of(versus);
        }
        if let Some(norm_bias) = llm.weight(Param::FinalNormBias, 0)? {
            bias += norm_bias.iter().zip(&head).map(|(b, u)| f64::from(*b) * u).sum::<f64>();
        }
        let gain = llm.weight(Param::FinalNorm, 0)?.unwrap_or_else(|| vec![1.0; config.width]);
        let scale = f64::from(scale.first().copied().unwrap_or(1.0));
        let mut values: Vec<f64> =
            head.iter().zip(&gain).map(|(u, gain)| u * f64::from(*gain) / scale).collect();
        if config.norm == Norm::LayerNorm {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            values.iter_mut().for_each(|value| *value -= mean);
        }
        Ok(Self { values, bias })
    }

    fn dot(&self, part: &[f32]) -> f64 {
        self.values.iter().zip(part).map(|(d, x)| d * f64::from(*x)).sum()
    }

    /// The direction before the norm of a sub-layer's output, whose divisor is frozen too; the same
    /// where there is no such norm.
    fn before_norm(&self, llm: &Llm, gain: Param, layer: usize, scale: &[f32]) -> Result<Vec<f64>> {
        let (Some(scale), Some(gain)) = (scale.first(), llm.weight(gain, layer)?) else {
            return Ok(self.values.clone());
        };
        let pair = |(d, gain): (&f64, &f32)| d * f64::from(*gain) / f64::from(*scale);
        Ok(self.values.iter().zip(&gain).map(pair).collect())
    }
}

/// What each input of a projection adds along a direction of its outputs: `x_i Σ_o W_oi d_o`.
fn through(llm: &Llm, param: Param, layer: usize, out: &[f64], x: &[f32]) -> Result<Vec<f64>> {
    let weight = llm.weight(param, layer)?.unwrap_or_default();
    let mut sums = vec![0.0; x.len()];
    for (row, d) in weight.chunks(x.len().max(1)).zip(out) {
        sums.iter_mut().zip(row).for_each(|(sum, w)| *sum += d * f64::from(*w));
    }
    Ok(sums.iter().zip(x).map(|(sum, x)| sum * f64::from(*x)).collect())
}
