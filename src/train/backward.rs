//! The backward page: the forward page from the bottom to the top, for every family.
//!
//! What a derivative needs was kept on the way forward, or is in the cache (keys and values), or is
//! made again from what was kept: norms and activation functions cost less than the memory they
//! would take. Gradients of parameters add up in a model of their own; that of the residual stream,
//! `dx`, changes in place, as the stream itself does.

use crate::config::{Config, Norm};
use crate::error::{Error, Result};
use crate::gpu::{BufferId, Tensor};
use crate::model::{Block, Drop, Map, MlpWeights, Model, NormWeights, Tape, norm};
use crate::names::Format;
use crate::names::Hook;
use crate::ops::{
    Activate, ActivateBackward, AttentionBackward, BiasBackward, Cache, Columns, Dropout,
    EmbedBackward, GainBackward, Gated, GatedBackward, Gather, LayerNormBackward,
    MAX_TRAINED_HEAD_WIDTH, MatmulBackwardW, MatmulBackwardX, RmsNormBackward, RopeBackward,
    Weight, WeightPart,
};

/// What both pages share of a micro-batch: sequences of `length` rows, one after another.
pub(super) struct Pass<'a> {
    pub(super) model: &'a Model,
    /// Of the same shapes, with gradients in place of weights.
    pub(super) gradients: &'a Model,
    /// One a layer.
    pub(super) caches: &'a [Cache],
    /// (T): token, position, sequence and step of each row.
    pub(super) rows: BufferId,
    /// Which rows hold which token, and which position.
    pub(super) tokens: Runs,
    pub(super) positions: Runs,
    /// Rows of a sequence.
    pub(super) length: usize,
    pub(super) dropout: Option<Dropping>,
}

/// Rows in the order of what they hold, as `EmbedBackward` takes them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs {
    pub(super) runs: BufferId,
    pub(super) order: BufferId,
}

/// How much is dropped, and the words that decide what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dropping {
    pub(super) probability: f64,
    pub(super) draw: BufferId,
}

/// Fails for what the page below does not derive.
///
/// # Errors
/// [`Error::Unsupported`], naming it.
pub(super) fn check(config: &Config) -> Result<()> {
    let lacking = [
        (config.qk_norm, "norms of queries and keys"),
        (config.post_norms, "norms after the sub-layers"),
        (config.parallel, "attention and perceptron side by side"),
        (config.logit_softcap.is_some(), "softly bounded logits"),
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

impl Pass<'_> {
    /// Asks the tape to keep what the way back needs, and to drop what is to be dropped.
    pub(super) fn ask(&self, tape: &mut Tape<'_>) {
        for layer in 0..self.model.blocks.len() {
            let block = &self.model.blocks[layer];
            tape.keep(Hook::ResidPre(layer));
            tape.keep(queries(block, layer));
            tape.keep(Hook::Z(layer));
            if block.mlp.is_some() {
                tape.keep(Hook::ResidMid(layer));
                tape.keep(Hook::MlpPre(layer));
            }
        }
        for hook in self.dropped() {
            if let Some(drop) = self.drop(hook) {
                tape.drop_some(hook, drop);
            }
        }
    }

    /// Where values are dropped: the embedding, and what each sub-layer adds to the stream.
    fn dropped(&self) -> Vec<Hook> {
        let layers = 0..self.model.blocks.len();
        let sums = layers.flat_map(|layer| {
            let mlp = self.model.blocks[layer].mlp.is_some().then_some(Hook::MlpOut(layer));
            [Some(Hook::AttnOut(layer)), mlp].into_iter().flatten()
        });
        // Without layers there is nothing after the embedding that could make up for it.
        let first = (!self.model.blocks.is_empty()).then_some(Hook::ResidPre(0));
        first.into_iter().chain(sums).collect()
    }

    /// What of a value is dropped, if anything is.
    fn drop(&self, hook: Hook) -> Option<Drop> {
        let Dropping { probability, draw } = self.dropout?;
        let site = match hook {
            Hook::AttnOut(layer) => 2 * layer as u32 + 1,
            Hook::MlpOut(layer) => 2 * layer as u32 + 2,
            _ => 0,
        };
        Some(Drop { probability, draw, site })
    }

    /// The derivative of what a sub-layer added, by that of the stream: the same, but for what was
    /// dropped.
    fn summand(&self, tape: &mut Tape<'_>, hook: Hook, dx: Tensor) -> Result<Tensor> {
        let Some(Drop { probability, draw, site }) = self.drop(hook) else { return Ok(dx) };
        let out = tape.tensor(dx.rows, dx.columns);
        tape.push(Gather { x: Columns::all(dx), index: None, out })?;
        tape.push(Dropout { x: out, probability, draw, site })?;
        Ok(out)
    }

    /// Records the derivatives of all layers and of the embedding, by that of the residual stream
    /// after the last one, `dx`, (T, C).
    pub(super) fn layers(&self, tape: &mut Tape<'_>, dx: Tensor) -> Result<()> {
        let blocks = self.model.blocks.iter().zip(&self.gradients.blocks);
        for (layer, (block, gradient)) in blocks.enumerate().rev() {
            self.perceptron(tape, layer, block, gradient, dx)?;
            self.attention(tape, layer, block, gradient, dx)?;
        }
        if let Some(Drop { probability, draw, site }) = self.drop(Hook::ResidPre(0))
            && !self.model.blocks.is_empty()
        {
            tape.push(Dropout { x: dx, probability, draw, site })?;
        }
        self.embedding(tape, dx)
    }

    /// Tokens, and learned positions.
    fn embedding(&self, tape: &mut Tape<'_>, dy: Tensor) -> Result<()> {
        let Runs { runs, order } = self.tokens;
        let scale = self.model.config.embed_scale.map_or(1.0, f64::from);
        let table = &self.gradients.embed;
        tape.push(EmbedBackward { runs, order, dy, scale, table })?;
        if let Some(positions) = self.gradients.positions {
            let Runs { runs, order } = self.positions;
            let table = &as_weight(positions);
            tape.push(EmbedBackward { runs, order, dy, scale: 1.0, table })?;
        }
        Ok(())
    }

    fn perceptron(
        &self,
        tape: &mut Tape<'_>,
        layer: usize,
        block: &Block,
        gradient: &Block,
        dx: Tensor,
    ) -> Result<()> {
        let weights = (&block.norm2, &gradient.norm2, &block.mlp, &gradient.mlp);
        let (Some(norm2), Some(norm2_gradient), Some(mlp), Some(mlp_gradient)) = weights else {
            return Ok(());
        };
        let dy = self.summand(tape, Hook::MlpOut(layer), dx)?;
        let pre = kept(tape, Hook::MlpPre(layer))?;
        let x = kept(tape, Hook::ResidMid(layer))?.of;
        let names = (Hook::Ln2Scale(layer), Hook::Ln2Normalized(layer));
        let dnormed = match (mlp, mlp_gradient) {
            (
                MlpWeights::Plain { up, down, function },
                MlpWeights::Plain { up: up_gradient, down: down_gradient, .. },
            ) => {
                let (before, function) = (pre.of, *function);
                let post = tape.tensor(before.rows, before.columns);
                tape.push(Activate { x: before, function, out: post })?;
                let dpost = linear(tape, down, down_gradient, post, dy)?;
                let dpre = tape.tensor(before.rows, before.columns);
                tape.push(ActivateBackward { x: before, dy: dpost, function, out: dpre })?;
                let normed = norm(tape, self.model, norm2, x, names)?;
                linear(tape, up, up_gradient, normed, dpre)?
            }
            (
                MlpWeights::Gated { gate_up, down, function },
                MlpWeights::Gated { gate_up: gate_up_gradient, down: down_gradient, .. },
            ) => {
                let (both, function) = (pre.of, *function);
                let post = tape.tensor(both.rows, pre.count);
                let up = Columns { start: 1, ..pre };
                tape.push(Gated { gate: pre, up, function, out: post })?;
                let dpost = linear(tape, down, down_gradient, post, dy)?;
                let dboth = tape.tensor(both.rows, both.columns);
                tape.push(GatedBackward { both, dy: dpost, function, out: dboth })?;
                let normed = norm(tape, self.model, norm2, x, names)?;
                linear(tape, gate_up, gate_up_gradient, normed, dboth)?
            }
            _ => return Err(apart("gate and up")),
        };
        norm_backward(tape, self.model, (norm2, norm2_gradient), x, dnormed, Some(dx))?;
        Ok(())
    }

    fn attention(
        &self,
        tape: &mut Tape<'_>,
        layer: usize,
        block: &Block,
        gradient: &Block,
        dx: Tensor,
    ) -> Result<()> {
        let config = &self.model.config;
        let ([map], [map_gradient]) = (&block.qkv[..], &gradient.qkv[..]) else {
            return Err(apart("queries, keys and values"));
        };
        let dy = self.summand(tape, Hook::AttnOut(layer), dx)?;
        let (z, q) = (kept(tape, Hook::Z(layer))?.of, kept(tape, queries(block, layer))?);
        let dz = linear(tape, &block.out, &gradient.out, z, dy)?;
        let q = match q.of.columns == q.count {
            true => q.of,
            // Of queries beside keys and values only the queries are wanted.
            false => {
                let out = tape.tensor(q.of.rows, q.count);
                tape.push(Gather { x: q, index: None, out })?;
                out
            }
        };
        let dq = tape.tensor(z.rows, config.q_width());
        let [dk, dv] = [(); 2].map(|()| tape.tensor(z.rows, config.kv_width()));
        let stats = tape.tensor(z.rows, 2 * config.heads);
        tape.push(AttentionBackward {
            q,
            cache: &self.caches[layer],
            window: config.window(layer),
            scale: config.attention_scale(),
            softcap: config.attention_softcap,
            z,
            dz,
            length: self.length,
            stats,
            dq,
            dk,
            dv,
        })?;
        let dqkv = tape.tensor(z.rows, map.map.weight.rows);
        let (rows, table, width) = (self.rows, block.rope, config.head_width);
        tape.push(RopeBackward { rows, dq, dk, dv, table, width, out: dqkv })?;
        let x = kept(tape, Hook::ResidPre(layer))?.of;
        let names = (Hook::Ln1Scale(layer), Hook::Ln1Normalized(layer));
        let normed = norm(tape, self.model, &block.norm1, x, names)?;
        let dnormed = linear(tape, &map.map, &map_gradient.map, normed, dqkv)?;
        norm_backward(tape, self.model, (&block.norm1, &gradient.norm1), x, dnormed, Some(dx))?;
        Ok(())
    }
}

/// What attention multiplies with keys: queries after they have turned, where they do.
fn queries(block: &Block, layer: usize) -> Hook {
    if block.rope.is_some() { Hook::RotQ(layer) } else { Hook::Q(layer) }
}

/// A value of the way forward.
fn kept(tape: &Tape<'_>, hook: Hook) -> Result<Columns> {
    tape.kept(hook).ok_or_else(|| Error::Shape {
        op: "backward",
        reason: format!("{hook} was not kept on the way forward"),
    })
}

fn apart(what: &str) -> Error {
    Error::unsupported(
        format!("training with {what} in matrices of different formats"),
        "a model loaded with every matrix in f32",
    )
}

/// The gradients of a linear map's parameters, and the derivative of its input x (T, inputs), by dy
/// (T, outputs).
fn linear(tape: &mut Tape<'_>, map: &Map, gradient: &Map, x: Tensor, dy: Tensor) -> Result<Tensor> {
    tape.push(MatmulBackwardW { dy, x, gradient: &gradient.weight })?;
    if let Some(out) = gradient.bias {
        tape.push(BiasBackward { dy, out })?;
    }
    let out = tape.tensor(x.rows, x.columns);
    tape.push(MatmulBackwardX { dy, weight: &map.weight, out, first: 0, add: false })?;
    Ok(out)
}

/// The gradients of a norm's parameters, and the derivative of its input x (T, C), which is added to
/// `onto` where it is given.
pub(super) fn norm_backward(
    tape: &mut Tape<'_>,
    model: &Model,
    (weights, gradient): (&NormWeights, &NormWeights),
    x: Tensor,
    dy: Tensor,
    onto: Option<Tensor>,
) -> Result<Tensor> {
    let (eps, gain, add) = (model.config.norm_eps, Some(weights.gain), onto.is_some());
    let dx = onto.unwrap_or_else(|| tape.tensor(x.rows, x.columns));
    let stats = tape.tensor(x.rows, 2);
    match model.config.norm {
        Norm::LayerNorm => tape.push(LayerNormBackward { x, gain, dy, eps, add, dx, stats })?,
        Norm::RmsNorm => tape.push(RmsNormBackward { x, gain, dy, eps, add, dx, stats })?,
    }
    tape.push(GainBackward { x, dy, stats, out: gradient.gain })?;
    if let Some(out) = gradient.bias {
        tape.push(BiasBackward { dy, out })?;
    }
    Ok(dx)
}

/// A table that lies as a matrix of weights does.
fn as_weight(table: Tensor) -> Weight {
    let Tensor { buffer, rows, columns } = table;
    let parts = vec![WeightPart { first: 0, rows, planes: vec![buffer] }];
    Weight { name: "positions".to_owned(), format: Format::F32, rows, columns, parts }
}
