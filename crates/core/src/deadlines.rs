//! The deadlines of registered clients, in ticks. The driver looks at every client in one coarse sweep a tick: no client has a timer, and none
//! is cancelled.

use crate::{clock::Tick, close::CloseReason, outbox::Outbox};

/// How long what may last.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// How long a client that is read from may be silent.
    pub idle: u32,
    /// How long a client that is waited for may accept no byte.
    pub write: u32,
    /// How long a sender that holds a recipient may make others wait before its rate is measured; also over which time.
    pub grace: u32,
    /// Bytes that it has to pass on in that time.
    pub grace_bytes_min: u64,
    /// Bytes that a client which is to leave takes in a tick at least, on average.
    pub drain_bytes_per_tick: u64,
}

/// Who has missed a deadline of one client's outbox.
#[derive(Debug, PartialEq, Eq)]
pub struct Missed<K> {
    /// The client itself.
    pub client: Option<CloseReason>,
    /// The sender that holds it, and why.
    pub holder: Option<(K, CloseReason)>,
}

impl Deadlines {
    /// Why a client ends that has been silent for so many ticks, if it does.
    pub fn of_silence(&self, ticks: u32) -> Option<CloseReason> {
        (ticks >= self.idle).then_some(CloseReason::Idle)
    }

    /// Looks at the deadlines of an outbox.
    pub fn of_outbox<K: Clone + Eq>(&self, outbox: &mut Outbox<K>, now: Tick) -> Missed<K> {
        let holder = outbox.holder_too_slow(now, self.grace, self.grace_bytes_min);
        let is_stalled = outbox.is_stalled(now, self.write, |bytes| self.drain_ticks(bytes));
        Missed {
            client: is_stalled.then_some(CloseReason::SlowConsumer),
            holder: holder.map(|holder| (holder, CloseReason::TooSlow)),
        }
    }

    /// How long a client that is to leave may take for so many bytes.
    fn drain_ticks(&self, bytes: usize) -> u32 {
        u32::try_from(bytes as u64 / self.drain_bytes_per_tick.max(1)).unwrap_or(u32::MAX)
    }
}
