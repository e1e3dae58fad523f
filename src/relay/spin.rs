//! Looking for the answer before going to sleep.
//!
//! Half the time of a short exchange through a relay is spent on waking it: a processor that has gone idle takes tens of microseconds
//! to come back, twice for each round trip. So after a short message a worker keeps asking for new events for a moment. One worker at
//! most does so, and only while it has nothing else to do.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use tokio::{sync::Notify, task::yield_now};

/// A batch up to this size is a short message whose answer may come soon.
const SHORT_BYTES: usize = 4 << 10;

/// The one spinner of a relay.
#[derive(Debug)]
pub(super) struct Spin {
    /// How long it looks after the last short message; zero: never.
    span: Duration,
    start: Instant,
    /// When it stops, in nanoseconds since `start`.
    until: AtomicU64,
    is_spinning: AtomicBool,
    wanted: Notify,
}

impl Spin {
    /// Spins for `span` after each short message, where there is more than one processor: on a single one it would only keep
    /// the answer from being written.
    pub(super) fn new(span: Duration) -> Self {
        Self {
            span: Self::possible(span),
            start: Instant::now(),
            until: AtomicU64::new(0),
            is_spinning: AtomicBool::new(false),
            wanted: Notify::new(),
        }
    }

    /// The span, where spinning is possible at all; zero otherwise.
    pub(super) fn possible(span: Duration) -> Duration {
        let is_alone = std::thread::available_parallelism().map_or(true, |n| n.get() == 1);
        if is_alone { Duration::ZERO } else { span }
    }

    /// A batch of `bytes` was passed on.
    pub(super) fn after(&self, bytes: usize) {
        if bytes > SHORT_BYTES || self.span.is_zero() {
            return;
        }
        self.until.store(self.now() + self.span.as_nanos() as u64, Relaxed);
        if !self.is_spinning.load(Relaxed) {
            self.wanted.notify_one();
        }
    }

    /// Spins whenever it is wanted, for as long as it is polled.
    pub(super) async fn run(&self) {
        loop {
            self.wanted.notified().await;
            self.is_spinning.store(true, Relaxed);
            while self.now() < self.until.load(Relaxed) {
                // The worker looks at its other tasks and at the system's events, without waiting for them.
                yield_now().await;
                // And the processor looks at other programs: a client that was just woken may be waiting for this very one.
                std::thread::yield_now();
            }
            self.is_spinning.store(false, Relaxed);
        }
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}
