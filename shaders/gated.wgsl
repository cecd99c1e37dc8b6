// gated: out = f(gate) up, f from the slot `activation`.  Shazeer 2020.  Unfused: used where
// gate and up differ in format, or a hook asks for one of them.
//
//   gate, up  (T, ..)  F columns from `gate_start` and `up_start` on, every `step`-th
//   out       (T, F)
//
// One invocation makes one value. Grid: (F / 64, T).
// parts: activation
struct Params {
    columns: u32,
    step: u32,
    gate_start: u32,
    gate_stride: u32,
    up_start: u32,
    up_stride: u32,
    out_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate: array<f32>;
@group(0) @binding(2) var<storage, read> up: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn gated(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.columns {
        return;
    }
    let column = id.x * params.step;
    let g = gate[id.y * params.gate_stride + params.gate_start + column];
    let u = up[id.y * params.up_stride + params.up_start + column];
    out[id.y * params.out_stride + id.x] = activate4(vec4(g)).x * u;
}
