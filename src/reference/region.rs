//! Which values of a hook an edit changes.

use std::ops::Range;

/// The part of a hook's value that an edit changes: some heads and columns of the rows at some
/// positions. The value is (T, H, W) or, with `heads_first`, (H, T, W).
#[derive(Clone, Debug)]
pub struct Region {
    /// H and W of the whole value.
    pub shape: [usize; 2],
    /// Whether the heads are the first axis.
    pub heads_first: bool,
    /// Positions that change.
    pub positions: Range<u32>,
    /// The sequence that changes; all if `None`.
    pub sequence: Option<u32>,
    /// Heads that change.
    pub heads: Range<usize>,
    /// Columns that change.
    pub columns: Range<usize>,
}

/// The operand of an edit: (P, H, W), where each size is that of the region or 1.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a> {
    /// P, H and W.
    pub shape: [usize; 3],
    /// The values, row-major.
    pub values: &'a [f64],
}

impl Region {
    /// Calls `change` with the values of each row and head that changes, and those of the operand.
    /// `rows` are the position and the sequence of each row.
    pub(crate) fn each(
        &self,
        x: &mut [f64],
        rows: &[(u32, u32)],
        operand: Operand<'_>,
        mut change: impl FnMut(&mut [f64], &[f64]),
    ) {
        let ([heads, width], [by_position, by_head, by_column]) = (self.shape, operand.shape);
        for (t, (position, sequence)) in rows.iter().enumerate() {
            let own = self.sequence.is_none_or(|wanted| wanted == *sequence);
            if !own || !self.positions.contains(position) {
                continue;
            }
            for (number, head) in self.heads.clone().enumerate() {
                let row = if self.heads_first { head * rows.len() + t } else { t * heads + head };
                let p =
                    if by_position == 1 { 0 } else { (position - self.positions.start) as usize };
                let h = if by_head == 1 { 0 } else { number };
                let taken = &operand.values[(p * by_head + h) * by_column..][..by_column];
                let all: Vec<f64> = match by_column {
                    1 => vec![taken[0]; self.columns.len()],
                    _ => taken.to_vec(),
                };
                change(&mut x[row * width..][self.columns.clone()], &all);
            }
        }
    }
}
