//! `layer_norm` and `rms_norm`.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::gpu::{Binding, Dispatch, Grid, Program, Recording, Tensor};

use super::{Choices, Op, ensure, kernel, spread, word};

/// y = (x − mean) / √(var + ε) ⊙ gain + bias, row by row; without gain and bias if they are left out.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm {
    /// (T, C).
    pub x: Tensor,
    /// Gain and bias, (1, C) each.
    pub affine: Option<(Tensor, Tensor)>,
    /// ε.
    pub eps: f64,
    /// (T, C).
    pub out: Tensor,
}

/// y = x / √(mean(x²) + ε) ⊙ gain, row by row; without the gain if it is left out.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm {
    /// (T, C).
    pub x: Tensor,
    /// (1, C).
    pub gain: Option<Tensor>,
    /// ε.
    pub eps: f64,
    /// (T, C).
    pub out: Tensor,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    columns: u32,
    stride: u32,
    eps: f32,
    padding: u32,
}

fn check(op: &'static str, x: &Tensor, vectors: &[Tensor], out: &Tensor) -> Result<()> {
    ensure((x.rows, x.columns) == (out.rows, out.columns), op, || {
        format!("x is {} x {}, out {} x {}", x.rows, x.columns, out.rows, out.columns)
    })?;
    for vector in vectors {
        ensure(vector.columns == x.columns, op, || {
            format!("x has {} columns, gain or bias {}", x.columns, vector.columns)
        })?;
    }
    Ok(())
}

fn dispatch(
    name: &str,
    choices: &Choices,
    x: &Tensor,
    eps: f64,
    affine: &[Tensor],
    has: bool,
    out: &Tensor,
) -> Dispatch {
    let params = Params {
        columns: word(x.columns),
        stride: word(x.stride() / 4),
        eps: eps as f32,
        padding: 0,
    };
    let mut bindings = vec![Binding::Read(x.buffer)];
    bindings.extend(affine.iter().map(|vector| Binding::Read(vector.buffer)));
    bindings.push(Binding::Write(out.buffer));
    Dispatch {
        program: choices
            .reduce
            .apply(Program::new(kernel(name)))
            .constant("GAIN", f64::from(u8::from(has))),
        params: bytemuck::bytes_of(&params).to_vec(),
        groups: vec![bindings],
        grid: Grid::Fixed(spread(x.rows)),
        weight_bytes: affine.iter().filter(|_| has).map(|vector| vector.columns as u64 * 4).sum(),
    }
}

impl Op for LayerNorm {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        // Where there is no gain, the slots are filled with x, which the kernel then does not touch.
        let (gain, bias) = self.affine.unwrap_or((self.x, self.x));
        check("layer_norm", &self.x, &[gain, bias], &self.out)?;
        let has = self.affine.is_some();
        recording.push(dispatch(
            "layer_norm",
            choices,
            &self.x,
            self.eps,
            &[gain, bias],
            has,
            &self.out,
        ));
        Ok(())
    }
}

impl Op for RmsNorm {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let gain = self.gain.unwrap_or(self.x);
        check("rms_norm", &self.x, &[gain], &self.out)?;
        let has = self.gain.is_some();
        recording.push(dispatch("rms_norm", choices, &self.x, self.eps, &[gain], has, &self.out));
        Ok(())
    }
}
