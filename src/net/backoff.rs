//! How long to wait before trying again.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// Exponential backoff with full jitter between half and the whole of each step, so that the clients of a relay that came back
/// do not all arrive in the same instant.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
    random: RandomState,
    draws: u64,
}

impl Backoff {
    /// Waits start near `first` and double up to `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first, random: RandomState::new(), draws: 0 }
    }

    /// The next wait; each is about twice the one before.
    pub fn wait(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.most);
        self.draws += 1;
        // RandomState is keyed from the system's randomness: enough for jitter, and no dependency.
        let fraction = (self.random.hash_one(self.draws) >> 32) as f64 / f64::from(u32::MAX);
        step.mul_f64(0.5 + fraction / 2.0)
    }

    /// Starts over, after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_most_with_jitter_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(300));
        for step in [100, 200, 300, 300] {
            let wait = backoff.wait().as_millis();
            assert!((step / 2..=step).contains(&wait), "{wait} ms for a step of {step} ms");
        }
        backoff.reset();
        assert!(backoff.wait() <= Duration::from_millis(100));
    }
}
