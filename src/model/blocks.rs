//! The composites of the forward page, each in its fused form and step by step.
//!
//! [`forms`](super::forms) says which of the two runs. A composite may pass the next one a value
//! that is not computed yet (an [`Update`]), so that a later kernel can take over that step. A mark
//! names a value and costs nothing unless it was asked for.

use crate::config::Norm;
use crate::error::{Error, Result};
use crate::gpu::{BufferId, Tensor};
use crate::hook::{Hook, Point};
use crate::ops::{
    Activate, Add, Attention, AttentionMix, AttentionResult, AttentionScores, Cache, CacheRows,
    Columns, DivideRows, Embed, Epilogue, GainBias, Gated, Gather, HeadNorm, LayerNorm,
    LayerNormCenter, Linear, Mask, PosEmbed, RmsNorm, RmsScale, Rope, Softmax, SumHeads,
};

use super::forms::{Fused, fuses};
use super::rows::Rows;
use super::tape::Tape;
use super::weights::{Block, GateUp, Map, MlpWeights, Model, NormWeights, Qkv};

/// One forward pass over some rows, as it is recorded.
pub(crate) struct Pass<'p, 't> {
    pub(crate) tape: &'p mut Tape<'t>,
    pub(crate) model: &'p Model,
    pub(crate) rows: Rows,
    /// One per layer.
    pub(crate) caches: &'p [Cache],
}

/// What a sub-layer adds to the residual stream.
pub(super) struct Update<'p> {
    value: Pending<'p>,
    /// The norm applied to it first.
    norm: Option<&'p NormWeights>,
    /// Its name after that norm.
    hook: Hook,
    /// The fused form in which its last projection adds to the stream.
    fused: Fused,
    layer: usize,
}

/// A value, or the projection that will compute it.
enum Pending<'p> {
    Written(Tensor),
    Projection { x: Tensor, map: &'p Map },
}

impl<'p> Pass<'p, '_> {
    fn fuses(&self, fused: Fused, layer: usize) -> bool {
        fuses(fused, self.tape, self.model, self.caches, layer)
    }

    /// Names a value that is a whole tensor.
    pub(super) fn mark(&mut self, hook: Hook, value: Tensor) -> Result<()> {
        self.tape.mark(hook, Columns::all(value))
    }

    /// x Wᵀ + b, without an epilogue.
    fn linear(&mut self, x: Tensor, map: &Map) -> Result<Tensor> {
        let out = self.tape.tensor(x.rows, map.weight.rows);
        self.tape.push(linear(x, map, Epilogue::Write, out))?;
        Ok(out)
    }

    /// Token vectors, plus learned position vectors if the model has them: (T, C).
    pub(super) fn embed(&mut self) -> Result<Tensor> {
        let (model, Rows { buffer: rows, count }) = (self.model, self.rows);
        let (table, scale) = (&model.embed, model.config.embed_scale);
        let out = self.tape.tensor(count, model.config.width);
        if self.fuses(Fused::Embed, 0) {
            self.tape.push(Embed { rows, table, scale, positions: model.positions, out })?;
            return Ok(out);
        }
        self.tape.push(Embed { rows, table, scale, positions: None, out })?;
        self.mark(Hook::Embed, out)?;
        if let Some(positions) = model.positions {
            let placed = self.tape.tensor(out.rows, out.columns);
            self.tape.push(PosEmbed { rows, positions, out: placed })?;
            self.mark(Hook::PosEmbed, placed)?;
            self.tape.push(Add { x: placed, out, kept: None })?;
        }
        Ok(out)
    }

    /// The model's kind of norm, (T, C) to (T, C).
    pub(crate) fn norm(&mut self, norm: &NormWeights, x: Tensor) -> Result<Tensor> {
        let &NormWeights { gain, bias, place, layer } = norm;
        if !self.fuses(Fused::Norm(place), layer) {
            return self.norm_in_steps(norm, x);
        }
        let eps = self.model.config.norm_eps;
        let out = self.tape.tensor(x.rows, x.columns);
        match self.model.config.norm {
            Norm::LayerNorm => {
                let affine = bias.map(|bias| (gain, bias));
                self.tape.push(LayerNorm { x, affine, eps, out })?;
            }
            Norm::RmsNorm => self.tape.push(RmsNorm { x, gain: Some(gain), eps, out })?,
        }
        Ok(out)
    }

    /// The norm in steps: centring, the divisor, division, gain and bias.
    fn norm_in_steps(&mut self, norm: &NormWeights, x: Tensor) -> Result<Tensor> {
        let &NormWeights { gain, bias, place, layer } = norm;
        let [scale_hook, normalized_hook] = place.points().map(|point| point.at(layer));
        let mut centred = x;
        if self.model.config.norm == Norm::LayerNorm {
            centred = self.tape.tensor(x.rows, x.columns);
            self.tape.push(LayerNormCenter { x, out: centred })?;
        }
        let scale = self.tape.tensor(x.rows, 1);
        let eps = self.model.config.norm_eps;
        self.tape.push(RmsScale { x: centred, eps, out: scale })?;
        self.mark(scale_hook, scale)?;
        let normalized = self.tape.tensor(x.rows, x.columns);
        self.tape.push(DivideRows { x: centred, scale, out: normalized })?;
        self.mark(normalized_hook, normalized)?;
        let out = self.tape.tensor(x.rows, x.columns);
        self.tape.push(GainBias { x: normalized, gain, bias, out })?;
        Ok(out)
    }

    /// A copy of the stream for one branch, so that a change of it stays in the branch.
    fn branch(&mut self, hook: Hook, x: Tensor) -> Result<Tensor> {
        let out = self.tape.tensor(x.rows, x.columns);
        self.tape.push(Gather { x: Columns::all(x), index: None, out })?;
        self.mark(hook, out)?;
        Ok(out)
    }

    /// What attention reads, normed, for queries, keys and values: the same, unless they are asked
    /// for apart.
    pub(super) fn attention_input(&mut self, block: &Block, x: Tensor) -> Result<[Tensor; 3]> {
        let x = match self.fuses(Fused::AttnIn, block.layer) {
            true => x,
            false => self.branch(Hook::AttnIn(block.layer), x)?,
        };
        if self.fuses(Fused::QkvInput, block.layer) {
            return Ok([self.norm(&block.norm1, x)?; 3]);
        }
        let mut normed = [x; 3];
        for (own, point) in normed.iter_mut().zip([Point::QInput, Point::KInput, Point::VInput]) {
            let x = self.branch(point.at(block.layer), x)?;
            *own = self.norm(&block.norm1, x)?;
        }
        Ok(normed)
    }

    /// What the MLP reads, normed.
    pub(super) fn mlp_input(&mut self, norm: &NormWeights, x: Tensor) -> Result<Tensor> {
        let x = match self.fuses(Fused::MlpIn, norm.layer) {
            true => x,
            false => self.branch(Hook::MlpIn(norm.layer), x)?,
        };
        self.norm(norm, x)
    }

    /// Queries, (T, H·D), of the normed stream as each of the three reads it; keys and values go into
    /// the cache.
    pub(super) fn queries(&mut self, block: &Block, normed: [Tensor; 3]) -> Result<Tensor> {
        let (rows, cache) = (self.rows.buffer, &self.caches[block.layer]);
        if !self.fuses(Fused::QkvToCache, block.layer) {
            let [q, k, v] = self.qkv(block, normed)?;
            return self.rotate(block, q, k, v);
        }
        let [x, ..] = normed;
        let out = self.tape.tensor(x.rows, self.model.config.q_width());
        for joined in &block.qkv {
            self.tape.push(linear(x, &joined.map, Epilogue::Cache { rows, cache }, out))?;
        }
        Ok(out)
    }

    /// Queries, keys and values before rotation, with heads normalised if the model does so.
    fn qkv(&mut self, block: &Block, normed: [Tensor; 3]) -> Result<[Columns; 3]> {
        let (config, layer) = (&self.model.config, block.layer);
        let mut found = Vec::new();
        for joined in &block.qkv {
            // Where the three read different values, each has the whole projection of its own.
            let mut made: Vec<(BufferId, Tensor)> = Vec::new();
            let mut start = 0;
            for &kind in &joined.holds {
                let (x, width) = match kind {
                    Qkv::Query => (normed[0], config.q_width()),
                    Qkv::Key => (normed[1], config.kv_width()),
                    Qkv::Value => (normed[2], config.kv_width()),
                };
                let of = match made.iter().find(|(input, _)| *input == x.buffer) {
                    Some((_, of)) => *of,
                    None => self.linear(x, &joined.map)?,
                };
                made.push((x.buffer, of));
                found.push((kind, Columns::range(of, start, width)));
                start += width;
            }
        }
        let find = |wanted: Qkv| {
            let own = found.iter().find(|(kind, _)| *kind == wanted);
            own.map(|(_, columns)| *columns).ok_or_else(|| Error::Shape {
                op: "qkv",
                reason: format!("layer {layer} has no {wanted:?} among its projections"),
            })
        };
        let (q, k, v) = (find(Qkv::Query)?, find(Qkv::Key)?, find(Qkv::Value)?);
        self.tape.mark(Hook::Q(layer), q)?;
        self.tape.mark(Hook::K(layer), k)?;
        self.tape.mark(Hook::V(layer), v)?;
        if let Some(gains) = block.qk_norm {
            let (eps, queries) = (config.norm_eps, config.heads);
            if q.of == k.of && q.start + q.count == k.start {
                let x = Columns::range(q.of, q.start, q.count + k.count);
                self.tape.push(HeadNorm { x, queries, gains, eps })?;
            } else {
                self.tape.push(HeadNorm { x: q, queries, gains, eps })?;
                self.tape.push(HeadNorm { x: k, queries: 0, gains, eps })?;
            }
            self.tape.mark(Hook::QNormed(layer), q)?;
            self.tape.mark(Hook::KNormed(layer), k)?;
        }
        Ok([q, k, v])
    }

    /// Rotates queries and keys if the layer does, and fills the cache. Returns the queries.
    fn rotate(&mut self, block: &Block, q: Columns, k: Columns, v: Columns) -> Result<Tensor> {
        let (rows, layer, table) = (self.rows.buffer, block.layer, block.rope);
        let cache = &self.caches[layer];
        let out = self.tape.tensor(q.of.rows, q.count);
        self.tape.push(Rope { rows, q, k, v, table, cache, out })?;
        if table.is_some() {
            self.mark(Hook::RotQ(layer), out)?;
        }
        if !self.fuses(Fused::RotatedKeys, layer) {
            let keys = self.tape.tensor(out.rows, k.count);
            self.tape.push(CacheRows { rows, cache, out: keys })?;
            self.mark(Hook::RotK(layer), keys)?;
            if !self.fuses(Fused::CachedKeys, layer) {
                // Without a table nothing is rotated: edited keys only go back into the cache.
                let (k, out) = (Columns::all(keys), self.tape.tensor(keys.rows, keys.columns));
                self.tape.push(Rope { rows, q: k, k, v, table: None, cache, out })?;
            }
        }
        Ok(out)
    }

    /// Attention of the queries over the cache: z, (T, H·D).
    pub(super) fn attention(&mut self, block: &Block, q: Tensor) -> Result<Tensor> {
        let (config, rows, layer) = (&self.model.config, self.rows.buffer, block.layer);
        let (cache, window) = (&self.caches[layer], config.window(layer));
        let (scale, softcap) = (config.attention_scale(), config.attention_softcap);
        let mask = Mask { window, scale, softcap };
        let z = self.tape.tensor(q.rows, config.q_width());
        if self.fuses(Fused::Attention, layer) {
            self.tape.push(Attention { rows, q, cache, mask, out: z })?;
        } else {
            let (heads, keys) = (config.heads, self.tape.keys().min(cache.context));
            let scores = self.tape.tensor(heads * q.rows, keys);
            self.tape.push(AttentionScores { rows, q, cache, mask, out: scores })?;
            self.mark(Hook::AttnScores(layer), scores)?;
            let pattern = self.tape.tensor(heads * q.rows, keys);
            self.tape.push(Softmax { rows, x: scores, heads, window, out: pattern })?;
            self.mark(Hook::Pattern(layer), pattern)?;
            self.tape.push(AttentionMix { rows, pattern, cache, out: z })?;
        }
        self.mark(Hook::Z(layer), z)?;
        Ok(z)
    }

    /// The output projection of z: what attention adds to the stream.
    pub(super) fn output(&mut self, block: &'p Block, z: Tensor) -> Result<Update<'p>> {
        let (heads, layer) = (self.model.config.heads, block.layer);
        let mut value = Pending::Projection { x: z, map: &block.out };
        if !self.fuses(Fused::Output, layer) {
            let Map { weight, bias } = &block.out;
            let results = self.tape.tensor(z.rows, heads * weight.rows);
            self.tape.push(AttentionResult { z, weight, heads, out: results })?;
            self.mark(Hook::Result(layer), results)?;
            let sum = self.tape.tensor(z.rows, weight.rows);
            self.tape.push(SumHeads { x: results, heads, bias: *bias, out: sum })?;
            value = Pending::Written(sum);
        }
        let (norm, hook) = (block.post_norm1.as_ref(), Hook::AttnOut(layer));
        Ok(Update { value, norm, hook, fused: Fused::AttentionUpdate, layer })
    }

    /// The MLP of the normed stream: what it adds to the stream.
    pub(super) fn mlp(
        &mut self,
        block: &'p Block,
        mlp: &'p MlpWeights,
        x: Tensor,
    ) -> Result<Update<'p>> {
        let layer = block.layer;
        let hidden = self.tape.tensor(x.rows, mlp.down().weight.columns);
        match (mlp, self.fuses(Fused::Activation, layer)) {
            (MlpWeights::Plain { up, function, .. }, true) => {
                self.tape.push(linear(x, up, Epilogue::Apply(*function), hidden))?;
            }
            (MlpWeights::Plain { up, function, .. }, false) => {
                let before = self.linear(x, up)?;
                self.mark(Hook::MlpPre(layer), before)?;
                self.tape.push(Activate { x: before, function: *function, out: hidden })?;
            }
            (MlpWeights::Gated { gate_up: GateUp::Joined(both), function, .. }, true) => {
                self.tape.push(linear(x, both, Epilogue::Gated(*function), hidden))?;
            }
            (MlpWeights::Gated { gate_up, function, .. }, _) => {
                let [gate, up] = self.gate_up(gate_up, x)?;
                self.tape.mark(Hook::MlpPre(layer), gate)?;
                self.tape.mark(Hook::MlpPreLinear(layer), up)?;
                self.tape.push(Gated { gate, up, function: *function, out: hidden })?;
            }
        }
        self.mark(Hook::MlpPost(layer), hidden)?;
        let value = Pending::Projection { x: hidden, map: mlp.down() };
        let (norm, hook) = (block.post_norm2.as_ref(), Hook::MlpOut(layer));
        Ok(Update { value, norm, hook, fused: Fused::MlpUpdate, layer })
    }

    /// Gate and up of the normed stream, each (T, F).
    fn gate_up(&mut self, maps: &GateUp, x: Tensor) -> Result<[Columns; 2]> {
        Ok(match maps {
            GateUp::Joined(both) => {
                let of = self.linear(x, both)?;
                let gate = Columns { of, start: 0, count: of.columns / 2, step: 2 };
                [gate, Columns { start: 1, ..gate }]
            }
            GateUp::Apart { gate, up } => {
                [Columns::all(self.linear(x, gate)?), Columns::all(self.linear(x, up)?)]
            }
        })
    }

    /// x = x + the update, in place.
    pub(super) fn add_to_stream(&mut self, update: Update<'_>, x: Tensor) -> Result<()> {
        let Update { value, norm, hook, fused, layer } = update;
        let mut summand = match value {
            Pending::Written(summand) => summand,
            Pending::Projection { x: input, map } if self.fuses(fused, layer) => {
                let kept = self.tape.second_copy(&self.names_of_sum(hook, layer), x);
                return self.tape.push(linear(input, map, Epilogue::Add { kept }, x));
            }
            Pending::Projection { x: input, map } => self.linear(input, map)?,
        };
        if let Some(norm) = norm {
            let before = match hook {
                Hook::MlpOut(layer) => Hook::MlpBeforeNorm(layer),
                _ => Hook::AttnBeforeNorm(layer),
            };
            self.mark(before, summand)?;
            summand = self.norm(norm, summand)?;
        }
        self.mark(hook, summand)?;
        let kept = self.tape.second_copy(&self.names_of_sum(hook, layer), x);
        self.tape.push(Add { x: summand, out: x, kept })
    }

    /// The names of the stream once a layer's attention or MLP has added this value, in the order of
    /// their marks.
    fn names_of_sum(&self, added: Hook, layer: usize) -> Vec<Hook> {
        let is_last = added.point() == Point::MlpOut || self.model.blocks[layer].mlp.is_none();
        match is_last {
            true => vec![Hook::ResidPost(layer), Hook::ResidPre(layer + 1)],
            false if self.model.config.parallel => Vec::new(),
            false => vec![Hook::ResidMid(layer)],
        }
    }
}

/// The `count` rows of `x` that `index` names; all of `x` without an index.
pub(super) fn pick(
    tape: &mut Tape<'_>,
    x: Tensor,
    index: Option<BufferId>,
    count: usize,
) -> Result<Tensor> {
    if index.is_none() {
        return Ok(x);
    }
    let out = tape.tensor(count, x.columns);
    tape.push(Gather { x: Columns::all(x), index, out })?;
    Ok(out)
}

/// The output head: logits, (N, V).
pub(super) fn head(tape: &mut Tape<'_>, model: &Model, x: Tensor, out: Tensor) -> Result<()> {
    let epilogue = model.config.logit_softcap.map_or(Epilogue::Write, Epilogue::SoftCap);
    tape.push(Linear { x, weight: model.head(), bias: model.head_bias, epilogue, out })
}

fn linear<'m>(x: Tensor, map: &'m Map, epilogue: Epilogue<'m>, out: Tensor) -> Linear<'m> {
    Linear { x, weight: &map.weight, bias: map.bias, epilogue, out }
}
