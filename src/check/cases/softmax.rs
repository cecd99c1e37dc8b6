//! The attention pattern, written out.

use crate::check::device::{Device, to_f64};
use crate::error::Result;
use crate::ops::{self, MASKED};
use crate::reference as twin;

use super::attention_rows::{AttentionRows, Inputs};
use super::case::{Case, Tables};

/// The pattern of some rows, from the twin's scores; those of the first are all hidden, as an edit
/// may hide them.
#[derive(Clone, Debug)]
pub struct Softmax(pub AttentionRows);

impl Case for Softmax {
    fn run(&self, device: &mut Device) -> Result<()> {
        let Self(case) = self;
        let inputs = case.upload(device)?;
        let &Inputs { rows, ref q, extent, size, .. } = &inputs;
        let &AttentionRows { window, context, .. } = case;
        let heads = size.heads;
        let finite = |x: f64| if x.is_finite() { x as f32 } else { MASKED };
        let mut scores: Vec<f32> = inputs.scores(&case.positions).into_iter().map(finite).collect();
        scores[..context].fill(MASKED);
        let x = device.tensor(heads * q.rows, context, &scores)?;
        let out = device.output(heads * q.rows, context)?;
        if device.run(&ops::Softmax { rows, x, heads, window, out }, extent)? {
            let mut scores = to_f64(&scores);
            let hidden = scores.iter_mut().filter(|score| **score <= f64::from(MASKED));
            hidden.for_each(|score| *score = f64::NEG_INFINITY);
            device.expect(&out, twin::softmax(&scores, context))?;
        }
        Ok(())
    }
}

impl Tables for Softmax {
    fn variants() -> Vec<Self> {
        AttentionRows::table().into_iter().map(Self).collect()
    }
}
