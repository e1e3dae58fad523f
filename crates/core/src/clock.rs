//! Coarse time: one counter for all connections, so that none needs a timer of its own.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

/// A moment, in ticks of a [`Clock`]. Wraps after years; only differences mean anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tick(u32);

impl Tick {
    /// The first one.
    pub const ZERO: Self = Self(0);

    /// So many ticks later.
    #[must_use]
    pub fn after(self, ticks: u32) -> Self {
        Self(self.0.wrapping_add(ticks))
    }

    /// Ticks from `earlier` to here.
    pub fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Whether this is later than `other`. Both are less than 2^31 ticks apart.
    #[inline]
    pub fn is_after(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() > 0
    }
}

impl From<u32> for Tick {
    fn from(tick: u32) -> Self {
        Self(tick)
    }
}

impl From<Tick> for u32 {
    fn from(tick: Tick) -> Self {
        tick.0
    }
}

/// A moment that may be missing, in as few bytes. Tick zero is taken for the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NonZeroTick(NonZeroU32);

impl From<Tick> for NonZeroTick {
    fn from(tick: Tick) -> Self {
        Self(NonZeroU32::new(tick.0).unwrap_or(NonZeroU32::MAX))
    }
}

impl From<NonZeroTick> for Tick {
    fn from(tick: NonZeroTick) -> Self {
        Self(tick.0.get())
    }
}

/// Coarse time: advanced by the driver, read by everyone.
#[derive(Debug)]
pub struct Clock {
    now: AtomicU32,
    tick: Duration,
}

impl Clock {
    /// A tick fine enough for the shortest of the deadlines to be off by an eighth at most, and never more than a second.
    pub fn for_deadlines(deadlines: &[Duration]) -> Self {
        let shortest = deadlines.iter().min().copied().unwrap_or(Duration::MAX);
        let tick = (shortest / 8).clamp(Duration::from_millis(10), Duration::from_secs(1));
        Self { now: AtomicU32::new(0), tick }
    }

    /// The moment it is now.
    pub fn now(&self) -> Tick {
        Tick(self.now.load(Relaxed))
    }

    /// The length of a tick.
    pub fn tick(&self) -> Duration {
        self.tick
    }

    /// Moves on by one tick.
    pub fn advance(&self) {
        self.now.fetch_add(1, Relaxed);
    }

    /// A deadline in ticks: never early, since the first tick may come at once.
    pub fn ticks(&self, duration: Duration) -> u32 {
        let ticks = duration.as_nanos().div_ceil(self.tick.as_nanos());
        u32::try_from(ticks).unwrap_or(u32::MAX - 1).saturating_add(1)
    }
}

/// A [`Tick`] that several threads write and read.
#[derive(Debug, Default)]
pub struct AtomicTick(AtomicU32);

impl AtomicTick {
    /// Notes a moment.
    pub fn set(&self, tick: Tick) {
        self.0.store(tick.0, Relaxed);
    }

    /// The moment noted last.
    pub fn get(&self) -> Tick {
        Tick(self.0.load(Relaxed))
    }
}
