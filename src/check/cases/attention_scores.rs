//! Attention scores, written out.

use crate::check::device::Device;
use crate::error::Result;
use crate::gpu::Tensor;
use crate::measure;
use crate::ops::{self, MASKED};

use super::attention_rows::{AttentionRows, Inputs};
use super::case::{Case, Tables};

/// The scores of some rows.
#[derive(Clone, Debug)]
pub struct AttentionScores(pub AttentionRows);

impl Case for AttentionScores {
    fn run(&self, device: &mut Device) -> Result<()> {
        let Self(case) = self;
        let inputs = case.upload(device)?;
        let &Inputs { rows, q, ref cache, extent, size, .. } = &inputs;
        let &AttentionRows { window, scale, softcap, context, .. } = case;
        let out = device.output(size.heads * q.rows, context)?;
        let mask = ops::Mask { window, scale, softcap };
        let op = ops::AttentionScores { rows, q, cache, mask, out };
        if device.run(&op, extent)? {
            expect_scores(device, &out, inputs.scores(&case.positions), case.tolerance())?;
        }
        Ok(())
    }
}

/// Compares scores with the twin's, whose masked ones are −∞.
fn expect_scores(
    device: &mut Device,
    found: &Tensor,
    twin: Vec<f64>,
    tolerance: f64,
) -> Result<()> {
    let (stride, columns) = (found.stride(), found.columns);
    device.compare_bytes(found.buffer, found.bytes(), tolerance, move |bytes, _| {
        let stored: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
        let rows = stored.chunks_exact(stride).flat_map(|row| &row[..columns]);
        let stored: Vec<f32> = rows.copied().collect();
        if stored.len() != twin.len() {
            return (f64::INFINITY, format!("{} scores, not {}", stored.len(), twin.len()));
        }
        let hidden = |(found, twin): (&f32, &f64)| twin.is_finite() || *found == MASKED;
        if !stored.iter().zip(&twin).all(hidden) {
            return (f64::INFINITY, "a masked score is not masked".to_owned());
        }
        let (found, seen): (Vec<f32>, Vec<f64>) =
            stored.iter().zip(&twin).filter(|(_, twin)| twin.is_finite()).unzip();
        (measure::relative_error(&found, &seen), String::new())
    })
}

impl Tables for AttentionScores {
    fn once() -> Vec<Self> {
        AttentionRows::table().into_iter().map(Self).collect()
    }
}
