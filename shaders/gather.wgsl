// gather: out_i = x_(index_i), C columns of it: start, start + step, ..
//
//   x      (T, ..)
//   index  (N)     which row of x; unused if INDEXED is false: then row i itself
//   out    (N, C)
//
// One invocation makes one value. Grid: (C / 64, N).
struct Params { columns: u32, start: u32, step: u32, x_stride: u32, out_stride: u32 }

override INDEXED: bool = true;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> index: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn gather(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.columns {
        return;
    }
    var row = id.y;
    if INDEXED {
        row = index[id.y];
    }
    let column = params.start + id.x * params.step;
    out[id.y * params.out_stride + id.x] = x[row * params.x_stride + column];
}
