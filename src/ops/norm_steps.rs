//! The steps of both norms as kernels of their own, where a value between them has a name:
//! `layer_norm_center`, `rms_scale`, `divide_rows` and `gain_bias`.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::gpu::{Binding, Dispatch, Grid, Program, Recording, Tensor};

use super::{Choices, Op, ensure, kernel, word};

/// out = x − mean, row by row.
#[derive(Clone, Copy, Debug)]
pub struct LayerNormCenter {
    /// (T, C).
    pub x: Tensor,
    /// (T, C).
    pub out: Tensor,
}

/// out = √(mean(x²) + ε), row by row.
#[derive(Clone, Copy, Debug)]
pub struct RmsScale {
    /// (T, C); centred, for a layer norm.
    pub x: Tensor,
    /// ε.
    pub eps: f64,
    /// (T, 1).
    pub out: Tensor,
}

/// out = x / scale, row by row.
#[derive(Clone, Copy, Debug)]
pub struct DivideRows {
    /// (T, C).
    pub x: Tensor,
    /// (T, 1).
    pub scale: Tensor,
    /// (T, C).
    pub out: Tensor,
}

/// out = x ⊙ gain + bias.
#[derive(Clone, Copy, Debug)]
pub struct GainBias {
    /// (T, C).
    pub x: Tensor,
    /// (1, C).
    pub gain: Tensor,
    /// (1, C).
    pub bias: Option<Tensor>,
    /// (T, C).
    pub out: Tensor,
}

fn same(op: &'static str, x: &Tensor, out: &Tensor) -> Result<()> {
    ensure((x.rows, x.columns) == (out.rows, out.columns), op, || {
        format!("x is {} x {}, out {} x {}", x.rows, x.columns, out.rows, out.columns)
    })
}

/// One invocation for four values of a row.
fn by_fours(x: &Tensor) -> Grid {
    Grid::Fixed([word((x.stride() / 4).div_ceil(64)), word(x.rows), 1])
}

impl Op for LayerNormCenter {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let Self { x, out } = self;
        same("layer_norm_center", x, out)?;
        let params = [word(x.columns), word(x.stride() / 4), 0, 0];
        recording.push(Dispatch {
            program: choices.reduce.apply(Program::new(kernel("layer_norm_center"))),
            params: bytemuck::bytes_of(&params).to_vec(),
            groups: vec![vec![Binding::Read(x.buffer), Binding::Write(out.buffer)]],
            grid: Grid::Fixed([word(x.rows), 1, 1]),
            weight_bytes: 0,
        });
        Ok(())
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct RmsScaleParams {
    columns: u32,
    stride: u32,
    out_stride: u32,
    eps: f32,
}

impl Op for RmsScale {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let Self { x, eps, out } = self;
        ensure((out.rows, out.columns) == (x.rows, 1), "rms_scale", || {
            format!("x has {} rows, out is {} x {}", x.rows, out.rows, out.columns)
        })?;
        let params = RmsScaleParams {
            columns: word(x.columns),
            stride: word(x.stride()),
            out_stride: word(out.stride()),
            eps: *eps as f32,
        };
        recording.push(Dispatch {
            program: choices.reduce.apply(Program::new(kernel("rms_scale"))),
            params: bytemuck::bytes_of(&params).to_vec(),
            groups: vec![vec![Binding::Read(x.buffer), Binding::Write(out.buffer)]],
            grid: Grid::Fixed([word(x.rows), 1, 1]),
            weight_bytes: 0,
        });
        Ok(())
    }
}

impl Op for DivideRows {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { x, scale, out } = self;
        same("divide_rows", x, out)?;
        ensure((scale.rows, scale.columns) == (x.rows, 1), "divide_rows", || {
            format!("x has {} rows, scale is {} x {}", x.rows, scale.rows, scale.columns)
        })?;
        let params = [word(x.stride() / 4), word(scale.stride()), 0, 0];
        recording.push(Dispatch {
            program: Program::new(kernel("divide_rows")),
            params: bytemuck::bytes_of(&params).to_vec(),
            groups: vec![vec![
                Binding::Read(x.buffer),
                Binding::Read(scale.buffer),
                Binding::Write(out.buffer),
            ]],
            grid: by_fours(x),
            weight_bytes: 0,
        });
        Ok(())
    }
}

impl Op for GainBias {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { x, gain, bias, out } = self;
        same("gain_bias", x, out)?;
        // Without a bias its slot holds the gain, which the kernel then reads only as that.
        let vectors = [*gain, bias.unwrap_or(*gain)];
        for vector in vectors {
            ensure(vector.columns == x.columns, "gain_bias", || {
                format!("x has {} columns, gain or bias {}", x.columns, vector.columns)
            })?;
        }
        let read = if bias.is_some() { 2 } else { 1 };
        recording.push(Dispatch {
            program: Program::new(kernel("gain_bias"))
                .constant("BIAS", f64::from(u8::from(bias.is_some()))),
            params: bytemuck::bytes_of(&[word(x.stride() / 4), 0, 0, 0]).to_vec(),
            groups: vec![vec![
                Binding::Read(x.buffer),
                Binding::Read(vectors[0].buffer),
                Binding::Read(vectors[1].buffer),
                Binding::Write(out.buffer),
            ]],
            grid: by_fours(x),
            weight_bytes: read * x.columns as u64 * 4,
        });
        Ok(())
    }
}
