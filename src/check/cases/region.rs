//! A hook's value of which some part is edited: what the cases of edits share.

use crate::check::device::Device;
use crate::error::Result;
use crate::gpu::{BufferId, Tensor};
use crate::ops::{Columns, HeadLayout, Operand, Region};
use crate::reference as twin;

/// A value of some heads, in one of three forms, of which all rows, heads and columns change but the
/// first.
#[derive(Clone, Copy, Debug)]
pub struct EditedValue {
    /// Heads, and values of each.
    pub shape: [usize; 2],
    /// Whether the heads lie one after another.
    pub heads_first: bool,
    /// The distance between two values, and how many others stand before them in a row.
    pub step: usize,
    /// Whether only one sequence changes.
    pub one_sequence: bool,
}

/// One value, odd sizes, heads in columns and in rows, gate and up in turns.
pub(super) const SHAPES: [EditedValue; 6] = [
    EditedValue { shape: [3, 7], heads_first: false, step: 1, one_sequence: true },
    EditedValue { shape: [2, 257], heads_first: true, step: 1, one_sequence: false },
    EditedValue { shape: [1, 1], heads_first: false, step: 1, one_sequence: false },
    EditedValue { shape: [1, 70], heads_first: false, step: 2, one_sequence: true },
    EditedValue { shape: [9, 64], heads_first: false, step: 1, one_sequence: false },
    EditedValue { shape: [4, 33], heads_first: true, step: 1, one_sequence: true },
];

/// A value on the device, and the edit in the words of op and twin.
pub(super) struct Made {
    pub(super) rows: BufferId,
    pub(super) x: Columns,
    pub(super) region: Region,
    pub(super) twin: twin::Region,
    pub(super) operand: Operand,
    pub(super) before: Vec<f32>,
    pub(super) values: Vec<f32>,
    step: usize,
}

impl EditedValue {
    /// Position and sequence of each row, in no particular order.
    pub(super) const ROWS: &'static [(u32, u32)] =
        &[(0, 0), (1, 0), (4, 1), (2, 0), (3, 1), (9, 0), (2, 1)];

    /// From which position on rows change, and the first that does not any more.
    const POSITIONS: [u32; 2] = [1, 5];

    /// The shapes of operands: one value, one for each column, head and position.
    pub(super) fn operands(&self) -> [[usize; 3]; 4] {
        let [heads, columns] = self.shape.map(|size| size - usize::from(size > 1));
        let [first, end] = Self::POSITIONS;
        let positions = (end - first) as usize;
        [[1, 1, 1], [1, 1, columns], [1, heads, columns], [positions, heads, columns]]
    }

    /// Makes the value and an operand of this shape, whose values are made of noise.
    pub(super) fn make(
        &self,
        device: &mut Device,
        [by_position, by_head, by_column]: [usize; 3],
        operand: impl Fn(Vec<f32>) -> Vec<f32>,
    ) -> Result<Made> {
        let &Self { shape: [heads, width], heads_first, step, one_sequence } = self;
        let tokens = Self::ROWS.len();
        let before = device.noise(tokens * heads * width);
        let values = operand(device.noise(by_position * by_head * by_column));
        let [rows, columns] =
            if heads_first { [heads * tokens, width] } else { [tokens, heads * width] };
        // With a step of 2 every value stands behind another one, which must stay as it is.
        let stored: Vec<f32> =
            before.iter().flat_map(|x| [vec![7.0; step - 1], vec![*x]].concat()).collect();
        let of = device.tensor(rows, columns * step, &stored)?;
        let [first, end] = Self::POSITIONS;
        let (first_head, first_column) = (usize::from(heads > 1), usize::from(width > 1));
        let sequence = one_sequence.then_some(0);
        let layout =
            if heads_first { HeadLayout::InRows(tokens) } else { HeadLayout::InColumns(width) };
        let operand = device.tensor(by_position * by_head, by_column, &values)?;
        Ok(Made {
            rows: device.rows(Self::ROWS)?,
            x: Columns { of, start: step - 1, count: columns, step },
            region: Region {
                positions: first..end,
                sequence,
                heads: first_head..heads,
                columns: first_column..width,
                layout,
            },
            twin: twin::Region {
                shape: [heads, width],
                heads_first,
                positions: first..end,
                sequence,
                heads: first_head..heads,
                columns: first_column..width,
            },
            operand: Operand {
                values: operand,
                by_position: by_position > 1,
                by_head: by_head > 1,
            },
            before,
            values,
            step,
        })
    }
}

impl Made {
    /// Compares the value, and what stands between its columns.
    pub(super) fn expect(&self, device: &mut Device, expected: &[f64]) -> Result<()> {
        let of: Tensor = self.x.of;
        let all = expected.iter().flat_map(|x| [vec![7.0; self.step - 1], vec![*x]].concat());
        device.expect(&of, all.collect())
    }
}
