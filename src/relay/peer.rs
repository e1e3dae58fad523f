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
            Ordering::{Acquire, Relaxed, Release, SeqCst},
        },
    },
    task::Waker,
};

use name_relay_core::{
    batch::SLICES_MAX,
    budget::Budget,
    clock::{AtomicTick, Tick},
    close::CloseReason,
    deadlines::Waiting,
    driver::{self, Driver, Framing},
    outbox::{Next, Outbox},
    registry,
    session::Next as SessionNext,
    wheel::{Timed, Timer},
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
pub(super) struct Peer {
    /// When its deadlines are looked at next.
    timer: Timer,
    /// When the client last sent a byte.
    heard: AtomicTick,
    /// While an answer is awaited: when its machine last answered, or had nothing to answer.
    answered: AtomicTick,
    /// Its socket took bytes since everything was last found answered.
    awaits_answer: AtomicBool,
    /// Why the connection is to end, when somebody else than its own task decided so; see [`CloseReason::code`].
    close_reason: AtomicU8,
    /// The outbox holds bytes that the owner's task has to write. Set from the outbox whenever its lock is let go.
    has_work: AtomicBool,
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

impl Timed for PeerRef {
    #[inline]
    fn timer(&self) -> &Timer {
        &self.0.timer
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
            timer: Timer::default(),
            heard: AtomicTick::default(),
            answered: AtomicTick::default(),
            awaits_answer: AtomicBool::new(false),
            close_reason: AtomicU8::new(0),
            has_work: AtomicBool::new(false),
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
            let Some(mut taken) = driver.outbox(self, Outbox::take) else {
                return Ok((Written::Everything, left));
            };
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let used = taken.slices(&mut slices);
            let result = driver.write(self, &slices[..used]);
            let written = *result.as_ref().unwrap_or(&0);
            taken.consume(written);
            left += written;
            let (next, todo) = driver.outbox(self, |outbox| outbox.put_back(taken, written, driver.now()));
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

    // --- What the owner and those who watch deadlines tell each other.

    pub(super) fn hear(&self, now: Tick) {
        self.heard.set(now);
    }

    /// When the client last sent a byte, or began to be read again.
    pub(super) fn heard(&self) -> Tick {
        self.heard.get()
    }

    /// Notes what the session does next, and says whether deadlines have changed. While the session is paused the client cannot show that
    /// it is alive; its silence counts from the end of the pause.
    #[must_use = "a deadline may have come closer"]
    pub(super) fn note(&self, next: SessionNext, now: Tick) -> bool {
        let waiting = Waiting::from(next) as u8;
        if self.waiting.load(Relaxed) == waiting {
            return false;
        }
        self.hear(now);
        // In one order with the timer; see `Timer::is_set_by`.
        self.waiting.store(waiting, SeqCst);
        true
    }

    pub(super) fn waiting(&self) -> Waiting {
        match self.waiting.load(SeqCst) {
            waiting if waiting == Waiting::Client as u8 => Waiting::Client,
            waiting if waiting == Waiting::Space as u8 => Waiting::Space,
            _ => Waiting::SpaceTimed,
        }
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

    /// Visits the outbox under its lock, and tells those who look without the lock how it is afterwards. Where a deadline may come closer,
    /// [`Driver::outbox`] is called instead.
    pub(super) fn visit<R>(&self, visit: impl FnOnce(&mut Outbox<PeerRef>) -> R) -> R {
        self.visit_watched(visit).0
    }

    /// The same, and whether deadlines of the outbox may pass now.
    pub(super) fn visit_watched<R>(&self, visit: impl FnOnce(&mut Outbox<PeerRef>) -> R) -> (R, bool) {
        let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        let result = visit(&mut outbox);
        self.has_work.store(outbox.has_work(), Relaxed);
        (result, outbox.is_watched())
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
        self.stream.try_write_vectored(slices)
    }

    /// The client's machine has something to answer from now on.
    pub(super) fn expect_answer(&self, now: Tick) {
        if !self.awaits_answer() {
            self.answered.set(now);
            self.awaits_answer.store(true, Relaxed);
        }
    }

    /// Whether the client's machine may have something left to answer.
    pub(super) fn awaits_answer(&self) -> bool {
        self.awaits_answer.load(Relaxed)
    }

    /// For how many ticks the client's machine has not answered. Asks the system only while there is something to answer.
    pub(super) fn unanswered(&self, now: Tick) -> u32 {
        let since = self.answered.get();
        // Taken first: what is written while the system is asked counts for the next time.
        if !self.awaits_answer.swap(false, Relaxed) {
            return 0;
        }
        let (since, unanswered) = match answers(self.stream()) {
            Answers::All => return 0,
            Answers::Awaited => (now, 0),
            Answers::Missing => (since, now.since(since)),
        };
        self.answered.set(since);
        self.awaits_answer.store(true, Relaxed);
        unanswered
    }
}
