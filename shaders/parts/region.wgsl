// Slot `region`: which values of a hook an edit changes.
//
// A value lies as (T, H W) or, for scores and patterns, as (H T, W): `heads` of them are columns of
// a row, or follow each other as blocks of T rows.
struct Params {
    // T.
    rows: u32,
    // The first row that changes: 0, or where the first head's block begins.
    row: u32,
    stride: u32,
    // The first column, the distance between two, and between two heads.
    start: u32,
    step: u32,
    head_step: u32,
    // How many heads a row holds, and how many values of each change.
    heads: u32,
    columns: u32,
    // Only rows of these positions and this sequence, or of any if it is ANY.
    first: u32,
    end: u32,
    sequence: u32,
    // The distances of the operand's values: 0 where one serves all.
    operand_position: u32,
    operand_head: u32,
    operand_column: u32,
    scale: f32,
}

const ANY: u32 = 0xffffffffu;

fn changes(row: vec4<u32>) -> bool {
    let inside = row.y >= params.first && row.y < params.end;
    return inside && (params.sequence == ANY || row.z == params.sequence);
}

// Where the values of a row's own head begin in x, and those of its operand.
fn head_at(group: u32, head: u32) -> u32 {
    return (params.row + group) * params.stride + params.start + head * params.head_step;
}

fn operand_at(row: vec4<u32>, group: u32, head: u32) -> u32 {
    let number = head + group / params.rows;
    return (row.y - params.first) * params.operand_position + number * params.operand_head;
}
