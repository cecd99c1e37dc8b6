//! Prefill: rows are read into the caches in pieces of work, so that it can be stopped.

use std::collections::VecDeque;

use crate::error::Result;

use super::collect::Collected;
use super::rows::{Row, extent};
use super::state::{Filled, Session};

/// Pieces in flight: while the host waits for one, the device already runs the next. Stopping
/// wastes no more than these.
const MOST_IN_FLIGHT: usize = 2;

/// Bytes that are copied back so that a piece can be waited for.
const MARKER: u64 = 4;

/// Rows being read. Between its calls the session must run nothing else.
#[derive(Debug)]
pub(crate) struct Prefill {
    rows: Vec<Row>,
    /// How many rows were submitted, in whole chunks.
    read: usize,
    /// How many pieces of the next chunk were submitted.
    pieces: usize,
    in_flight: VecDeque<Filled>,
    /// The values that the session keeps, of the rows that were waited for.
    kept: Collected,
}

impl Prefill {
    /// Prepares to read these rows, with the plan of the first chunk.
    ///
    /// # Errors
    /// As [`Session::fill`].
    pub(crate) fn new(session: &mut Session, rows: Vec<Row>) -> Result<Self> {
        session.check(&rows)?;
        let (in_flight, kept) = (VecDeque::new(), Collected::default());
        let prefill = Self { rows, read: 0, pieces: 0, in_flight, kept };
        prefill.pieces_of_chunk(session)?;
        Ok(prefill)
    }

    /// How many rows have not been read.
    pub(crate) fn unread(&self) -> usize {
        self.rows.len() - self.read
    }

    /// Submits more pieces and waits for one. Returns how many rows' worth of work is done, or
    /// `None` once only the last piece is left, which [`Prefill::submit_rest`] submits.
    ///
    /// # Errors
    /// As [`Session::fill`].
    pub(crate) async fn next(&mut self, session: &mut Session) -> Result<Option<usize>> {
        while self.in_flight.len() < MOST_IN_FLIGHT && !self.only_last_piece_left(session)? {
            self.submit_next(session).await?;
        }
        if self.only_last_piece_left(session)? {
            return Ok(None);
        }
        self.finish_one(session).await?;
        let done = self.pieces.saturating_sub(self.in_flight.len());
        let part = self.chunk(session).len() * done / self.pieces_of_chunk(session)?.max(1);
        Ok(Some(self.read + part))
    }

    /// Submits all that is left; waits only for functions that change a value.
    ///
    /// # Errors
    /// As [`Session::fill`].
    pub(crate) async fn submit_rest(&mut self, session: &mut Session) -> Result<()> {
        while self.unread() > 0 {
            self.submit_next(session).await?;
        }
        Ok(())
    }

    /// Waits for everything that was submitted.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the device fails.
    pub(crate) async fn poll(&mut self, session: &mut Session) -> Result<()> {
        while !self.in_flight.is_empty() {
            self.finish_one(session).await?;
        }
        Ok(())
    }

    async fn finish_one(&mut self, session: &mut Session) -> Result<()> {
        let Some(Filled { readback, kept, rows }) = self.in_flight.pop_front() else {
            return Ok(());
        };
        let bytes = session.engine_mut().finish(readback).await?;
        if !kept.is_empty() {
            let (activations, _) = session.activations(&kept, &rows, &bytes[MARKER as usize..]);
            self.kept.add(activations, rows.len(), extent(&rows) as usize);
        }
        Ok(())
    }

    /// The values that the session keeps, of all rows that were waited for.
    pub(crate) fn take_kept(&mut self) -> Collected {
        std::mem::take(&mut self.kept)
    }

    fn only_last_piece_left(&self, session: &mut Session) -> Result<bool> {
        Ok(self.unread() <= session.chunk && self.pieces + 1 >= self.pieces_of_chunk(session)?)
    }

    /// The rows that are read at once.
    fn chunk(&self, session: &Session) -> &[Row] {
        &self.rows[self.read..][..self.unread().min(session.chunk)]
    }

    fn pieces_of_chunk(&self, session: &mut Session) -> Result<usize> {
        match self.chunk(session).len() {
            0 => Ok(0),
            rows => session.fill_pieces(rows),
        }
    }

    async fn submit_next(&mut self, session: &mut Session) -> Result<()> {
        let (pieces, rows) = (self.pieces_of_chunk(session)?, self.chunk(session).len());
        let marker = Some((session.rows, 0, MARKER));
        let filled = session.fill_piece(self.chunk(session), self.pieces, marker).await?;
        self.in_flight.extend(filled);
        self.pieces += 1;
        if self.pieces == pieces {
            (self.pieces, self.read) = (0, self.read + rows);
        }
        Ok(())
    }
}
