//! A token bucket: how long bytes have to wait so that no more than the rate passes.

use std::time::Duration;

use tokio::time::Instant;

use super::Rate;

/// What the bucket holds, as time at the rate. Small against what a person or a test measures, large against a timer's tick.
const DEPTH: Duration = Duration::from_millis(20);

/// The largest piece that passes at once.
const PIECE_MOST: usize = 64 << 10;

/// Tokens are kept as the moment at which the bucket would be full again, which needs no refill timer and cannot drift.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    full_at: Instant,
}

impl Bucket {
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, full_at: now }
    }

    /// The largest piece to ask for at once: what a full bucket holds.
    pub(super) fn piece_max(rate: Option<Rate>) -> usize {
        let depth = rate.map_or(u64::MAX, |rate| rate.bytes_in(DEPTH));
        usize::try_from(depth).unwrap_or(usize::MAX).clamp(1, PIECE_MOST)
    }

    /// Takes the tokens for `bytes` that came at `now`; they may go on at the moment returned.
    pub(super) fn take(&mut self, now: Instant, bytes: usize) -> Instant {
        self.full_at = self.full_at.max(now) + self.rate.time_for(bytes);
        self.full_at.checked_sub(DEPTH).map_or(now, |at| at.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_bucket_passes_a_burst_and_then_the_rate() {
        let start = Instant::now();
        // 1 Mbit/s: 125,000 bytes a second, 2,500 in the bucket.
        let rate = Rate::from_bits_per_second(1_000_000).unwrap();
        let mut bucket = Bucket::new(rate, start);
        assert_eq!(Bucket::piece_max(Some(rate)), 2_500);
        assert_eq!(bucket.take(start, 2_500), start);
        assert_eq!(bucket.take(start, 12_500), start + Duration::from_millis(100));
        // Unused time fills the bucket again, but no further than its depth.
        let later = start + Duration::from_secs(60);
        assert_eq!(bucket.take(later, 2_500), later);
        assert_eq!(bucket.take(later, 2_500), later + Duration::from_millis(20));
    }

    #[test]
    fn the_slowest_rate_still_passes_a_byte_at_a_time() {
        assert_eq!(Rate::from_bits_per_second(7), None);
        assert_eq!(Bucket::piece_max(Rate::from_bits_per_second(8)), 1);
        assert_eq!(Bucket::piece_max(Rate::from_bits_per_second(u64::MAX)), PIECE_MOST);
    }
}
