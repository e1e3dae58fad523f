//! The deadlines of registered clients, in ticks. The driver looks at a client when the client's timer in the [`wheel`](crate::wheel) is due:
//! no client has a timer of the system, and a byte that arrives cancels nothing.

use crate::{clock::Tick, close::CloseReason, outbox::Outbox, session::Next};

/// A client that is looked at later than this is looked at once more in between, so that ticks can be compared.
const FAR: u32 = 1 << 30;

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

/// What a session waits for, as far as it matters to deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Waiting {
    /// Bytes of the client: its silence counts.
    Client,
    /// Space for what the client sent: its silence is not its own.
    Space,
    /// The same, with a deadline that the session itself knows.
    SpaceTimed,
}

impl From<Next> for Waiting {
    fn from(next: Next) -> Self {
        match next {
            Next::Read => Self::Client,
            Next::Wait | Next::Drain | Next::Close(_) => Self::Space,
            Next::WaitTimed => Self::SpaceTimed,
        }
    }
}

/// What a look at a client finds.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a missed deadline has a consequence, and the next one has to be watched"]
pub struct Look<K> {
    /// Why the client itself is to end.
    pub close: Option<CloseReason>,
    /// The sender that holds the client's outbox and is to end, and why.
    pub holder: Option<(K, CloseReason)>,
    /// The session is to look at a deadline of its own: [`Session::retry`](crate::session::Session::retry).
    pub retry: bool,
    /// When the client is to be looked at again, if nothing brings a deadline closer until then.
    pub again: Tick,
}

impl Deadlines {
    /// Looks at a client that was heard last at `heard`.
    pub fn look<K: Clone + Eq>(
        &self,
        heard: Tick,
        waiting: Waiting,
        outbox: &mut Outbox<K>,
        now: Tick,
    ) -> Look<K> {
        let is_silent = waiting == Waiting::Client && now.since(heard) >= self.idle;
        let holder = outbox.holder_too_slow(now, self.grace, self.grace_bytes_min);
        let is_stalled = outbox.is_stalled(now, self.write, |bytes| self.drain_ticks(bytes));
        let close = match (is_silent, is_stalled) {
            (true, _) => Some(CloseReason::Idle),
            (_, true) => Some(CloseReason::SlowConsumer),
            _ => None,
        };
        let is_quiet = waiting == Waiting::Client && !outbox.is_watched();
        Look {
            close,
            holder: holder.map(|holder| (holder, CloseReason::TooSlow)),
            retry: waiting == Waiting::SpaceTimed,
            again: if is_quiet { heard.after(self.idle.min(FAR)) } else { now.after(1) },
        }
    }

    /// How long a client that is to leave may take for so many bytes.
    fn drain_ticks(&self, bytes: usize) -> u32 {
        u32::try_from(bytes as u64 / self.drain_bytes_per_tick.max(1)).unwrap_or(u32::MAX)
    }
}
