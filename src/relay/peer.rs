//! A registered client as everyone else sees it: its name, and the way to send it bytes.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU8,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::Waker,
};

use tokio::net::{TcpStream, tcp::OwnedWriteHalf};

use super::{
    clock::{AtomicTick, Tick},
    ending::Ending,
    outbox::{Admission, Lane, Outbox},
    policy::Identity,
    queue::ByteQueue,
    room::Room,
};
use crate::{
    net::{Answers, answers},
    wire::{Name, OwnerKey},
};

/// Slices given to one vectored write. Linux takes 1,024; 64 of a few kilobytes each already fill a socket buffer.
pub(super) const SLICES_MAX: usize = 64;

/// Gathered bytes from which on no more company is waited for.
const GATHERED_BYTES: usize = 64 << 10;

/// How a peer receives messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Version 1, payload alone.
    Raw,
    /// Version 1 with framed delivery.
    Framed,
    /// Version 2: framed, and control frames besides.
    Session,
}

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
#[derive(Debug)]
#[repr(C)]
pub(super) struct Peer {
    // First, so that the sweep, which looks at these of every peer, touches one cache line of each.
    /// When the client last sent a byte.
    heard: AtomicTick,
    /// When its machine last answered, or had nothing to answer.
    answered: AtomicTick,
    /// Its socket took bytes since the sweep last found everything answered.
    awaits_answer: AtomicBool,
    /// Why the connection is to end, when somebody else than its own task decided so; see [`Ending`].
    ending: AtomicU8,
    /// The outbox holds bytes that the owner's task has to write.
    has_queue: AtomicBool,
    /// Somebody holds this peer or waits for it.
    contended: AtomicBool,
    /// The client's reading is paused because a recipient is full: its silence is not its own.
    paused: AtomicBool,
    holder: Holder,
    stream: OwnedWriteHalf,
    /// Wakes the task that owns the connection. A task's waker never changes, since the session is polled by its task directly.
    waker: Waker,
    outbox: Mutex<Outbox>,
    /// Bounds the outbox.
    room: Arc<Room>,
}

/// When a delivery is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Haste {
    /// At once, from the sender's task: no hand-over, the shortest way for a message.
    Now,
    /// By the owner's task, together with what other senders add until then.
    Together,
}

/// What the caller of [`Peer::deliver`] has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivered {
    /// Nothing.
    Done,
    /// See to it that [`Peer::stop_gathering`] is called soon.
    Gathering,
}

/// What came of the owner's attempt to write the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// Nothing is left for the owner to do.
    Everything,
    /// Nothing is left but what waits for company: [`Peer::stop_gathering`] is to be called soon.
    Gathering,
    /// The socket takes no more for now.
    UntilFull,
}

impl Peer {
    pub(super) fn new(
        holder: Holder,
        stream: OwnedWriteHalf,
        waker: Waker,
        room: Arc<Room>,
        now: Tick,
    ) -> Self {
        let peer = Self {
            holder,
            stream,
            waker,
            outbox: Mutex::default(),
            room,
            heard: AtomicTick::default(),
            answered: AtomicTick::default(),
            awaits_answer: AtomicBool::new(false),
            ending: AtomicU8::new(0),
            has_queue: AtomicBool::new(false),
            contended: AtomicBool::new(false),
            paused: AtomicBool::new(false),
        };
        peer.heard.set(now);
        peer.answered.set(now);
        peer
    }

    /// The writing half, when the peer was never registered.
    pub(super) fn into_stream(self) -> OwnedWriteHalf {
        self.stream
    }

    pub(super) fn name(&self) -> &Name {
        &self.holder.name
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.holder.address
    }

    pub(super) fn framing(&self) -> Framing {
        self.holder.framing
    }

    /// Whether both were registered by the same owner, which only a key can show.
    pub(super) fn has_owner_of(&self, other: &Self) -> bool {
        self.holder.owner.is_some() && self.holder.owner == other.holder.owner
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
        if self.paused.load(Relaxed) { 0 } else { now.since(self.heard.get()) }
    }

    pub(super) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Relaxed);
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Relaxed)
    }

    /// Asks the owner's task to end the connection; the first reason stands.
    pub(super) fn end(&self, ending: Ending) {
        if self.ending.compare_exchange(0, ending.code(), Release, Relaxed).is_ok() {
            self.wake();
        }
    }

    pub(super) fn ending(&self) -> Option<Ending> {
        Ending::from_code(self.ending.load(Acquire))
    }

    // --- Sending, from any task.

    /// Asks for room for `need` bytes; see [`Outbox::admit`].
    pub(super) fn admit(&self, sender: &Arc<Self>, need: usize, hold: bool) -> Admission {
        let mut outbox = self.lock();
        let admission = outbox.admit(sender, need, self.room.limit(), hold);
        self.contended.store(outbox.is_contended(), Relaxed);
        admission
    }

    /// Delivers whole messages, or a piece of one that is streamed, from a sender that was admitted. With [`Haste::Now`], what the
    /// socket takes goes out from here and only the rest is queued for the owner's task; with [`Haste::Together`] everything is
    /// queued. With `last`, the sender's hold ends behind these bytes.
    pub(super) fn deliver(
        &self,
        sender: &Arc<Self>,
        slices: &mut [IoSlice<'_>],
        haste: Haste,
        last: bool,
        now: Tick,
    ) -> Delivered {
        let total = slices.iter().map(|slice| slice.len()).sum();
        let mut outbox = self.lock();
        if outbox.closed {
            return Delivered::Done;
        }
        let mut owner_has_work = false;
        let mut starts_gathering = false;
        if let Lane::Deferred(queue) = outbox.lane(sender, total) {
            slices.iter().for_each(|slice| queue.push(slice));
        } else if outbox.writing || !outbox.queue.is_empty() {
            // The owner, or whoever is writing, goes on to these when they are through with what is before.
            slices.iter().for_each(|slice| outbox.queue.push(slice));
            outbox.hurried |= haste == Haste::Now;
            if outbox.gathering && (outbox.hurried || outbox.queue.len() >= GATHERED_BYTES) {
                outbox.gathering = false;
                owner_has_work = true;
            }
        } else if haste == Haste::Together {
            slices.iter().for_each(|slice| outbox.queue.push(slice));
            outbox.progress = now;
            outbox.gathering = true;
            starts_gathering = true;
        } else if total > 0 {
            outbox.writing = true;
            outbox.in_flight = total;
            drop(outbox);
            let result = self.stream.try_write_vectored(slices);
            outbox = self.lock();
            outbox.writing = false;
            outbox.in_flight = 0;
            outbox.progress = now;
            let written = match result {
                Ok(n) => {
                    self.awaits_answer.store(true, Relaxed);
                    n
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(_) => {
                    self.end(Ending::Disconnected);
                    total
                }
            };
            if written < total && !outbox.closed {
                let mut rest = slices;
                IoSlice::advance_slices(&mut rest, written);
                let mut queue = ByteQueue::default();
                rest.iter().for_each(|slice| queue.push(slice));
                // What others added meanwhile comes behind.
                queue.append(std::mem::take(&mut outbox.queue));
                outbox.queue = queue;
            }
            outbox.hurried |= !outbox.queue.is_empty();
            owner_has_work = outbox.hurried;
        }
        if last {
            outbox.release(sender);
            owner_has_work |= !outbox.queue.is_empty() && !outbox.writing;
        }
        outbox.settle(&self.room);
        self.contended.store(outbox.is_contended(), Relaxed);
        if owner_has_work {
            self.has_queue.store(true, Relaxed);
            drop(outbox);
            self.wake();
        }
        if starts_gathering { Delivered::Gathering } else { Delivered::Done }
    }

    /// Has the owner's task write what was gathered.
    pub(super) fn stop_gathering(&self) {
        let mut outbox = self.lock();
        if std::mem::take(&mut outbox.gathering) {
            self.has_queue.store(true, Relaxed);
            drop(outbox);
            self.wake();
        }
    }

    /// The sender has left, or no longer wants what it waited for.
    pub(super) fn forget(&self, sender: &Arc<Self>) {
        let mut outbox = self.lock();
        outbox.release(sender);
        outbox.settle(&self.room);
        self.contended.store(outbox.is_contended(), Relaxed);
        if !outbox.queue.is_empty() {
            self.has_queue.store(true, Relaxed);
            self.wake();
        }
    }

    // --- Writing, from the owner's task.

    /// Whether the owner has something to write. Looks at a flag only, so that polling an idle connection takes no lock.
    pub(super) fn has_queue(&self) -> bool {
        self.has_queue.load(Relaxed)
    }

    /// Bytes the socket has not yet accepted.
    pub(super) fn pending(&self) -> usize {
        self.lock().pending()
    }

    /// Whether the queue is at its bound.
    pub(super) fn is_full(&self) -> bool {
        self.has_queue() && self.pending() >= self.room.share()
    }

    /// Writes from the queue until it is empty or the socket is full, and says how many bytes left.
    ///
    /// # Errors
    /// The connection's.
    pub(super) fn write_queue(&self, now: Tick) -> io::Result<(Written, usize)> {
        let mut left = 0;
        // The last write left something of what it was given.
        let mut was_full = false;
        let mut outbox = self.lock();
        loop {
            if outbox.writing || outbox.queue.is_empty() {
                // A sender that is writing wakes the owner when it leaves something.
                self.has_queue.store(false, Relaxed);
                return Ok((Written::Everything, left));
            }
            if left > 0 && !outbox.hurried && outbox.queue.len() < GATHERED_BYTES && !was_full {
                // Came while the rest was being written; it need not go alone.
                outbox.gathering = true;
                self.has_queue.store(false, Relaxed);
                return Ok((Written::Gathering, left));
            }
            let mut taken = std::mem::take(&mut outbox.queue);
            outbox.hurried = false;
            outbox.in_flight = taken.len();
            outbox.writing = true;
            drop(outbox);

            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let used = taken.slices(&mut slices);
            let result = self.stream.try_write_vectored(&slices[..used]);
            let n = *result.as_ref().unwrap_or(&0);
            taken.consume(n);
            left += n;

            outbox = self.lock();
            outbox.writing = false;
            outbox.in_flight = 0;
            if n > 0 {
                outbox.progress = now;
                self.awaits_answer.store(true, Relaxed);
            }
            was_full = !taken.is_empty();
            taken.append(std::mem::take(&mut outbox.queue));
            outbox.queue = taken;
            outbox.settle(&self.room);
            outbox.relieve(self.room.limit());
            match result {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok((Written::UntilFull, left));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Appends the relay's own last words, whatever the bound.
    pub(super) fn append(&self, bytes: &[u8]) {
        let mut outbox = self.lock();
        if !outbox.closed {
            outbox.queue.push(bytes);
            self.has_queue.store(true, Relaxed);
        }
    }

    /// Drops what waits and accepts nothing more; whoever waits for this peer is woken.
    pub(super) fn close(&self) {
        let mut outbox = self.lock();
        outbox.close();
        outbox.settle(&self.room);
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

    /// Whether others wait for this peer and its socket has accepted nothing for `ticks`.
    pub(super) fn is_stalled(&self, now: Tick, ticks: u32) -> bool {
        if !self.has_queue() {
            return false;
        }
        let outbox = self.lock();
        outbox.is_full(self.room.share()) && now.since(outbox.progress) >= ticks
    }

    /// See [`Outbox::holder_too_slow`].
    pub(super) fn holder_too_slow(&self, now: Tick, grace: u32, bytes_min: u64) -> Option<Arc<Self>> {
        if !self.contended.load(Relaxed) {
            return None;
        }
        self.lock().holder_too_slow(now, grace, bytes_min)
    }

    fn lock(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
