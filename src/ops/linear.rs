//! A linear layer: `matvec` for a few rows, `matmul` for many; the weight's format selects the
//! decoder.

use crate::config::Nonlinearity;
use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, Tensor, params};

use super::activation::number;
use super::cache::{Cache, CacheShard};
use super::clear_padding::ClearPadding;
use super::kept::{keeping, kept_binding};
use super::op::{Op, check_shape, grid_1d, same_shape, to_u32};
use super::softcap::capped;
use super::weight::Weight;
use crate::select::{KernelSelection, kernel, part};

/// out = x Wᵀ + b, then the [`Epilogue`].
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a> {
    /// (T, C).
    pub x: Tensor,
    /// (N, C).
    pub weight: &'a Weight,
    /// (1, N).
    pub bias: Option<Tensor>,
    /// What happens to the products.
    pub epilogue: Epilogue<'a>,
    /// (T, N), or (T, N/2) for [`Epilogue::Gated`], or (T, H·D) for [`Epilogue::Cache`].
    pub out: Tensor,
}

/// What a linear layer does with its products, after the bias.
#[derive(Clone, Copy, Debug)]
pub enum Epilogue<'a> {
    /// Writes them.
    Write,
    /// Adds them to the output: the residual stream.
    Add {
        /// (T, N): gets the sum too, for a reader, if the output changes again before it is read.
        kept: Option<Tensor>,
    },
    /// Writes an activation function of them.
    Apply(Nonlinearity),
    /// Writes cap · tanh(y / cap) of each product y.
    SoftCap(f64),
    /// Rows of gate and up alternate: writes f(gate) ⊙ up.
    Gated(Nonlinearity),
    /// The products are queries, keys and values: writes the queries, and stores keys and values in
    /// the cache. For head widths that are multiples of four.
    Cache {
        /// (T): token, position, sequence and step of each row.
        rows: BufferId,
        /// The cache, in one part.
        cache: &'a Cache,
    },
}

impl Linear<'_> {
    /// Whether this number of rows counts as few: then lanes share the rows of the weights.
    pub fn is_few(rows: usize) -> bool {
        rows <= FEW
    }
}

/// The most rows for which [`Linear`] uses `matvec`.
const FEW: usize = 8;

params! {
    struct Params {
        words: u32,
        x_stride: u32,
        out_stride: u32,
        rows: u32,
        count: u32,
        first: u32,
    }
}

impl Op for Linear<'_> {
    fn record(&self, recording: &mut Recording, selection: &KernelSelection) -> Result<()> {
        let Self { x, weight, bias, epilogue, out } = self;
        let op = "linear";
        check_shape(x.columns == weight.columns, op, || {
            format!("x has {} columns, {} has {}", x.columns, weight.name, weight.columns)
        })?;
        let outputs = match epilogue {
            Epilogue::Gated(_) => {
                check_shape(weight.rows.is_multiple_of(2), op, || {
                    format!("{} has {} rows, not pairs of gate and up", weight.name, weight.rows)
                })?;
                weight.rows / 2
            }
            Epilogue::Cache { cache, .. } => {
                check_shape(cache.width.is_multiple_of(4), op, || {
                    format!("heads of {} values are not whole vec4s of the cache", cache.width)
                })?;
                check_shape(cache.shards.len() == 1, op, || {
                    format!("the cache has {} parts, not one", cache.shards.len())
                })?;
                weight.rows.saturating_sub(2 * cache.heads * cache.width)
            }
            _ => weight.rows,
        };
        check_shape((out.rows, out.columns) == (x.rows, outputs), op, || {
            format!("out is {} x {}, not {} x {outputs}", out.rows, out.columns, x.rows)
        })?;
        check_shape(bias.is_none_or(|bias| bias.columns == weight.rows), op, || {
            format!("the bias of {} does not have its {} rows", weight.name, weight.rows)
        })?;
        let kept = match epilogue {
            Epilogue::Add { kept } => *kept,
            _ => None,
        };
        kept.iter().try_for_each(|kept| same_shape(op, kept, out))?;
        // The kernels multiply whole words, padding too.
        ClearPadding { x: *x }.record(recording, selection)?;
        for piece in &weight.shards {
            let params = Params {
                words: weight.words(),
                x_stride: to_u32(x.stride() / 4),
                out_stride: to_u32(out.stride() / 4),
                rows: to_u32(x.rows),
                count: to_u32(piece.rows),
                first: to_u32(piece.first),
            };
            let (program, grid) = if x.rows <= FEW {
                let lanes = selection.lanes_for(weight.shape(x.rows));
                let program = lanes.apply(Program::new(kernel(lanes.kernel())));
                let groups = piece.rows.div_ceil(4).div_ceil(lanes.groups());
                (program.constant("COLS", to_u32(x.rows)), grid_1d(groups))
            } else {
                let tile = selection.tile(x.rows, piece.rows);
                let (program, n, t) = selection.matmul_for(weight.shape(x.rows)).program(tile);
                (program, [to_u32(piece.rows.div_ceil(n)), to_u32(x.rows.div_ceil(t)), 1])
            };
            let program = weight.decode(program).part(part("activation"));
            let program = match epilogue {
                Epilogue::Gated(function) => {
                    program.part(part("store_gated")).constant("ACTIVATION", number(*function))
                }
                Epilogue::Cache { cache, .. } => program
                    .part(part("store_cache"))
                    .part(cache.writer())
                    .constant("QUERY_VEC4S", outputs as f64 / 4.0)
                    .constant("KEY_VEC4S", (cache.heads * cache.width) as f64 / 4.0)
                    .constant("HEAD_VEC4S", cache.vec4s() as f64)
                    .constant("CONTEXT", cache.context as f64),
                Epilogue::Write
                | Epilogue::Add { .. }
                | Epilogue::Apply(_)
                | Epilogue::SoftCap(_) => {
                    let (function, cap) = match epilogue {
                        Epilogue::Apply(function) => (number(*function), None),
                        Epilogue::SoftCap(cap) => (0, Some(*cap)),
                        _ => (0, None),
                    };
                    let program = program
                        .part(part("store_plain"))
                        .constant("ADD", matches!(epilogue, Epilogue::Add { .. }))
                        .constant("ACTIVATION", function);
                    keeping(capped(program, cap), kept)
                }
            };
            let dispatch = recording
                .dispatch(program.constant("BIAS", bias.is_some()), &params)
                .read(0, x.buffer)
                .bind(1, Weight::bindings(piece))
                // Without a bias its slot holds x, which the kernel then ignores.
                .read(2, bias.unwrap_or(*x).buffer)
                .write(2, out.buffer)
                .weight_bytes(
                    weight.shard_bytes(piece) + bias.map_or(0, |_| piece.rows as u64 * 4),
                );
            match epilogue {
                Epilogue::Cache { rows, cache } => {
                    let written = cache.shards.iter().flat_map(CacheShard::writes);
                    dispatch.read(2, *rows).bind(3, written).grid(grid);
                }
                _ => dispatch.bind(3, kept_binding(kept)).grid(grid),
            }
        }
        Ok(())
    }
}
