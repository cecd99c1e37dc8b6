//! When a download is going too slowly, or in circles.

use std::time::{Duration, Instant};

/// How long a connection may be slow.
const WINDOW: Duration = Duration::from_secs(30);

/// The fewest bytes that it must bring in that time: 1 KiB a second.
const LEAST: u64 = 30 << 10;

/// How often a download is tried again that does not get on.
const TRIES: u32 = 3;

/// The speed of one connection.
#[derive(Debug)]
pub(super) struct Pace {
    since: Instant,
    bytes: u64,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, bytes: 0 }
    }

    /// Whether the connection is still fast enough after it brought these bytes.
    pub(super) fn admits(&mut self, bytes: u64, now: Instant) -> bool {
        self.bytes += bytes;
        if now.duration_since(self.since) < WINDOW {
            return true;
        }
        let enough = self.bytes >= LEAST;
        *self = Self::new(now);
        enough
    }
}

/// The connections of one download.
#[derive(Debug)]
pub(super) struct Tries {
    /// How many bytes there have been at most.
    furthest: u64,
    in_vain: u32,
    first_pause: Duration,
}

impl Tries {
    /// Those of a download that begins with so many bytes.
    pub(super) fn new(start: u64, first_pause: Duration) -> Self {
        Self { furthest: start, in_vain: 0, first_pause }
    }

    /// How long to pause before the next connection, after one that ended with so many bytes and
    /// that was slow or not; `None` if the download is not getting on. Only bytes that were never
    /// there before count, so that one that begins again and again ends.
    pub(super) fn pause(&mut self, bytes: u64, slow: bool) -> Option<Duration> {
        if bytes > self.furthest && !slow {
            self.in_vain = 0;
        } else {
            self.in_vain += 1;
        }
        self.furthest = self.furthest.max(bytes);
        (self.in_vain < TRIES).then(|| self.first_pause * self.in_vain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_must_bring_a_little_all_the_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut steady = Pace::new(start);
        assert!((1..200).all(|second| steady.admits(1 << 10, at(second))));
        let mut drip = Pace::new(start);
        assert!((1..30).all(|second| drip.admits(100, at(second))));
        assert!(!drip.admits(100, at(30)));
        // What came fast at first does not count for ever.
        let mut stalled = Pace::new(start);
        assert!(stalled.admits(1 << 30, at(10)));
        assert!(stalled.admits(1, at(31)));
        assert!(!stalled.admits(1, at(62)));
    }

    #[test]
    fn a_download_that_does_not_get_on_ends() {
        let some = |milliseconds| Some(Duration::from_millis(milliseconds));
        let first_pause = Duration::from_millis(500);
        let mut tries = Tries::new(0, first_pause);
        assert_eq!(tries.pause(700, false), some(0));
        assert_eq!(tries.pause(700, false), some(500));
        assert_eq!(tries.pause(701, false), some(0));
        // It begins again each time, and gets to other places.
        assert_eq!(tries.pause(600, false), some(500));
        assert_eq!(tries.pause(699, false), some(1000));
        assert_eq!(tries.pause(701, false), None);
        let mut slow = Tries::new(0, first_pause);
        let pauses = [1, 2, 3].map(|bytes| slow.pause(bytes, true));
        assert_eq!(pauses, [some(500), some(1000), None]);
    }
}
