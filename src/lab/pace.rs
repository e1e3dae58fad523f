//! A limit on a whole answer: single bytes, each of them in time, are not to hold anyone for ever.

use std::time::Duration;

use tokio::time::Instant;

/// An exchange may take so many times the patience: with 5 s a minute, enough for 1 MiB at 140 kbit/s.
pub(super) const PATIENCE_TIMES_MAX: u32 = 12;

/// An answer that has come at this rate may go on, however long it is: 8 kbit/s, which any link has that people still call one.
const BYTES_PER_SECOND_LEAST: u64 = 1000;

/// How far an answer has come, and since when.
#[derive(Debug)]
pub(super) struct Pace {
    /// What it may take before any rate is required.
    grace: Duration,
    bytes: u64,
    /// When its first byte came.
    began: Option<Instant>,
}

impl Pace {
    /// For a side that waits `patience` for each byte.
    pub(super) fn new(patience: Duration) -> Self {
        Self { grace: patience.saturating_mul(PATIENCE_TIMES_MAX), bytes: 0, began: None }
    }

    /// Bytes came.
    pub(super) fn came(&mut self, bytes: usize) {
        self.began.get_or_insert_with(Instant::now);
        self.bytes += bytes as u64;
    }

    /// How long the answer may have taken, as far as it has come.
    pub(super) fn allowed(&self) -> Duration {
        self.grace.saturating_add(Duration::from_secs(self.bytes / BYTES_PER_SECOND_LEAST))
    }

    /// How much of that is left; before the first byte there is no limit of this kind.
    pub(super) fn left(&self) -> Duration {
        self.began.map_or(Duration::MAX, |began| self.allowed().saturating_sub(began.elapsed()))
    }
}
