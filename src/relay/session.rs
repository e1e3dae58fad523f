//! One registered connection's life: read batches, write what could not be written at once, leave.
//!
//! One task owns the connection and drives the core's session with it. While nothing is in flight it owns no buffer and no timer: batches
//! are read into a buffer of the worker that happens to run the task, and deadlines are the timer wheel's business.

use std::{
    cell::RefCell,
    future::poll_fn,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};

use name_relay_core::{
    batch::RECIPIENTS_MAX,
    close::CloseReason,
    driver::{Driver, Framing},
    session::{self as core, Next},
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::tcp::OwnedReadHalf,
};

use super::{
    Shared,
    peer::{Peer, PeerRef, Written},
};

/// Reads of a connection before others have their turn, and the share of the read buffer they may fill in all. One full batch a turn:
/// with more, the senders of a many-to-many exchange fill every queue before its recipient has a turn to empty it.
const READS_PER_TURN: usize = 16;
const BUFFER_SHARE_PER_TURN: usize = 2;

thread_local! {
    /// What a worker lends to the connection it is serving.
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

struct Worker {
    read: Vec<u8>,
    core: core::Worker<PeerRef>,
}

/// A registered connection, seen from its own task.
pub(super) struct Session {
    shared: Arc<Shared>,
    core: core::Session<PeerRef>,
    reader: OwnedReadHalf,
}

impl Session {
    /// A session that has already received `rest` behind its registration.
    pub(super) fn new(shared: Arc<Shared>, peer: PeerRef, reader: OwnedReadHalf, rest: Vec<u8>) -> Self {
        Self { shared, core: core::Session::new(peer, rest), reader }
    }

    /// The client as others see it.
    pub(super) fn peer(&self) -> &Peer {
        self.core.client()
    }

    /// What is left when the session has ended: the peer, and the side that was read from.
    pub(super) fn into_parts(self) -> (PeerRef, OwnedReadHalf) {
        (self.core.client().clone(), self.reader)
    }

    /// Serves the connection to its end.
    pub(super) async fn run(&mut self) -> CloseReason {
        self.retry();
        let reason = poll_fn(|cx| self.poll(cx)).await;
        self.core.close(&*self.shared, reason);
        self.shared.counters.count(reason);
        reason
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let mut bytes_left = self.shared.config.read_bytes / BUFFER_SHARE_PER_TURN;
        for _ in 0..READS_PER_TURN {
            if let Some(reason) = self.peer().close_reason() {
                return Poll::Ready(reason);
            }
            if let Err(reason) = self.write(cx) {
                return Poll::Ready(reason);
            }
            match self.core.next() {
                Next::Close(reason) => return Poll::Ready(reason),
                Next::Drain => return Poll::Pending,
                Next::Wait | Next::WaitTimed => {
                    self.retry();
                    if matches!(self.core.next(), Next::Wait | Next::WaitTimed) {
                        return Poll::Pending;
                    }
                    break;
                }
                Next::Read => match ready!(self.read(cx)) {
                    Ok(n) if n >= bytes_left => break,
                    Ok(n) => bytes_left -= n,
                    Err(reason) => return Poll::Ready(reason),
                },
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what is queued, until the socket is full.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        let mut written = 0;
        while self.peer().has_work() {
            match self.peer().stream().poll_write_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(ready) => ready?,
            }
            let (how, n) = self.core.client().write_queue(&*self.shared)?;
            written += n;
            if how == Written::Everything {
                break;
            }
        }
        let is_empty = !self.peer().has_work();
        self.core.wrote(written, is_empty);
        Ok(())
    }

    /// Reads one batch of so many bytes and routes it.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, CloseReason>> {
        let Self { shared, core, reader } = self;
        let n = with_worker(shared, |worker| {
            let range = core.read_into(&mut worker.core, &shared.input_limits, &mut worker.read);
            let mut buffer = ReadBuf::new(&mut worker.read[range]);
            let read = Pin::new(reader).poll_read(cx, &mut buffer);
            let n = buffer.filled().len();
            if let Poll::Ready(Ok(())) = read {
                if n > 0 {
                    core.client().hear(shared.clock.now());
                }
                core.received(&**shared, &mut worker.core, &shared.input_limits, &worker.read, n);
            }
            worker.core.end_read();
            ready!(read)?;
            Poll::Ready(Ok::<_, CloseReason>(n))
        });
        let n = ready!(n)?;
        self.note();
        self.shared.spin.after(n);
        Poll::Ready(Ok(n))
    }

    /// Goes on where the session was blocked.
    fn retry(&mut self) {
        let Self { shared, core, .. } = self;
        with_worker(shared, |worker| core.retry(&**shared, &mut worker.core, &shared.input_limits));
        self.note();
    }

    fn note(&self) {
        let now = self.shared.clock.now();
        if self.peer().note(self.core.next(), now) {
            self.shared.timers.soon(self.core.client(), now);
        }
    }
}

/// Lends what belongs to the worker.
fn with_worker<R>(shared: &Shared, work: impl FnOnce(&mut Worker) -> R) -> R {
    WORKER.with_borrow_mut(|worker| {
        let worker = worker.get_or_insert_with(|| {
            let seed = RandomState::new().hash_one(0);
            let core = core::Worker::new(RECIPIENTS_MAX, seed, Arc::clone(&shared.budget));
            Worker { read: Vec::new(), core }
        });
        if worker.read.len() != shared.config.read_bytes {
            // Fresh zeroed memory: pages that no batch reaches never become resident.
            worker.read = vec![0; shared.config.read_bytes];
        }
        work(worker)
    })
}

impl Driver for Shared {
    type Peer = PeerRef;

    fn limits(&self) -> name_relay_core::driver::RouteLimits {
        self.config.route_limits()
    }

    fn budget(&self) -> &Arc<name_relay_core::budget::Budget> {
        &self.budget
    }

    fn now(&self) -> name_relay_core::clock::Tick {
        self.clock.now()
    }

    fn find(&self, name: &[u8]) -> Option<PeerRef> {
        self.registry.get(name)
    }

    fn outbox<R>(
        &self,
        peer: &PeerRef,
        visit: impl FnOnce(&mut name_relay_core::outbox::Outbox<PeerRef>) -> R,
    ) -> R {
        let (result, is_watched) = peer.visit_watched(visit);
        if is_watched || peer.awaits_answer() {
            self.timers.soon(peer, self.clock.now());
        }
        result
    }

    fn write(&self, peer: &PeerRef, slices: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
        let written = peer.try_write(slices)?;
        if self.timers.watches_answers() {
            peer.expect_answer(self.clock.now());
        }
        Ok(written)
    }

    fn write_failed(&self, peer: &PeerRef) {
        peer.end(CloseReason::Disconnected);
    }

    fn wake(&self, peer: &PeerRef) {
        peer.wake();
    }

    fn batch(&self, peer: &PeerRef) {
        self.gather.add(peer);
    }

    fn undeliverable(&self, sender: &PeerRef, name: &[u8], count: u64) {
        self.counters.undeliverable.fetch_add(count, Relaxed);
        if sender.framing() != Framing::Session && matches!(name.first(), Some(b'\r' | b'\n')) {
            self.line_ends.hint(sender, name);
        }
        let to = crate::wire::Escaped(name);
        tracing::debug!(from = %sender.name(), %to, count, "undeliverable");
    }
}
