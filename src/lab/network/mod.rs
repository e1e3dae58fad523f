//! The emulation of bad networks: bytes arrive late, at uneven times, at a limited rate, or no longer at all, but always in
//! order and unchanged, as TCP delivers them.
//!
//! There is one mechanism, [`carry()`], which takes the bytes of one stream to another and back through a [`mod@line`] in each
//! direction. `relay lab proxy` puts it between two connections, the practice servers between a connection and themselves. What is
//! on the way is bounded by [`Network::in_flight_max`], whatever the sender does.

mod bucket;
mod carry;
mod line;
mod pump;
mod random;
mod traffic;

use std::time::Duration;

pub use carry::{Carried, carry, reset};

/// The most bytes on the way in one direction; without a `rate` the delay times the real rate could be anything.
const IN_FLIGHT_MOST: usize = 4 << 20;

/// At least a usual socket buffer may be on the way, so that short bursts are taken from the sender at once.
const IN_FLIGHT_LEAST: usize = 64 << 10;

/// What lies between the two ends of a connection. The default adds nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Network {
    /// How much later each byte arrives, in each direction: a round trip takes twice that.
    pub delay: Duration,
    /// By how much the delay of each piece differs, up or down. Order is kept, so a piece also waits for those before it.
    pub jitter: Duration,
    /// How much passes, in each direction.
    pub rate: Option<Rate>,
    /// How long after it was opened a connection is reset, with whatever is on the way.
    pub drop_after: Option<Duration>,
}

/// A number of bits per second, at least 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(u64);

impl Rate {
    /// `None` below 8 bit/s: one byte a second.
    pub fn from_bits_per_second(bits: u64) -> Option<Self> {
        (bits >= 8).then_some(Self(bits))
    }

    /// Bits per second.
    pub fn bits_per_second(self) -> u64 {
        self.0
    }

    /// How many bytes pass in `time`.
    fn bytes_in(self, time: Duration) -> u64 {
        (self.0 as f64 / 8.0 * time.as_secs_f64()) as u64
    }

    /// How long `bytes` take.
    fn time_for(self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 * 8.0 / self.0 as f64)
    }
}

impl Network {
    /// Whether nothing is to be emulated.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// The most bytes that are on the way in one direction, what is kept about them included: twice what the rate and the delay
    /// together need, between 64 KiB and 4 MiB.
    pub fn in_flight_max(&self) -> usize {
        let needed = match self.rate {
            Some(rate) => rate.bytes_in(self.delay + self.jitter).saturating_mul(2),
            None => u64::MAX,
        };
        usize::try_from(needed).unwrap_or(usize::MAX).clamp(IN_FLIGHT_LEAST, IN_FLIGHT_MOST)
    }
}
