// embed_backward: dE[id] = dE[id] + scale * sum of dy over the rows that hold id. A gather: rows
// are sorted by id, and each id sums its own rows, so that no two invocations write to one place.
//
//   runs      (T)     id, first and end in `order`; one per row; unused ones are empty
//   order     (T)     row indices, sorted by id
//   dy        (T, C)
//   gradient  (V, C)  rows `first` .. of the table, as many as this part holds; its padding stays 0
//
// One invocation per run and four values. Grid: (C / 4 / 64, T).
struct Params {
    words: u32,
    stride: u32,
    first: u32,
    count: u32,
    columns: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> runs: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> gradient: array<vec4<f32>>;

@compute @workgroup_size(64)
fn embed_backward(@builtin(global_invocation_id) id: vec3<u32>) {
    let run = runs[id.y];
    let row = run.x - params.first;
    let outside = run.x < params.first || row >= params.count;
    if id.x * 4u >= params.columns || run.y == run.z || outside {
        return;
    }
    var sum = vec4(0.0);
    for (var i = run.y; i < run.z; i++) {
        sum += dy[order[i] * params.stride + id.x];
    }
    let columns = vec4(id.x * 4u) + vec4(0u, 1u, 2u, 3u);
    let inside = columns < vec4(params.columns);
    gradient[row * params.words + id.x] += select(vec4(0.0), params.scale * sum, inside);
}
