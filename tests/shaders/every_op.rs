//! Every op over a sample of shapes, recorded for devices that lead to different selections.

use pellucid::config::{Nonlinearity, Norm};
use pellucid::format::Format;
use pellucid::gpu::{BufferId, Caps, Recording, Tensor};
use pellucid::ops::backward::{
    ActivateBackward, AdamW, AttentionBackward, BiasBackward, CastF16, Clip, CrossEntropy, Dropout,
    EmbedBackward, GainBackward, GatedBackward, LinearBackwardW, LinearBackwardX, NormBackward,
    RopeBackward, Sgd, SquareSum,
};
use pellucid::ops::{
    Activate, Add, Attention, AttentionMix, AttentionResult, AttentionScores, Cache, CacheFormat,
    CacheRows, Chosen, ClearPadding, Columns, Divergence, DivideRows, Embed, Epilogue, GainBias,
    Gated, Gather, HeadLayout, HeadNorm, LayerNorm, LayerNormCenter, Linear, LogProb, Mask, Op,
    Operand, Penalties, PosEmbed, Project, Region, RmsNorm, RmsScale, Rope, Sample, ScaleAdd,
    Softmax, SumHeads, TopK, Weight,
};
use pellucid::sampling::Sampling;
use pellucid::select::KernelSelection;

/// Devices that lead to different selections.
fn devices() -> [Caps; 4] {
    let subgroups = |size| Caps { subgroups: Some((size, size)), ..Caps::default() };
    [
        Caps { f16: true, ..Caps::default() },
        subgroups(32),
        Caps { software: true, ..Caps::default() },
        Caps { software: true, ..subgroups(8) },
    ]
}

/// What every op records, and the dispatches that measure a device's ceilings: one recording for
/// each selection of variants that a device may lead to.
pub(super) fn recordings() -> Vec<Recording> {
    let selection = devices().into_iter().flat_map(|caps| {
        let mut all = KernelSelection::all(&caps);
        all.push(KernelSelection::defaults(&caps));
        all
    });
    let mut all: Vec<Recording> = selection.map(|selection| Every::record(&selection)).collect();
    all.extend(pellucid::tune::ceilings());
    all
}

/// A recording that grows by one op after another.
struct Every<'a> {
    recording: Recording,
    selection: &'a KernelSelection,
}

fn vector(columns: usize) -> Tensor {
    Tensor::persistent(1, columns)
}

impl<'a> Every<'a> {
    fn record(selection: &'a KernelSelection) -> Recording {
        let mut every = Self { recording: Recording::new(), selection };
        for (count, width) in [(1, 64), (5, 96), (130, 768)] {
            every.norms(count, width);
            every.rows(count, width);
            every.head(count, width);
            let x = every.tensor(count, width);
            for format in Format::ALL.into_iter().filter(|format| width % format.block() == 0) {
                let table = Weight::named("table", format, 1000, width, 64 << 10);
                every.embed(x, &table);
                every.linear(x, &table);
                every.linear_backward(x, &table);
            }
        }
        for format in [CacheFormat::F32, CacheFormat::F16] {
            for (heads, kv_heads, width) in [(12, 12, 64), (9, 3, 64), (32, 4, 128), (5, 1, 7)] {
                let part = (100 * 2 * kv_heads * width * 4) as u64;
                for max_binding in [u64::MAX, part] {
                    let cache = Cache::named(format, [2, 300], [kv_heads, width], max_binding);
                    assert_eq!(cache.shards.len() > 1, max_binding < u64::MAX);
                    every.attention(heads, &cache);
                }
                let cache = Cache::named(format, [2, 300], [kv_heads, width], u64::MAX);
                every.attention_backward(heads, &cache);
            }
        }
        every.step();
        every.recording
    }

    fn tensor(&mut self, rows: usize, columns: usize) -> Tensor {
        self.recording.tensor(rows, columns)
    }

    fn push(&mut self, op: impl Op) {
        op.record(&mut self.recording, self.selection).expect("the sample's shapes fit");
    }

    /// The norms, step by step too, and their derivatives.
    fn norms(&mut self, count: usize, width: usize) {
        let [x, out, dy, dx] = [(); 4].map(|()| self.tensor(count, width));
        let (scale, stats, eps) = (self.tensor(count, 1), self.tensor(count, 2), 1e-5);
        self.push(LayerNormCenter { x, out });
        self.push(RmsScale { x, eps, out: scale });
        self.push(DivideRows { x, scale, out });
        for scaled in [false, true] {
            let affine = scaled.then(|| (vector(width), vector(width)));
            let gain = scaled.then(|| vector(width));
            self.push(LayerNorm { x, affine, eps, out });
            self.push(RmsNorm { x, gain, eps, out });
            self.push(GainBias { x, gain: vector(width), bias: gain, out });
            let add = scaled;
            for norm in [Norm::LayerNorm, Norm::RmsNorm] {
                self.push(NormBackward { norm, x, gain, dy, eps, add, dx, stats });
            }
        }
        self.push(GainBackward { x, dy, stats, out: vector(width) });
    }

    /// Ops that work value by value or row by row.
    fn rows(&mut self, count: usize, width: usize) {
        let [x, out, dy] = [(); 3].map(|()| self.tensor(count, width));
        let [half, half_dy] = [(); 2].map(|()| self.tensor(count, width / 2));
        let function = Nonlinearity::Gelu;
        for kept in [None, Some(dy)] {
            self.push(Add { x, out, kept });
        }
        self.push(ClearPadding { x: vector(width - 1) });
        self.push(Activate { x, function, out });
        self.push(ActivateBackward { x, dy, function, out });
        let gate = Columns { of: x, start: 0, count: width / 2, step: 2 };
        let up = Columns { start: 1, ..gate };
        self.push(Gated { gate, up, function, out: half });
        self.push(GatedBackward { both: x, dy: half_dy, function, out });
        for index in [None, Some(BufferId::fresh())] {
            self.push(Gather { x: Columns::all(x), index, out });
        }
        let operand = Operand { values: vector(width), by_position: false, by_head: false };
        let (rows, whole) = (BufferId::fresh(), Columns::all(x));
        for layout in [HeadLayout::InColumns(width), HeadLayout::InRows(count)] {
            let (heads, columns) = (0..1, 0..width);
            let region = Region { positions: 1..9, sequence: None, heads, columns, layout };
            self.push(ScaleAdd {
                rows,
                x: whole,
                region: region.clone(),
                scale: 0.5,
                add: operand,
            });
            self.push(Project { rows, x: whole, region, direction: operand });
        }
        let draw = BufferId::fresh();
        self.push(Dropout { x, probability: 0.1, draw, site: 3 });
    }

    /// Ops on logits.
    fn head(&mut self, count: usize, vocab: usize) {
        let fresh = BufferId::fresh;
        let [logits, out] = [(); 2].map(|()| self.tensor(count, vocab));
        self.push(LogProb { logits, targets: fresh(), out: fresh() });
        self.push(Divergence { logits, last: out, wanted: 0, out: fresh() });
        let (targets, losses, share) = (fresh(), fresh(), fresh());
        self.push(CrossEntropy { logits, targets, first: 0, losses, share });
        let warm = Sampling { temperature: 0.7, top_k: 5, top_p: 0.9, ..Sampling::default() };
        for sampling in [Sampling { temperature: 0.0, ..warm }, warm] {
            self.push(Penalties { logits, counts: fresh(), sampling, out });
            for counts in [None, Some(fresh())] {
                let (rows, ids) = (fresh(), fresh());
                self.push(Sample { logits, rows, counts, sampling, ids, ring: 4 });
            }
        }
        for chosen in [None, Some(Chosen { rows: fresh(), ring: 4 })] {
            self.push(TopK { logits, k: 3, chosen, out: fresh() });
        }
    }

    fn embed(&mut self, out: Tensor, table: &Weight) {
        let rows = BufferId::fresh();
        for positions in [None, Some(Tensor::persistent(256, table.columns))] {
            for scale in [None, Some(8.0)] {
                self.push(Embed { rows, table, scale, positions, out });
            }
        }
        self.push(PosEmbed { rows, positions: Tensor::persistent(256, table.columns), out });
    }

    /// Every epilogue, with and without a bias; and the results per head.
    fn linear(&mut self, x: Tensor, weight: &Weight) {
        let width = weight.rows / 4 * 4 / 3 / 4 * 4;
        let cache = Cache::named(CacheFormat::F32, [1, 9], [1, width], u64::MAX);
        let kept = self.tensor(x.rows, weight.rows);
        for store in [
            Epilogue::Write,
            Epilogue::Add { kept: None },
            Epilogue::Add { kept: Some(kept) },
            Epilogue::Apply(Nonlinearity::GeluTanh),
            Epilogue::SoftCap(30.0),
            Epilogue::Gated(Nonlinearity::Silu),
            Epilogue::Cache { rows: BufferId::fresh(), cache: &cache },
        ] {
            for bias in [None, Some(vector(weight.rows))] {
                let columns = match store {
                    Epilogue::Gated(_) => weight.rows / 2,
                    Epilogue::Cache { .. } => weight.rows - 2 * width,
                    _ => weight.rows,
                };
                let out = self.tensor(x.rows, columns);
                self.push(Linear { x, weight, bias, epilogue: store, out });
            }
        }
        let out = self.tensor(x.rows, 4 * weight.rows);
        self.push(AttentionResult { z: x, weight, heads: 4, out });
        let sum = self.tensor(x.rows, weight.rows);
        for bias in [None, Some(vector(weight.rows))] {
            self.push(SumHeads { x: out, heads: 4, bias, out: sum });
        }
    }

    /// The derivatives of a linear layer and of an embedding, if the format has them.
    fn linear_backward(&mut self, x: Tensor, weight: &Weight) {
        let dy = self.tensor(x.rows, weight.rows);
        if matches!(weight.format, Format::F32 | Format::F16) {
            for add in [false, true] {
                let out = self.tensor(x.rows, x.columns);
                self.push(LinearBackwardX { dy, weight, out, first: 0, add });
            }
        }
        if weight.format == Format::F32 {
            self.push(LinearBackwardW { dy, x, gradient: weight });
            self.push(BiasBackward { dy, out: vector(weight.rows) });
            let (runs, order) = (BufferId::fresh(), BufferId::fresh());
            self.push(EmbedBackward { runs, order, dy: x, scale: 1.0, table: weight });
        }
    }

    /// Head norms, rotation and attention over joined queries, keys and values.
    fn attention(&mut self, heads: usize, cache: &Cache) {
        let (rows, kv_heads, width) = (BufferId::fresh(), cache.heads, cache.width);
        let (q_width, kv_width) = (heads * width, kv_heads * width);
        for count in [1, 8, 100] {
            let joined = self.tensor(count, q_width + 2 * kv_width);
            let both = Columns::range(joined, 0, q_width + kv_width);
            let gains = Tensor::persistent(2, width);
            self.push(HeadNorm { x: both, queries: heads, gains, eps: 1e-6 });
            let q = Columns::range(joined, 0, q_width);
            let k = Columns::range(joined, q_width, kv_width);
            let v = Columns::range(joined, q_width + kv_width, kv_width);
            let [turned, z] = [(); 2].map(|()| self.tensor(count, q_width));
            for table in [None, Some((BufferId::fresh(), width / 2 * 2))] {
                self.push(Rope { rows, q, k, v, table, cache, out: turned });
            }
            let keys = self.tensor(count, kv_width);
            self.push(CacheRows { rows, cache, out: keys });
            let [scores, pattern] = [(); 2].map(|()| self.tensor(heads * count, 300));
            for (window, softcap) in [(None, None), (Some(16), Some(50.0))] {
                let (q, mask) = (turned, Mask { window, scale: 0.125, softcap });
                self.push(Attention { rows, q, cache, mask, out: z });
                self.push(AttentionScores { rows, q, cache, mask, out: scores });
                self.push(Softmax { rows, x: scores, heads, window, out: pattern });
            }
            self.push(AttentionMix { rows, pattern, cache, out: z });
        }
    }

    /// The derivatives of attention and of rotation, over two sequences of fifty rows.
    fn attention_backward(&mut self, heads: usize, cache: &Cache) {
        let (count, width) = (100, cache.width);
        let (queries, keys) = (heads * width, cache.heads * width);
        let [q, z, dz, dq] = [(); 4].map(|()| self.tensor(count, queries));
        let [dk, dv] = [(); 2].map(|()| self.tensor(count, keys));
        let stats = self.tensor(count, 2 * heads);
        for (window, softcap) in [(None, None), (Some(16), Some(50.0))] {
            let (mask, length) = (Mask { window, scale: 0.125, softcap }, 50);
            self.push(AttentionBackward { q, cache, mask, z, dz, length, stats, dq, dk, dv });
        }
        let out = self.tensor(count, queries + 2 * keys);
        for table in [None, Some((BufferId::fresh(), width / 2 * 2))] {
            let rows = BufferId::fresh();
            self.push(RopeBackward { rows, dq, dk, dv, table, width, out });
        }
    }

    /// The ops of an optimizer step.
    fn step(&mut self) {
        let fresh = BufferId::fresh;
        let (parameters, gradient, count) = (fresh(), fresh(), 4096);
        let (partials, settings, clip) = (fresh(), fresh(), fresh());
        self.push(SquareSum { values: gradient, count, out: partials, slot: 0 });
        self.push(Clip { partials, count: 1, settings, out: clip });
        for decays in [false, true] {
            let (mean, square) = (fresh(), fresh());
            self.push(AdamW { parameters, gradient, mean, square, count, settings, clip, decays });
        }
        self.push(Sgd { parameters, gradient, count, settings, clip });
        self.push(CastF16 { values: parameters, count, out: fresh() });
    }
}
