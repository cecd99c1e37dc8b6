//! How much of the ceilings a benchmark reaches.

use pellucid::format::Format;
use pellucid::model::Model;
use pellucid::ops::Weight;
use pellucid::tune::Ceilings;
use serde::Serialize;

use super::case::BATCH;
use super::{Report, Speed};

/// The share of its ceiling that each case reaches; null without a GPU.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Shares {
    pub(crate) pp128: Option<f64>,
    pub(crate) pp512: Option<f64>,
    pub(crate) tg64: Option<f64>,
    pub(crate) batch4: Option<f64>,
}

impl Shares {
    /// From speeds and counters of the report.
    pub(crate) fn new(report: &Report, work: &Work, ceilings: &Ceilings) -> Self {
        let tok_s = |speed: &Option<Speed>| speed.as_ref().map(|speed| speed.median_tok_s);
        let prefill = |speed| tok_s(speed).map(|tok_s| work.prefill(tok_s, ceilings));
        let bytes = report.counters.map(|counters| counters.weight_bytes_per_token);
        let decode =
            |speed, sequences| work.decode(bytes?, tok_s(speed)? / sequences as f64, ceilings);
        Self {
            pp128: prefill(&report.pp128),
            pp512: prefill(&report.pp512),
            tg64: decode(&report.tg64, 1),
            batch4: decode(&report.batch4, BATCH),
        }
    }
}

/// What a model needs of an adapter per token.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    /// Bytes of the matrices that a decode step reads, by format.
    mix: Vec<(Format, u64)>,
    /// Parameters that each row of a prompt is multiplied by. The head is not included: it runs on
    /// the prompt's last row only.
    parameters: f64,
}

impl Work {
    pub(crate) fn new(model: &Model) -> Self {
        let matrices: Vec<&Weight> = model.maps().map(|map| &map.weight).collect();
        let parameters = matrices.iter().map(|weight| (weight.rows * weight.columns) as f64).sum();
        let all = matrices.into_iter().chain([model.head()]);
        let mix = all.map(|weight| (weight.format, weight.bytes())).collect();
        Self { mix, parameters }
    }

    /// The share of the unpack rate that decoding reaches: each step reads every weight once.
    pub(crate) fn decode(&self, bytes: f64, steps_s: f64, ceilings: &Ceilings) -> Option<f64> {
        let rate = ceilings.unpack_rate(&self.mix)?;
        Some(bytes * steps_s / (rate * 1e9))
    }

    /// The share of the arithmetic rate that prefill reaches.
    pub(crate) fn prefill(&self, tok_s: f64, ceilings: &Ceilings) -> f64 {
        2.0 * self.parameters * tok_s / (ceilings.gflop_s * 1e9)
    }
}
