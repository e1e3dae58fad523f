//! Coarse time: one counter for all connections, so that none needs a timer of its own.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

/// A moment, in ticks of the relay's [`Clock`]. Wraps after years; only differences mean anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tick(u32);

impl Tick {
    /// Ticks from `earlier` to here.
    pub(super) fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }
}

/// Advanced by the sweep, read by everyone.
#[derive(Debug)]
pub(super) struct Clock {
    now: AtomicU32,
    tick: Duration,
}

impl Clock {
    /// A tick fine enough for the shortest of the deadlines to be off by an eighth at most, and never more than a second.
    pub(super) fn for_deadlines(deadlines: &[Duration]) -> Self {
        let shortest = deadlines.iter().min().copied().unwrap_or(Duration::MAX);
        let tick = (shortest / 8).clamp(Duration::from_millis(10), Duration::from_secs(1));
        Self { now: AtomicU32::new(0), tick }
    }

    pub(super) fn now(&self) -> Tick {
        Tick(self.now.load(Relaxed))
    }

    /// The length of a tick.
    pub(super) fn tick(&self) -> Duration {
        self.tick
    }

    /// Moves on by one tick.
    pub(super) fn advance(&self) {
        self.now.fetch_add(1, Relaxed);
    }

    /// A deadline in ticks: never early, since the first tick may come at once.
    pub(super) fn ticks(&self, duration: Duration) -> u32 {
        let ticks = duration.as_nanos().div_ceil(self.tick.as_nanos());
        u32::try_from(ticks).unwrap_or(u32::MAX - 1).saturating_add(1)
    }
}

/// A [`Tick`] that several threads write and read.
#[derive(Debug, Default)]
pub(super) struct AtomicTick(AtomicU32);

impl AtomicTick {
    pub(super) fn set(&self, tick: Tick) {
        self.0.store(tick.0, Relaxed);
    }

    pub(super) fn get(&self) -> Tick {
        Tick(self.0.load(Relaxed))
    }
}
