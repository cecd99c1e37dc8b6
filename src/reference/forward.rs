//! The whole model on one page, from token ids to the normalized residual stream that the head
//! reads.

use std::iter;

use super::activate::activate;
use super::add::add;
use super::attention::attention;
use super::attention_mix::attention_mix;
use super::attention_result::attention_result;
use super::attention_scores::attention_scores;
use super::attention_size::AttentionSize;
use super::cache::Cache;
use super::divide_rows::divide_rows;
use super::embed::embed;
use super::gain_bias::gain_bias;
use super::gated::gated;
use super::layer_norm_center::layer_norm_center;
use super::model::Model;
use super::observer::Observer;
use super::pos_embed::pos_embed;
use super::rms_norm::rms_norm;
use super::rms_scale::rms_scale;
use super::rope::{RopeSize, rope};
use super::softmax::softmax;
use super::sum_heads::sum_heads;
use crate::checkpoint::Param;
use crate::config::{Mlp, Norm, Position};
use crate::error::{Error, Result};
use crate::hook::Hook;

/// One forward pass over new rows.
struct Pass<'a> {
    model: &'a Model,
    observer: &'a mut dyn Observer,
    /// The position of each row, (T).
    positions: Vec<u32>,
    /// Positions of the cache.
    context: usize,
}

impl Model {
    /// The residual stream after the final norm, (T, C), of tokens that follow the cached ones.
    pub(super) fn stream(
        &self,
        cache: &mut Cache,
        tokens: &[u32],
        observer: &mut dyn Observer,
    ) -> Result<Vec<f64>> {
        let config = &self.config;
        let positions = self.positions(cache, tokens)?;
        let mut pass = Pass { model: self, observer, positions, context: cache.context() };

        let mut x = embed(tokens, self.own(Param::Embed, 0), config.width);
        if let Some(scale) = config.embed_scale {
            x.iter_mut().for_each(|x| *x *= f64::from(scale));
        }
        pass.mark(Hook::Embed, &[config.width], &mut x);
        if config.position == Position::Learned {
            let table = self.own(Param::Positions, 0);
            let mut placed = pos_embed(&pass.positions, table, config.width);
            pass.mark(Hook::PosEmbed, &[config.width], &mut placed);
            add(&mut x, &placed);
        }
        for layer in 0..config.layers {
            pass.mark(Hook::ResidPre(layer), &[config.width], &mut x);
            let mut attn_out = pass.attention(layer, &x, cache);
            pass.mark(Hook::AttnOut(layer), &[config.width], &mut attn_out);
            // A parallel MLP reads the stream before attention has added to it.
            let before = config.parallel.then(|| x.clone());
            add(&mut x, &attn_out);
            if config.mlp != Mlp::None {
                if before.is_none() {
                    pass.mark(Hook::ResidMid(layer), &[config.width], &mut x);
                }
                let mut mlp_out = pass.mlp(layer, before.as_ref().unwrap_or(&x));
                pass.mark(Hook::MlpOut(layer), &[config.width], &mut mlp_out);
                add(&mut x, &mlp_out);
            }
            pass.mark(Hook::ResidPost(layer), &[config.width], &mut x);
        }
        cache.advance(tokens.len());
        let hooks = (Hook::LnFinalScale, Hook::LnFinalNormalized);
        Ok(pass.norm(&x, (Param::FinalNorm, Some(Param::FinalNormBias)), 0, hooks))
    }

    /// Values of the residual stream after the last layer, (N, C), after the final norm.
    pub(super) fn final_norm(&self, stream: &[f64]) -> Vec<f64> {
        let positions = vec![0; stream.len() / self.config.width];
        let mut pass = Pass { model: self, observer: &mut (), positions, context: 1 };
        let hooks = (Hook::LnFinalScale, Hook::LnFinalNormalized);
        pass.norm(stream, (Param::FinalNorm, Some(Param::FinalNormBias)), 0, hooks)
    }

    /// The positions of tokens that follow the cached ones; every error of a pass is found here.
    fn positions(&self, cache: &Cache, tokens: &[u32]) -> Result<Vec<u32>> {
        let config = &self.config;
        if !cache.fits(config.layers, config.kv_width()) {
            return Err(Error::Input("the key/value cache belongs to another model".into()));
        }
        if let Some(id) = tokens.iter().find(|&&id| id as usize >= config.vocab) {
            let reason = format!("token id {id} is outside the vocabulary of {}", config.vocab);
            return Err(Error::Input(reason));
        }
        let asked = cache.len() + tokens.len();
        let too_long = Error::Context { asked, limit: cache.context() };
        match (u32::try_from(cache.len()), u32::try_from(asked)) {
            (Ok(first), Ok(end)) if asked <= cache.context() => Ok((first..end).collect()),
            _ => Err(too_long),
        }
    }
}

impl Pass<'_> {
    /// What attention adds to the stream: (T, C) to (T, C).
    fn attention(&mut self, layer: usize, x: &[f64], cache: &mut Cache) -> Vec<f64> {
        let config = &self.model.config;
        let (heads, kv_heads, head_width) = (config.heads, config.kv_heads, config.head_width);
        let (window, scale) = (config.window(layer), config.attention_scale());
        let softcap = config.attention_softcap;
        let size = AttentionSize { heads, kv_heads, head_width, window, scale, softcap };
        let x = self.branch(Hook::AttnIn(layer), x);
        let inputs = [Hook::QInput(layer), Hook::KInput(layer), Hook::VInput(layer)];
        let [xq, xk, xv] = self.attention_inputs(layer, &x, inputs);
        let mut q = self.model.linear(&xq, (Param::Q, Param::QBias), layer);
        let mut k = self.model.linear(&xk, (Param::K, Param::KBias), layer);
        let mut v = self.model.linear(&xv, (Param::V, Param::VBias), layer);
        self.mark(Hook::Q(layer), &[heads, head_width], &mut q);
        self.mark(Hook::K(layer), &[kv_heads, head_width], &mut k);
        self.mark(Hook::V(layer), &[kv_heads, head_width], &mut v);
        if config.qk_norm {
            q = rms_norm(&q, self.model.own(Param::QNorm, layer), config.norm_eps);
            k = rms_norm(&k, self.model.own(Param::KNorm, layer), config.norm_eps);
            self.mark(Hook::QNormed(layer), &[heads, head_width], &mut q);
            self.mark(Hook::KNormed(layer), &[kv_heads, head_width], &mut k);
        }
        if let Some(own) = config.rope(layer) {
            let rotation = own.rotation(self.context);
            let rotate = |x: &[f64], heads| {
                rope(x, &self.positions, &rotation, RopeSize { heads, head_width })
            };
            (q, k) = (rotate(&q, heads), rotate(&k, kv_heads));
            self.mark(Hook::RotQ(layer), &[heads, head_width], &mut q);
            self.mark(Hook::RotK(layer), &[kv_heads, head_width], &mut k);
        }
        let cached = cache.extend(layer, &k, &v);
        let mut z = if self.wants(Hook::AttnScores(layer)) || self.wants(Hook::Pattern(layer)) {
            let mut scores = attention_scores(&q, &cached.keys, &self.positions, size);
            let keys = cached.keys.len() / config.kv_width();
            let shape = [heads, self.positions.len(), keys];
            self.show(Hook::AttnScores(layer), &shape, &mut scores);
            let mut pattern = softmax(&scores, keys);
            self.show(Hook::Pattern(layer), &shape, &mut pattern);
            attention_mix(&pattern, &cached.values, size)
        } else {
            attention(&q, &cached.keys, &cached.values, &self.positions, size)
        };
        self.mark(Hook::Z(layer), &[heads, head_width], &mut z);
        let out = if self.wants(Hook::Result(layer)) {
            let width = config.width;
            let mut result = attention_result(&z, self.model.own(Param::Out, layer), heads, width);
            self.mark(Hook::Result(layer), &[heads, width], &mut result);
            sum_heads(&result, self.model.weight(Param::OutBias, layer), heads, width)
        } else {
            self.model.linear(&z, (Param::Out, Param::OutBias), layer)
        };
        let hooks = (Hook::Ln1PostScale(layer), Hook::Ln1PostNormalized(layer));
        self.post_norm(out, (Hook::AttnBeforeNorm(layer), Param::PostNorm1), layer, hooks)
    }

    /// The normed stream as queries, keys and values read it: each its own if one of them is asked
    /// for, else the same.
    fn attention_inputs(&mut self, layer: usize, x: &[f64], inputs: [Hook; 3]) -> [Vec<f64>; 3] {
        let hooks = (Hook::Ln1Scale(layer), Hook::Ln1Normalized(layer));
        let params = (Param::Norm1, Some(Param::Norm1Bias));
        if !inputs.iter().any(|hook| self.wants(*hook)) {
            let x = self.norm(x, params, layer, hooks);
            return [x.clone(), x.clone(), x];
        }
        let inputs = inputs.map(|hook| self.branch(hook, x));
        inputs.map(|x| self.norm(&x, params, layer, hooks))
    }

    /// The stream as a branch reads it, so that a change of it stays in the branch.
    fn branch(&mut self, hook: Hook, x: &[f64]) -> Vec<f64> {
        let mut x = x.to_vec();
        self.mark(hook, &[self.model.config.width], &mut x);
        x
    }

    /// What the MLP adds to the stream: (T, C) to (T, C).
    fn mlp(&mut self, layer: usize, x: &[f64]) -> Vec<f64> {
        let hidden = self.model.config.mlp.hidden();
        let x = self.branch(Hook::MlpIn(layer), x);
        let hooks = (Hook::Ln2Scale(layer), Hook::Ln2Normalized(layer));
        let x = self.norm(&x, (Param::Norm2, Some(Param::Norm2Bias)), layer, hooks);
        let up = |pass: &Self| pass.model.linear(&x, (Param::Up, Param::UpBias), layer);
        let mut post = match self.model.config.mlp {
            // Not called in attention-only models.
            Mlp::None => return Vec::new(),
            Mlp::Plain { function, .. } => {
                let mut pre = up(self);
                self.mark(Hook::MlpPre(layer), &[hidden], &mut pre);
                activate(&pre, function)
            }
            Mlp::Gated { function, .. } => {
                let mut gate = self.model.linear(&x, (Param::Gate, Param::GateBias), layer);
                self.mark(Hook::MlpPre(layer), &[hidden], &mut gate);
                let mut up = up(self);
                self.mark(Hook::MlpPreLinear(layer), &[hidden], &mut up);
                gated(&gate, &up, function)
            }
        };
        self.mark(Hook::MlpPost(layer), &[hidden], &mut post);
        let out = self.model.linear(&post, (Param::Down, Param::DownBias), layer);
        let hooks = (Hook::Ln2PostScale(layer), Hook::Ln2PostNormalized(layer));
        self.post_norm(out, (Hook::MlpBeforeNorm(layer), Param::PostNorm2), layer, hooks)
    }

    /// The norm of a sub-layer's output, if the model has such norms: (T, C) to (T, C).
    fn post_norm(
        &mut self,
        mut x: Vec<f64>,
        (before, gain): (Hook, Param),
        layer: usize,
        hooks: (Hook, Hook),
    ) -> Vec<f64> {
        if !self.model.config.post_norms {
            return x;
        }
        self.mark(before, &[self.model.config.width], &mut x);
        self.norm(&x, (gain, None), layer, hooks)
    }

    /// The model's norm, in the steps that have hooks: (T, C) to (T, C).
    fn norm(
        &mut self,
        x: &[f64],
        (gain, bias): (Param, Option<Param>),
        layer: usize,
        (scale_hook, normalized_hook): (Hook, Hook),
    ) -> Vec<f64> {
        let config = &self.model.config;
        let centered = match config.norm {
            Norm::LayerNorm => layer_norm_center(x, config.width),
            Norm::RmsNorm => x.to_vec(),
        };
        let mut scale = rms_scale(&centered, config.width, config.norm_eps);
        self.mark(scale_hook, &[1], &mut scale);
        let mut normalized = divide_rows(&centered, &scale);
        self.mark(normalized_hook, &[config.width], &mut normalized);
        let bias = bias.and_then(|bias| self.model.weight(bias, layer));
        gain_bias(&normalized, self.model.own(gain, layer), bias)
    }

    fn wants(&self, hook: Hook) -> bool {
        self.observer.wants(hook)
    }

    /// Shows a value of (T, rest) to an observer that wants it.
    fn mark(&mut self, hook: Hook, rest: &[usize], values: &mut [f64]) {
        let shape: Vec<usize> =
            iter::once(self.positions.len()).chain(rest.iter().copied()).collect();
        self.show(hook, &shape, values);
    }

    fn show(&mut self, hook: Hook, shape: &[usize], values: &mut [f64]) {
        debug_assert_eq!(shape.iter().product::<usize>(), values.len(), "{hook}");
        if self.observer.wants(hook) {
            self.observer.see(hook, shape, values);
        }
    }
}
