//! Randomness for jitter: even, different in each run, nothing more.

use std::hash::{BuildHasher, RandomState};

/// A sequence of random fractions.
#[derive(Debug)]
pub(super) struct Random {
    // Keyed from the system's randomness, as in `net::Backoff`: enough for jitter, and no dependency.
    state: RandomState,
    draws: u64,
}

impl Random {
    pub(super) fn new() -> Self {
        Self { state: RandomState::new(), draws: 0 }
    }

    /// From 0 to 1.
    pub(super) fn fraction(&mut self) -> f64 {
        self.draws += 1;
        (self.state.hash_one(self.draws) >> 32) as f64 / f64::from(u32::MAX)
    }
}
