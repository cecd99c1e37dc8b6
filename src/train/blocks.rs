//! The composites of the backward page, each the derivative of one of the forward page.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::gpu::Tensor;
use crate::hook::Hook;
use crate::model::{self, Block, DropoutSite, Map, MlpWeights, NormWeights, Tape};
use crate::ops::backward::{
    ActivateBackward, AttentionBackward, BiasBackward, Dropout, EmbedBackward, GainBackward,
    GatedBackward, LinearBackwardW, LinearBackwardX, MAX_TRAINED_HEAD_WIDTH, NormBackward,
    RopeBackward,
};
use crate::ops::{Activate, Columns, Gated, Gather, Mask, Weight, WeightShard};

use super::loss::loss;
use super::micro_batch::{MicroBatch, Runs};

/// The backward pass over a micro-batch, as it is recorded.
pub(super) struct Pass<'a, 't> {
    pub(super) tape: &'a mut Tape<'t>,
    pub(super) batch: &'a MicroBatch<'a>,
}

/// Refuses models that the page has no derivatives for; [`one_qkv`] and [`one_first`] refuse
/// the rest.
///
/// # Errors
/// [`Error::Unsupported`], naming what is not supported.
pub(super) fn check(config: &Config) -> Result<()> {
    let lacking = [
        (config.qk_norm, "norms of queries and keys"),
        (config.post_norms, "norms after the sub-layers"),
        (config.parallel, "parallel attention and MLP"),
        (config.logit_softcap.is_some(), "soft-capped logits"),
    ];
    if config.head_width > MAX_TRAINED_HEAD_WIDTH {
        return Err(Error::unsupported(
            format!("training heads of {} values", config.head_width),
            format!("up to {MAX_TRAINED_HEAD_WIDTH}"),
        ));
    }
    match lacking.iter().find(|(has, _)| *has) {
        None => Ok(()),
        Some((_, what)) => Err(Error::unsupported(
            format!("training {} models, which have {what},", config.architecture),
            "the shapes of gpt2, gpt_neo, llama, mistral, qwen2 and phi3",
        )),
    }
}

/// The one projection of queries, keys and values.
fn one_qkv(block: &Block) -> Result<&Map> {
    match block.qkv.as_slice() {
        [joined] => Ok(&joined.map),
        _ => Err(apart("queries, keys and values")),
    }
}

/// The one projection before the activation.
fn one_first(mlp: &MlpWeights) -> Result<&Map> {
    match mlp.before()[..] {
        [map] => Ok(map),
        _ => Err(apart("gate and up")),
    }
}

fn apart(what: &str) -> Error {
    Error::unsupported(
        format!("training with {what} in matrices of different formats"),
        "a model loaded with every matrix in f32",
    )
}

impl<'t> Pass<'_, 't> {
    /// The losses of all rows, given the stream after the final norm, n, (T, C); the gradients of the
    /// head, and the derivative of n.
    pub(super) fn head(&mut self, n: Tensor) -> Result<Tensor> {
        let MicroBatch { model, gradients, chunks, targets, .. } = *self.batch;
        let dn = self.tape.tensor(n.rows, n.columns);
        for chunk in chunks {
            let [x, dy] = loss(self.tape, model, n, chunk, targets)?;
            self.tape.push(LinearBackwardW { dy, x, gradient: gradients.head() })?;
            if let Some(out) = gradients.head_bias {
                self.tape.push(BiasBackward { dy, out })?;
            }
            let (weight, first) = (model.head(), chunk.first);
            self.tape.push(LinearBackwardX { dy, weight, out: dn, first, add: false })?;
        }
        Ok(dn)
    }

    /// The derivative of what a sub-layer added, given that of the stream: the same, except for what
    /// was dropped.
    pub(super) fn add_to_stream(&mut self, hook: Hook, dx: Tensor) -> Result<Tensor> {
        let Some(DropoutSite { probability, draw, site }) = self.batch.drop(hook) else {
            return Ok(dx);
        };
        let out = self.tape.tensor(dx.rows, dx.columns);
        self.tape.push(Gather { x: Columns::all(dx), index: None, out })?;
        self.tape.push(Dropout { x: out, probability, draw, site })?;
        Ok(out)
    }

    /// The derivative of the normed stream, m = norm₂(x), given that of the MLP's output.
    pub(super) fn mlp(
        &mut self,
        block: &Block,
        gradient: &Block,
        norm2: &NormWeights,
        x: Tensor,
        dy: Tensor,
    ) -> Result<Tensor> {
        let (Some(mlp), Some(dmlp)) = (&block.mlp, &gradient.mlp) else { return Ok(dy) };
        let pre = self.kept(Hook::MlpPre(block.layer))?;
        let hidden = self.tape.tensor(pre.of.rows, pre.count);
        match *mlp {
            MlpWeights::Plain { function, .. } => {
                self.tape.push(Activate { x: pre.of, function, out: hidden })?;
            }
            MlpWeights::Gated { function, .. } => {
                let up = Columns { start: 1, ..pre };
                self.tape.push(Gated { gate: pre, up, function, out: hidden })?;
            }
        }
        let dy = self.linear(mlp.down(), dmlp.down(), hidden, dy)?;
        let dpre = self.tape.tensor(pre.of.rows, pre.of.columns);
        match *mlp {
            MlpWeights::Plain { function, .. } => {
                self.tape.push(ActivateBackward { x: pre.of, dy, function, out: dpre })?;
            }
            MlpWeights::Gated { function, .. } => {
                self.tape.push(GatedBackward { both: pre.of, dy, function, out: dpre })?;
            }
        }
        let m = self.forward().norm(norm2, x)?;
        self.linear(one_first(mlp)?, one_first(dmlp)?, m, dpre)
    }

    /// The derivative of z, given that of attention's output.
    pub(super) fn output(&mut self, block: &Block, gradient: &Block, dy: Tensor) -> Result<Tensor> {
        let z = self.kept(Hook::Z(block.layer))?.of;
        self.linear(&block.out, &gradient.out, z, dy)
    }

    /// The derivative of queries, keys and values before rotation, joined, given that of z.
    pub(super) fn attention(&mut self, block: &Block, dz: Tensor) -> Result<Tensor> {
        let MicroBatch { model, caches, rows, length, .. } = *self.batch;
        let (config, layer) = (&model.config, block.layer);
        let (z, q) = (self.kept(Hook::Z(layer))?.of, self.kept(rotated_queries(block))?);
        let q = match q.of.columns == q.count {
            true => q.of,
            // Of the joined queries, keys and values, attention takes the queries alone.
            false => {
                let out = self.tape.tensor(q.of.rows, q.count);
                self.tape.push(Gather { x: q, index: None, out })?;
                out
            }
        };
        let dq = self.tape.tensor(z.rows, config.q_width());
        let [dk, dv] = [(); 2].map(|()| self.tape.tensor(z.rows, config.kv_width()));
        let stats = self.tape.tensor(z.rows, 2 * config.heads);
        self.tape.push(AttentionBackward {
            q,
            cache: &caches[layer],
            mask: Mask {
                window: config.window(layer),
                scale: config.attention_scale(),
                softcap: config.attention_softcap,
            },
            z,
            dz,
            length,
            stats,
            dq,
            dk,
            dv,
        })?;
        let out = self.tape.tensor(z.rows, dq.columns + dk.columns + dv.columns);
        let (table, width) = (block.rope, config.head_width);
        self.tape.push(RopeBackward { rows: rows.buffer, dq, dk, dv, table, width, out })?;
        Ok(out)
    }

    /// The derivative of the normed stream, n = norm₁(x), given that of queries, keys and values.
    pub(super) fn queries(
        &mut self,
        block: &Block,
        gradient: &Block,
        x: Tensor,
        dqkv: Tensor,
    ) -> Result<Tensor> {
        let n = self.forward().norm(&block.norm1, x)?;
        self.linear(one_qkv(block)?, one_qkv(gradient)?, n, dqkv)
    }

    /// The gradients of a norm's parameters, and the derivative of its input x (T, C), which is added
    /// to `onto` if that is given.
    pub(super) fn norm(
        &mut self,
        (weights, gradient): (&NormWeights, &NormWeights),
        x: Tensor,
        dy: Tensor,
        onto: Option<Tensor>,
    ) -> Result<Tensor> {
        let Config { norm, norm_eps: eps, .. } = self.batch.model.config;
        let (gain, add) = (Some(weights.gain), onto.is_some());
        let dx = onto.unwrap_or_else(|| self.tape.tensor(x.rows, x.columns));
        let stats = self.tape.tensor(x.rows, 2);
        self.tape.push(NormBackward { norm, x, gain, dy, eps, add, dx, stats })?;
        self.tape.push(GainBackward { x, dy, stats, out: gradient.gain })?;
        if let Some(out) = gradient.bias {
            self.tape.push(BiasBackward { dy, out })?;
        }
        Ok(dx)
    }

    /// Tokens, and learned positions: `x = E[tokens] + E_P[p]`.
    pub(super) fn embed(&mut self, dy: Tensor) -> Result<()> {
        let MicroBatch { model, gradients, tokens, positions, .. } = *self.batch;
        if let Some(DropoutSite { probability, draw, site }) = self.batch.drop(Hook::ResidPre(0))
            && !model.blocks.is_empty()
        {
            self.tape.push(Dropout { x: dy, probability, draw, site })?;
        }
        let Runs { runs, order } = tokens;
        let scale = model.config.embed_scale.map_or(1.0, f64::from);
        self.tape.push(EmbedBackward { runs, order, dy, scale, table: &gradients.embed })?;
        if let Some(table) = gradients.positions {
            let Runs { runs, order } = positions;
            let table = &as_weight(table);
            self.tape.push(EmbedBackward { runs, order, dy, scale: 1.0, table })?;
        }
        Ok(())
    }

    /// The gradients of a projection's parameters, and the derivative of its input x (T, inputs),
    /// given dy (T, outputs).
    fn linear(&mut self, map: &Map, gradient: &Map, x: Tensor, dy: Tensor) -> Result<Tensor> {
        self.tape.push(LinearBackwardW { dy, x, gradient: &gradient.weight })?;
        if let Some(out) = gradient.bias {
            self.tape.push(BiasBackward { dy, out })?;
        }
        let out = self.tape.tensor(x.rows, x.columns);
        self.tape.push(LinearBackwardX { dy, weight: &map.weight, out, first: 0, add: false })?;
        Ok(out)
    }

    /// The forward page on the same tape, for what is recomputed.
    pub(super) fn forward(&mut self) -> model::Pass<'_, 't> {
        let MicroBatch { model, rows, caches, .. } = *self.batch;
        model::Pass { tape: self.tape, model, rows, caches }
    }

    /// A value of the forward pass.
    pub(super) fn kept(&self, hook: Hook) -> Result<Columns> {
        self.tape.kept(hook).ok_or_else(|| Error::Shape {
            op: "backward",
            reason: format!("{hook} was not kept by the forward pass"),
        })
    }

    /// Asks the tape to keep what the backward pass needs, and to drop what dropout drops.
    pub(super) fn ask(&mut self) {
        for block in &self.batch.model.blocks {
            let layer = block.layer;
            self.tape.keep(Hook::ResidPre(layer));
            self.tape.keep(rotated_queries(block));
            self.tape.keep(Hook::Z(layer));
            if block.mlp.is_some() {
                self.tape.keep(Hook::ResidMid(layer));
                self.tape.keep(Hook::MlpPre(layer));
            }
        }
        for hook in self.batch.dropped() {
            if let Some(drop) = self.batch.drop(hook) {
                self.tape.set_dropout(hook, drop);
            }
        }
    }
}

/// The queries that attention multiplies with keys: after rotation, if the layer rotates them.
fn rotated_queries(block: &Block) -> Hook {
    if block.rope.is_some() { Hook::RotQ(block.layer) } else { Hook::Q(block.layer) }
}

/// A table as a weight matrix of the same layout.
fn as_weight(table: Tensor) -> Weight {
    let Tensor { buffer, rows, columns } = table;
    let shards = vec![WeightShard { first: 0, rows, planes: vec![buffer] }];
    Weight { name: "positions".to_owned(), format: Format::F32, rows, columns, shards }
}
