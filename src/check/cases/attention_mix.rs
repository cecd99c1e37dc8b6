//! Values mixed by the attention pattern.

use crate::check::device::{Device, to_f64};
use crate::error::Result;
use crate::ops;
use crate::reference as twin;

use super::attention_rows::{AttentionRows, Inputs};
use super::case::{Case, Tables};

/// The values of some rows, mixed by the twin's pattern.
#[derive(Clone, Debug)]
pub struct AttentionMix(pub AttentionRows);

impl Case for AttentionMix {
    fn run(&self, device: &mut Device) -> Result<()> {
        let Self(case) = self;
        let inputs = case.upload(device)?;
        let &Inputs { rows, q, ref cache, extent, size, .. } = &inputs;
        let (heads, context, count) = (size.heads, case.context, q.rows);
        let pattern = twin::softmax(&inputs.scores(&case.positions), context);
        let narrow: Vec<f32> = pattern.iter().map(|&share| share as f32).collect();
        let pattern = device.tensor(heads * count, context, &narrow)?;
        let out = device.output(count, q.columns)?;
        if device.run(&ops::AttentionMix { rows, pattern, cache, out }, extent)? {
            let z = case.positions.iter().enumerate().flat_map(|(row, &(_, sequence))| {
                let of_head = |head| &narrow[(head * count + row) * context..][..context];
                let weights: Vec<f64> = (0..heads).flat_map(|head| to_f64(of_head(head))).collect();
                twin::attention_mix(&weights, inputs.sequence(&inputs.values, sequence), size)
            });
            device.expect(&out, z.collect())?;
        }
        Ok(())
    }
}

impl Tables for AttentionMix {
    fn once() -> Vec<Self> {
        AttentionRows::table().into_iter().map(Self).collect()
    }
}
