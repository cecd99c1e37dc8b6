//! The forward page: a decoder-only transformer from top to bottom, for every family.
//!
//! The unit of work is a row: a token at a position of a sequence. Prefill, decode and batches are
//! the same page over different rows; which kernel runs is the op's affair.
//!
//! A mark names a value. Where somebody asked for one that a fused kernel never writes, the page
//! takes the longer way through `unfused`; otherwise names cost nothing.

use crate::config::{Nonlinearity, Norm};
use crate::error::Result;
use crate::gpu::{BufferId, Tensor};
use crate::names::Hook;
use crate::ops::{
    Activate, Add, Attention, Cache, Columns, Embed, Gated, Gather, HeadNorm, LayerNorm, Linear,
    RmsNorm, Rope, Store,
};

use super::{Block, Map, MlpWeights, Model, NormWeights, Tape, unfused};

/// Records the residual stream of `count` rows after the final norm, (T, C).
///
/// `rows` holds token, position, sequence and step of each row; `caches` one cache a layer.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if the model's tensors do not fit together.
pub fn forward(
    tape: &mut Tape<'_>,
    model: &Model,
    caches: &[Cache],
    rows: BufferId,
    count: usize,
) -> Result<Tensor> {
    let x = layers(tape, model, caches, rows, count)?;
    norm(tape, model, &model.final_norm, x, (Hook::LnFinalScale, Hook::LnFinalNormalized))
}

/// The same as the last layer leaves it, before the final norm.
///
/// # Errors
/// As [`forward`].
pub fn layers(
    tape: &mut Tape<'_>,
    model: &Model,
    caches: &[Cache],
    rows: BufferId,
    count: usize,
) -> Result<Tensor> {
    let x = embed(tape, model, rows, count)?;
    for (layer, block) in model.blocks.iter().enumerate() {
        tape.mark(Hook::ResidPre(layer), Columns::all(x))?;
        let names = (Hook::Ln1Scale(layer), Hook::Ln1Normalized(layer));
        let normed = norm(tape, model, &block.norm1, x, names)?;
        // Side by side, the perceptron reads the stream before attention has added to it.
        let beside = match &block.norm2 {
            Some(norm2) if model.config.parallel => Some(norm_2(tape, model, norm2, layer, x)?),
            _ => None,
        };
        let z = attention(tape, model, block, layer, &caches[layer], rows, normed)?;
        let post = Post {
            norm: block.post_norm1.as_ref(),
            names: (Hook::Ln1PostScale(layer), Hook::Ln1PostNormalized(layer)),
            sum: Hook::AttnOut(layer),
        };
        if tape.wants(Hook::Result(layer)) {
            let summand = unfused::heads(tape, model, block, layer, z)?;
            add(tape, model, summand, &post, x)?;
        } else {
            add_linear(tape, model, linear(z, &block.out, x), &post)?;
        }
        if let (Some(norm2), Some(mlp)) = (&block.norm2, &block.mlp) {
            let normed = match beside {
                Some(normed) => normed,
                None => {
                    tape.mark(Hook::ResidMid(layer), Columns::all(x))?;
                    norm_2(tape, model, norm2, layer, x)?
                }
            };
            let (hidden, down) = perceptron(tape, mlp, layer, normed)?;
            let post = Post {
                norm: block.post_norm2.as_ref(),
                names: (Hook::Ln2PostScale(layer), Hook::Ln2PostNormalized(layer)),
                sum: Hook::MlpOut(layer),
            };
            add_linear(tape, model, linear(hidden, down, x), &post)?;
        }
        tape.mark(Hook::ResidPost(layer), Columns::all(x))?;
    }
    Ok(x)
}

/// Records logits, (N, V), of the rows of `x` that `index` names, or of all of them.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if the shapes do not fit.
pub fn logits(
    tape: &mut Tape<'_>,
    model: &Model,
    x: Tensor,
    index: Option<BufferId>,
    out: Tensor,
) -> Result<()> {
    let mut chosen = x;
    if index.is_some() {
        chosen = tape.tensor(out.rows, x.columns);
        tape.push(Gather { x: Columns::all(x), index, out: chosen })?;
    }
    let store = model.config.logit_softcap.map_or(Store::Write, Store::SoftCap);
    tape.push(Linear { x: chosen, weight: model.head(), bias: model.head_bias, store, out })
}

/// Tokens, and learned positions, to vectors.
fn embed(tape: &mut Tape<'_>, model: &Model, rows: BufferId, count: usize) -> Result<Tensor> {
    let out = tape.tensor(count, model.config.width);
    if tape.wants(Hook::Embed) || tape.wants(Hook::PosEmbed) {
        unfused::embed(tape, model, rows, out)?;
    } else {
        let (table, scale) = (&model.embed, model.config.embed_scale);
        tape.push(Embed { rows, table, scale, positions: model.positions, out })?;
    }
    Ok(out)
}

/// The model's kind of norm; the names are those of its divisor and of x before gain and bias.
pub(crate) fn norm(
    tape: &mut Tape<'_>,
    model: &Model,
    weights: &NormWeights,
    x: Tensor,
    names: (Hook, Hook),
) -> Result<Tensor> {
    if tape.wants(names.0) || tape.wants(names.1) {
        return unfused::norm(tape, model, weights, x, names);
    }
    let out = tape.tensor(x.rows, x.columns);
    let (eps, gain) = (model.config.norm_eps, weights.gain);
    match model.config.norm {
        Norm::LayerNorm => {
            let affine = weights.bias.map(|bias| (gain, bias));
            tape.push(LayerNorm { x, affine, eps, out })?;
        }
        Norm::RmsNorm => tape.push(RmsNorm { x, gain: Some(gain), eps, out })?,
    }
    Ok(out)
}

/// The norm before the perceptron.
fn norm_2(
    tape: &mut Tape<'_>,
    model: &Model,
    weights: &NormWeights,
    layer: usize,
    x: Tensor,
) -> Result<Tensor> {
    norm(tape, model, weights, x, (Hook::Ln2Scale(layer), Hook::Ln2Normalized(layer)))
}

/// The way of what a sub-layer gives to the residual stream.
struct Post<'m> {
    /// A norm on the way.
    norm: Option<&'m NormWeights>,
    /// What that norm's divisor is called, and its value before the gain.
    names: (Hook, Hook),
    /// What is added in the end.
    sum: Hook,
}

/// Adds a linear map's output to the residual stream, its `out`: within the map's own kernel if
/// nothing is to happen on the way.
fn add_linear(tape: &mut Tape<'_>, model: &Model, map: Linear<'_>, post: &Post<'_>) -> Result<()> {
    if post.norm.is_none() && !tape.wants(post.sum) {
        return tape.push(Linear { store: Store::Add, ..map });
    }
    let summand = tape.tensor(map.out.rows, map.out.columns);
    tape.push(Linear { out: summand, ..map })?;
    add(tape, model, summand, post, map.out)
}

/// Adds what a sub-layer gives to the residual stream `x`.
fn add(
    tape: &mut Tape<'_>,
    model: &Model,
    mut summand: Tensor,
    post: &Post<'_>,
    x: Tensor,
) -> Result<()> {
    if let Some(weights) = post.norm {
        summand = norm(tape, model, weights, summand, post.names)?;
    }
    tape.mark(post.sum, Columns::all(summand))?;
    tape.push(Add { x: summand, out: x })
}

/// Queries, keys and values; rotation; the cache; attention over it. Gives z, (T, H·D).
fn attention(
    tape: &mut Tape<'_>,
    model: &Model,
    block: &Block,
    layer: usize,
    cache: &Cache,
    rows: BufferId,
    x: Tensor,
) -> Result<Tensor> {
    let config = &model.config;
    let out = tape.tensor(x.rows, config.q_width());
    let turned = match straight_to_cache(tape, model, block, layer, cache) {
        Some(map) => {
            let store = Store::Cache { rows, cache };
            tape.push(Linear { store, ..linear(x, map, out) })?;
            out
        }
        None => queries(tape, model, block, layer, cache, rows, x, out)?,
    };
    let z = tape.tensor(x.rows, config.q_width());
    let window = config.window(layer);
    let (scale, softcap) = (config.attention_scale(), config.attention_softcap);
    let fused = Attention { rows, q: turned, cache, window, scale, softcap, out: z };
    if tape.wants(Hook::AttnScores(layer)) || tape.wants(Hook::Pattern(layer)) {
        unfused::attention(tape, layer, fused)?;
    } else {
        tape.push(fused)?;
    }
    tape.mark(Hook::Z(layer), Columns::all(z))?;
    Ok(z)
}

/// The joined map of queries, keys and values, if its epilogue can fill the cache: nothing turns,
/// heads are whole fours, the cache is in one part, and nobody asked for the values by name.
fn straight_to_cache<'m>(
    tape: &Tape<'_>,
    model: &Model,
    block: &'m Block,
    layer: usize,
    cache: &Cache,
) -> Option<&'m Map> {
    let asked = [Hook::Q(layer), Hook::K(layer), Hook::V(layer)].iter().any(|h| tape.wants(*h));
    let plain = block.rope.is_none() && block.qk_norm.is_none();
    let whole = model.config.head_width.is_multiple_of(4) && cache.parts.len() == 1;
    match block.qkv.as_slice() {
        [all] if plain && whole && !asked => Some(&all.map),
        _ => None,
    }
}

/// Queries, keys and values on their own; heads normalised and turned; the cache filled.
/// Gives the queries, (T, H·D), in `out`.
#[allow(clippy::too_many_arguments, reason = "the inner half of `attention`, which has them all")]
fn queries(
    tape: &mut Tape<'_>,
    model: &Model,
    block: &Block,
    layer: usize,
    cache: &Cache,
    rows: BufferId,
    x: Tensor,
    out: Tensor,
) -> Result<Tensor> {
    let config = &model.config;
    let widths = [config.q_width(), config.kv_width(), config.kv_width()];
    let mut qkv = [None; 3];
    for joined in &block.qkv {
        let rows = tape.tensor(x.rows, joined.map.weight.rows);
        tape.push(linear(x, &joined.map, rows))?;
        let mut start = 0;
        for &which in &joined.holds {
            qkv[which] = Some(Columns::range(rows, start, widths[which]));
            start += widths[which];
        }
    }
    let [Some(q), Some(k), Some(v)] = qkv else { return Ok(x) };
    tape.mark(Hook::Q(layer), q)?;
    tape.mark(Hook::K(layer), k)?;
    tape.mark(Hook::V(layer), v)?;
    if let Some(gains) = block.qk_norm {
        let eps = config.norm_eps;
        if q.of == k.of && q.start + q.count == k.start {
            let both = Columns::range(q.of, q.start, q.count + k.count);
            tape.push(HeadNorm { x: both, queries: config.heads, gains, eps })?;
        } else {
            tape.push(HeadNorm { x: q, queries: config.heads, gains, eps })?;
            tape.push(HeadNorm { x: k, queries: 0, gains, eps })?;
        }
    }
    let rope = Rope { rows, q, k, v, table: block.rope, cache, out };
    tape.push(rope)?;
    if block.rope.is_some() {
        tape.mark(Hook::RotQ(layer), Columns::all(out))?;
    }
    if tape.wants(Hook::RotK(layer)) {
        unfused::turned_keys(tape, layer, rope)?;
    }
    Ok(out)
}

/// The perceptron up to its last map, which adds to the residual stream.
fn perceptron<'m>(
    tape: &mut Tape<'_>,
    mlp: &'m MlpWeights,
    layer: usize,
    x: Tensor,
) -> Result<(Tensor, &'m Map)> {
    let pre = Hook::MlpPre(layer);
    let unfused = tape.wants(pre) || tape.wants(Hook::MlpPreLinear(layer));
    let down = match mlp {
        MlpWeights::Plain { down, .. }
        | MlpWeights::Gated { down, .. }
        | MlpWeights::GatedApart { down, .. } => down,
    };
    let out = tape.tensor(x.rows, down.weight.columns);
    match mlp {
        MlpWeights::Plain { up, function, .. } if !unfused => {
            tape.push(Linear { store: Store::Apply(*function), ..linear(x, up, out) })?;
        }
        MlpWeights::Plain { up, function, .. } => {
            let before = tape.tensor(out.rows, out.columns);
            tape.push(linear(x, up, before))?;
            tape.mark(pre, Columns::all(before))?;
            tape.push(Activate { x: before, function: *function, out })?;
        }
        MlpWeights::Gated { gate_up, function, .. } if !unfused => {
            tape.push(Linear { store: Store::Gated(*function), ..linear(x, gate_up, out) })?;
        }
        MlpWeights::Gated { gate_up, function, .. } => {
            let both = tape.tensor(x.rows, gate_up.weight.rows);
            tape.push(linear(x, gate_up, both))?;
            let gate = Columns { of: both, start: 0, count: out.columns, step: 2 };
            gated(tape, layer, [gate, Columns { start: 1, ..gate }], *function, out)?;
        }
        MlpWeights::GatedApart { gate, up, function, .. } => {
            let (g, u) = (tape.tensor(x.rows, out.columns), tape.tensor(x.rows, out.columns));
            tape.push(linear(x, gate, g))?;
            tape.push(linear(x, up, u))?;
            gated(tape, layer, [Columns::all(g), Columns::all(u)], *function, out)?;
        }
    }
    tape.mark(Hook::MlpPost(layer), Columns::all(out))?;
    Ok((out, down))
}

/// f(gate) ⊙ up on its own.
fn gated(
    tape: &mut Tape<'_>,
    layer: usize,
    [gate, up]: [Columns; 2],
    function: Nonlinearity,
    out: Tensor,
) -> Result<()> {
    tape.mark(Hook::MlpPre(layer), gate)?;
    tape.mark(Hook::MlpPreLinear(layer), up)?;
    tape.push(Gated { gate, up, function, out })
}

fn linear<'m>(x: Tensor, map: &'m Map, out: Tensor) -> Linear<'m> {
    Linear { x, weight: &map.weight, bias: map.bias, store: Store::Write, out }
}
