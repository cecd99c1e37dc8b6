//! Rows, the unit of work, and which of them a sequence holds.

use crate::error::{Error, Result};

/// One token of one sequence: the unit of work.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Row {
    /// Token id.
    pub token: u32,
    /// Position in its sequence, from 0.
    pub position: u32,
    /// Which sequence of the session.
    pub sequence: u32,
    /// Tokens generated so far in that sequence.
    pub step: u32,
}

/// The rows of one sequence's tokens, from position 0 on.
pub fn rows(tokens: &[u32], sequence: u32) -> Vec<Row> {
    let row = |(position, &token)| Row { token, position, sequence, step: 0 };
    (0..).zip(tokens).map(row).collect()
}

/// Adds rows that run together to what the sequences hold; a row at position 0 begins its sequence
/// anew.
pub(super) fn extend(held: &mut [u32], rows: &[Row]) -> Result<()> {
    let mut places: Vec<(u32, u32)> = rows.iter().map(|row| (row.sequence, row.position)).collect();
    places.sort_unstable();
    for (sequence, position) in places {
        let held = &mut held[sequence as usize];
        if position > *held {
            return Err(Error::Input(format!(
                "a row at position {position} of sequence {sequence}, which holds {held} positions: \
                 the rows between come first"
            )));
        }
        *held = if position == 0 { 1 } else { (position + 1).max(*held) };
    }
    Ok(())
}

/// The keys that the furthest row sees.
pub(super) fn extent(rows: &[Row]) -> u32 {
    rows.iter().map(|row| row.position + 1).max().unwrap_or(1)
}
