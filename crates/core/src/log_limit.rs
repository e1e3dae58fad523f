//! Bounds the log lines that strangers cause, so that nobody fills a disk or hides what matters behind noise.
//!
//! It is for lines that differ, each with an address and what was wrong with its first bytes: somebody who looks for a fault wants to see
//! many of them. Lines that are alike within their kind are bounded by `Sparing` in the program: one a second, and the number of the others.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

/// Lines that may come at once, and lines a second after that: more than a person reads, few enough for any disk.
const BURST: f32 = 50.0;
const PER_SECOND: f32 = 10.0;

/// One kind of lines.
#[derive(Debug)]
pub struct LogLimit {
    allowance: Mutex<(f32, Option<Instant>)>,
    left_out: AtomicU64,
}

impl Default for LogLimit {
    fn default() -> Self {
        Self { allowance: Mutex::new((BURST, None)), left_out: AtomicU64::new(0) }
    }
}

impl LogLimit {
    /// Whether a line may be written now; if not it is counted.
    pub fn allows(&self, now: Instant) -> bool {
        let mut allowance = self.allowance.lock().unwrap_or_else(PoisonError::into_inner);
        let (lines, at) = &mut *allowance;
        let grown = at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f32() * PER_SECOND);
        *lines = (*lines + grown).min(BURST);
        *at = Some(now);
        let allows = *lines >= 1.0;
        if allows {
            *lines -= 1.0;
        } else {
            self.left_out.fetch_add(1, Relaxed);
        }
        allows
    }

    /// How many lines were left out since this was asked last.
    pub fn take_left_out(&self) -> u64 {
        self.left_out.swap(0, Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn lines_beyond_the_burst_come_at_the_rate_and_the_others_are_counted() {
        let (limit, start) = (LogLimit::default(), Instant::now());
        let allowed = |n, at| (0..n).filter(|_| limit.allows(start + at)).count();
        assert_eq!(allowed(49, Duration::ZERO), 49);
        assert_eq!(allowed(1, Duration::ZERO), 1, "the last of the burst");
        assert_eq!((allowed(3, Duration::ZERO), limit.take_left_out()), (0, 3));
        assert_eq!((allowed(30, Duration::from_secs(1)), limit.take_left_out()), (10, 20));
        assert_eq!(allowed(100, Duration::from_secs(60)), 50, "never more than the burst");
    }
}
