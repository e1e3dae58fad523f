//! A registered client as everyone else sees it: its name, and the way to send it bytes.

use std::{
    fmt,
    io::{self, IoSlice},
    net::SocketAddr,
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicU8,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::Waker,
};

use name_relay_core::{
    batch::SLICES_MAX,
    budget::Budget,
    clock::{AtomicTick, Tick},
    close::CloseReason,
    driver::{self, Driver, Framing},
    outbox::{Next, Outbox},
    registry,
    session::Next as SessionNext,
};
use tokio::net::{TcpStream, tcp::OwnedWriteHalf};

use super::policy::Identity;
use crate::{
    net::{Answers, answers},
    wire::{Name, OwnerKey},
};

/// Who a client is.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) name: Name,
    pub(super) address: SocketAddr,
    pub(super) framing: Framing,
    pub(super) identity: Identity,
    pub(super) owner: Option<Box<OwnerKey>>,
}

/// A registered client. Its own task reads from it and finishes what could not be written at once; any other task may deliver to it.
#[repr(C)]
pub(super) struct Peer {
    // First, so that the sweep, which looks at these of every peer, touches one cache line of each.
    /// When the client last sent a byte.
    heard: AtomicTick,
    /// When its machine last answered, or had nothing to answer.
    answered: AtomicTick,
    /// Its socket took bytes since the sweep last found everything answered.
    awaits_answer: AtomicBool,
    /// Why the connection is to end, when somebody else than its own task decided so; see [`CloseReason::code`].
    close_reason: AtomicU8,
    /// The outbox holds bytes that the owner's task has to write. Set from the outbox whenever its lock is let go.
    has_work: AtomicBool,
    /// The outbox has deadlines of its own. Set like `has_work`.
    is_watched: AtomicBool,
    /// What the session does, as far as it matters to deadlines: [`Waiting`].
    waiting: AtomicU8,
    holder: Holder,
    stream: OwnedWriteHalf,
    /// Wakes the task that owns the connection. A task's waker never changes, since the session is polled by its task directly.
    waker: Waker,
    outbox: Mutex<Outbox<PeerRef>>,
}

/// A registered client, shared. Two are equal if they are the same registration.
#[derive(Clone)]
pub(super) struct PeerRef(Arc<Peer>);

/// What a session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Waiting {
    /// Bytes of the client: its silence counts.
    Client,
    /// Space for what the client sent: its silence is not its own.
    Space,
    /// The same, with a deadline that the session itself knows.
    SpaceTimed,
}

/// What came of the owner's attempt to write the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// Nothing is left for the owner to do.
    Everything,
    /// The socket takes no more for now.
    UntilFull,
}

impl Deref for PeerRef {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.0
    }
}

impl PartialEq for PeerRef {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for PeerRef {}

impl fmt::Debug for PeerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PeerRef").field(&self.holder).finish()
    }
}

impl driver::Peer for PeerRef {
    #[inline]
    fn name(&self) -> &[u8] {
        self.holder.name.as_bytes()
    }

    #[inline]
    fn framing(&self) -> Framing {
        self.holder.framing
    }
}

impl registry::Holder for PeerRef {
    #[inline]
    fn name(&self) -> &[u8] {
        self.holder.name.as_bytes()
    }

    fn has_owner_of(&self, other: &Self) -> bool {
        self.holder.owner.is_some() && self.holder.owner == other.holder.owner
    }
}

impl PeerRef {
    pub(super) fn new(
        holder: Holder,
        stream: OwnedWriteHalf,
        waker: Waker,
        budget: Arc<Budget>,
        now: Tick,
    ) -> Self {
        let peer = Peer {
            holder,
            stream,
            waker,
            outbox: Mutex::new(Outbox::new(budget)),
            heard: AtomicTick::default(),
            answered: AtomicTick::default(),
            awaits_answer: AtomicBool::new(false),
            close_reason: AtomicU8::new(0),
            has_work: AtomicBool::new(false),
            is_watched: AtomicBool::new(false),
            waiting: AtomicU8::new(Waiting::Client as u8),
        };
        peer.heard.set(now);
        peer.answered.set(now);
        Self(Arc::new(peer))
    }

    /// The writing half, when the peer was never registered.
    pub(super) fn into_stream(self) -> Option<OwnedWriteHalf> {
        Arc::into_inner(self.0).map(|peer| peer.stream)
    }

    /// Writes from the queue until it is empty or the socket is full, and says how many bytes left.
    ///
    /// # Errors
    /// The connection's.
    pub(super) fn write_queue(&self, driver: &impl Driver<Peer = Self>) -> io::Result<(Written, usize)> {
        let mut left = 0;
        loop {
            // A sender that is writing wakes the owner when it leaves something.
            let Some(mut taken) = self.visit(Outbox::take) else { return Ok((Written::Everything, left)) };
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let used = taken.slices(&mut slices);
            let result = driver.write(self, &slices[..used]);
            let written = *result.as_ref().unwrap_or(&0);
            taken.consume(written);
            left += written;
            let (next, todo) = self.visit(|outbox| outbox.put_back(taken, written, driver.now()));
            driver.act(self, todo);
            match result {
                Ok(_) if next == Next::Done => return Ok((Written::Everything, left)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok((Written::UntilFull, left));
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Peer {
    pub(super) fn name(&self) -> &Name {
        &self.holder.name
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.holder.address
    }

    pub(super) fn framing(&self) -> Framing {
        self.holder.framing
    }

    /// What it has proved.
    pub(super) fn identity(&self) -> &Identity {
        &self.holder.identity
    }

    pub(super) fn stream(&self) -> &TcpStream {
        self.stream.as_ref()
    }

    /// Has the owner's task polled.
    pub(super) fn wake(&self) {
        self.waker.wake_by_ref();
    }

    // --- What the sweep and the owner tell each other.

    pub(super) fn hear(&self, now: Tick) {
        self.heard.set(now);
    }

    /// Ticks since the client last sent a byte; none while its reading is paused.
    pub(super) fn silence(&self, now: Tick) -> u32 {
        if self.is_paused() { 0 } else { now.since(self.heard.get()) }
    }

    /// Notes what the session does next. While it is paused the client cannot show that it is alive; its silence counts from the end of
    /// the pause.
    pub(super) fn note(&self, next: SessionNext, now: Tick) {
        let waiting = match next {
            SessionNext::Read => Waiting::Client,
            SessionNext::Wait | SessionNext::Drain | SessionNext::Close(_) => Waiting::Space,
            SessionNext::WaitTimed => Waiting::SpaceTimed,
        };
        if self.waiting.swap(waiting as u8, Relaxed) != waiting as u8 {
            self.hear(now);
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.waiting.load(Relaxed) != Waiting::Client as u8
    }

    /// Whether the session is to look at its own deadline.
    pub(super) fn is_timed(&self) -> bool {
        self.waiting.load(Relaxed) == Waiting::SpaceTimed as u8
    }

    /// Asks the owner's task to end the connection; the first reason stands.
    pub(super) fn end(&self, reason: CloseReason) {
        if self.close_reason.compare_exchange(0, reason.code(), Release, Relaxed).is_ok() {
            self.wake();
        }
    }

    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        CloseReason::from_code(self.close_reason.load(Acquire))
    }

    // --- The outbox.

    /// Visits the outbox under its lock, and tells those who look without the lock how it is afterwards.
    pub(super) fn visit<R>(&self, visit: impl FnOnce(&mut Outbox<PeerRef>) -> R) -> R {
        let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        let result = visit(&mut outbox);
        self.has_work.store(outbox.has_work(), Relaxed);
        self.is_watched.store(outbox.is_watched(), Relaxed);
        result
    }

    /// Whether the owner has something to write. Looks at a flag only, so that polling an idle connection takes no lock.
    pub(super) fn has_work(&self) -> bool {
        self.has_work.load(Relaxed)
    }

    /// Bytes the socket has not yet accepted.
    pub(super) fn pending(&self) -> usize {
        self.visit(|outbox| outbox.pending())
    }

    /// Writes as much as the socket accepts now.
    ///
    /// # Errors
    /// The connection's; [`io::ErrorKind::WouldBlock`] if that is nothing.
    pub(super) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = self.stream.try_write_vectored(slices)?;
        self.awaits_answer.store(true, Relaxed);
        Ok(written)
    }

    // --- For the sweep.

    /// For how many ticks the client's machine has not answered. Asks the system only while there is something to answer.
    pub(super) fn unanswered(&self, now: Tick) -> u32 {
        // Taken first: what is written while the system is asked counts for the next time.
        if self.awaits_answer.swap(false, Relaxed) {
            match answers(self.stream()) {
                Answers::All => {}
                Answers::Awaited => self.awaits_answer.store(true, Relaxed),
                Answers::Missing => {
                    self.awaits_answer.store(true, Relaxed);
                    return now.since(self.answered.get());
                }
            }
        }
        self.answered.set(now);
        0
    }

    /// Whether deadlines of the outbox may pass.
    pub(super) fn is_watched(&self) -> bool {
        self.is_watched.load(Relaxed)
    }
}
