//! One registered connection's life: read batches, write what could not be written at once, leave.
//!
//! One task owns the connection. While nothing is in flight it owns no buffer and no timer: batches are read into a buffer of the
//! worker that happens to run the task, and deadlines are the sweep's business.

use std::{
    cell::RefCell,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    net::tcp::OwnedReadHalf,
};
use tracing::debug;

use super::{
    Shared,
    batch::Batch,
    carry::Carry,
    ending::Ending,
    lost::Lost,
    outbox::Admission,
    peer::{Framing, Haste, Peer, Written},
    route::{Router, Stop, Unfinished},
};
use crate::wire::parse_header;

/// Reads of a connection before others have their turn, and the share of the read buffer they may fill in all. One full batch a turn:
/// with more, the senders of a many-to-many exchange fill every queue before its recipient has a turn to empty it.
const READS_PER_TURN: usize = 16;
const BUFFER_SHARE_PER_TURN: usize = 2;

/// A batch from this size on comes from a sender in full flow: what it has for each of many recipients is worth a system call only
/// together with what other senders have for them.
const BULK_INPUT_BYTES: usize = 64 << 10;

/// An unfinished message up to this size is copied in front of the next read; a longer one collects what arrives behind it.
const CARRY_BYTES_COPIED: usize = 4 << 10;

thread_local! {
    /// What a worker lends to the connection it is serving.
    static WORKER: RefCell<Worker> = RefCell::new(Worker { read: Vec::new(), batch: Batch::new(), lost: Lost::default() });
}

struct Worker {
    read: Vec<u8>,
    batch: Batch,
    lost: Lost,
}

/// A registered connection, seen from its own task.
pub(super) struct Session {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    reader: OwnedReadHalf,
    /// Received bytes that could not be routed yet: the start of a frame, or all that came behind a blocked one.
    carry: Carry,
    /// Bytes that have to follow `carry` before routing it makes sense.
    missing: usize,
    unfinished: Unfinished,
    /// The recipient that has no room; nothing is read meanwhile.
    blocked_on: Option<Arc<Peer>>,
    /// The client has shut down its sending side; so many bytes queued before that are still to be written.
    draining: Option<usize>,
}

impl Session {
    /// A session that has already received `carry` behind its registration.
    pub(super) fn new(shared: Arc<Shared>, peer: Arc<Peer>, reader: OwnedReadHalf, carry: Vec<u8>) -> Self {
        let carry = Carry::from(carry);
        let unfinished = Unfinished::None;
        Self { shared, peer, reader, carry, missing: 0, unfinished, blocked_on: None, draining: None }
    }

    /// The client as others see it.
    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What is left when the session has ended: the peer, and the side that was read from.
    pub(super) fn into_parts(self) -> (Arc<Peer>, OwnedReadHalf) {
        (self.peer, self.reader)
    }

    /// Serves the connection to its end.
    pub(super) async fn run(&mut self) -> Ending {
        if let Some(ending) = self.route_carry() {
            return ending;
        }
        let ending = poll_fn(|cx| self.poll(cx)).await;
        self.abandon(ending);
        ending
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let mut bytes_left = self.shared.config.read_bytes / BUFFER_SHARE_PER_TURN;
        for _ in 0..READS_PER_TURN {
            if let Some(ending) = self.peer.ending() {
                return Poll::Ready(ending);
            }
            if let Err(ending) = self.write(cx) {
                return Poll::Ready(ending);
            }
            if let Some(left) = self.draining {
                // What was queued when the client finished has been written, or there is nothing at all.
                return if left == 0 || !self.peer.has_queue() {
                    Poll::Ready(Ending::Finished)
                } else {
                    Poll::Pending
                };
            }
            if self.blocked_on.is_some() {
                if let Some(ending) = self.route_carry() {
                    return Poll::Ready(ending);
                }
                if self.blocked_on.is_some() {
                    return Poll::Pending;
                }
                break;
            } else {
                match ready!(self.read(cx)) {
                    Ok(n) if n >= bytes_left => break,
                    Ok(n) => bytes_left -= n,
                    Err(ending) => return Poll::Ready(ending),
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what is queued, until the socket is full.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), Ending> {
        while self.peer.has_queue() {
            match self.peer.stream().poll_write_ready(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(ready) => ready?,
            }
            let (written, n) = self.peer.write_queue(self.shared.clock.now())?;
            if let Some(left) = &mut self.draining {
                *left = left.saturating_sub(n);
            }
            match written {
                Written::Everything => return Ok(()),
                Written::Gathering => {
                    self.shared.gather.add(&self.peer);
                    return Ok(());
                }
                Written::UntilFull => {}
            }
        }
        Ok(())
    }

    /// Reads one batch of so many bytes and routes it.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Ending>> {
        WORKER.with_borrow_mut(|worker| {
            if worker.read.len() != self.shared.config.read_bytes {
                // Fresh zeroed memory: pages that no batch reaches never become resident.
                worker.read = vec![0; self.shared.config.read_bytes];
            }
            let mut in_front = 0;
            let mut room = worker.read.len();
            if self.carry.len() > CARRY_BYTES_COPIED {
                // Nothing but the rest of this one message, so that it is copied once.
                room = room.min(self.missing.max(1));
            } else {
                in_front = self.carry.len();
                worker.read[..in_front].copy_from_slice(self.carry.bytes());
            }
            let mut buffer = ReadBuf::new(&mut worker.read[in_front..room.max(in_front + 1)]);
            match ready!(Pin::new(&mut self.reader).poll_read(cx, &mut buffer)) {
                Ok(()) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
            let n = buffer.filled().len();
            if n == 0 {
                return Poll::Ready(self.finish().map_or(Ok(0), Err));
            }
            self.peer.hear(self.shared.clock.now());
            if self.carry.len() > CARRY_BYTES_COPIED {
                self.carry.push(&worker.read[..n]);
                self.missing = self.missing.saturating_sub(n);
                if self.missing > 0 {
                    return Poll::Ready(Ok(n));
                }
                let carry = std::mem::take(&mut self.carry);
                let used = self.route(carry.bytes(), &mut worker.batch, &mut worker.lost)?;
                self.carry = carry.after(used);
                return Poll::Ready(Ok(n));
            }
            let used = self.route(&worker.read[..in_front + n], &mut worker.batch, &mut worker.lost)?;
            self.carry.replace(&worker.read[used..in_front + n]);
            self.shared.spin.after(n);
            Poll::Ready(Ok(n))
        })
    }

    /// Routes what was received earlier and could not go on.
    fn route_carry(&mut self) -> Option<Ending> {
        let carry = std::mem::take(&mut self.carry);
        let routed =
            WORKER.with_borrow_mut(|worker| self.route(carry.bytes(), &mut worker.batch, &mut worker.lost));
        match routed {
            Ok(used) => {
                self.carry = carry.after(used);
                None
            }
            Err(ending) => Some(ending),
        }
    }

    /// Routes `input` and says how much of it was used up.
    fn route(&mut self, input: &[u8], batch: &mut Batch, lost: &mut Lost) -> Result<usize, Ending> {
        let router = Router {
            is_bulk: self.blocked_on.is_some() || input.len() >= BULK_INPUT_BYTES,
            shared: &self.shared,
            sender: &self.peer,
            batch,
            lost,
            unfinished: &mut self.unfinished,
            input,
            now: self.shared.clock.now(),
        };
        let (used, stop) = router.run();
        let was_blocked = self.blocked_on.take().is_some();
        self.missing = 0;
        match stop {
            Stop::Incomplete { missing } => {
                self.missing = missing;
                // A client that does not read the relay's own answers has to before more of its frames are read.
                if self.peer.framing() == Framing::Session && self.peer.is_full() {
                    self.blocked_on = Some(Arc::clone(&self.peer));
                }
            }
            Stop::Blocked(peer) => self.blocked_on = Some(peer),
            Stop::Failed(ending) => return Err(ending),
        }
        if was_blocked != self.blocked_on.is_some() {
            // While paused the client cannot show that it is alive; its silence counts from the end of the pause.
            self.peer.hear(self.shared.clock.now());
            self.peer.set_paused(!was_blocked);
        }
        Ok(used)
    }

    /// The client sends nothing more: a raw recipient keeps what came of an unfinished message.
    fn finish(&mut self) -> Option<Ending> {
        self.deliver_part();
        let pending = self.peer.pending();
        self.draining = Some(pending);
        // From here on its silence is right.
        self.peer.set_paused(true);
        (pending == 0).then_some(Ending::Finished)
    }

    /// Delivers what there is of a message that will never be complete, if its recipient takes raw bytes.
    fn deliver_part(&mut self) {
        let carry = std::mem::take(&mut self.carry);
        let carry = carry.bytes();
        let Ok(Some(header)) = parse_header(carry) else { return };
        let Some(recipient) = self.shared.registry.get(&carry[..header.name_bytes]) else { return };
        let part = &carry[header.header_bytes..];
        if recipient.framing() != Framing::Raw || part.is_empty() {
            return;
        }
        // As for every message: only what there is room for. Nobody waits on behalf of a client that has left.
        match recipient.admit(&self.peer, part.len(), false) {
            Admission::Room(_) => {
                let slices = &mut [std::io::IoSlice::new(part)];
                recipient.deliver(&self.peer, slices, Haste::Now, false, self.shared.clock.now());
            }
            Admission::Wait => {
                recipient.forget(&self.peer);
                self.shared.counters.undeliverable.fetch_add(1, Relaxed);
                debug!(from = %self.peer.name(), to = %recipient.name(), "no room for the part of a message");
            }
            Admission::Closed => {}
        }
    }

    /// Lets go of whatever the session held or waited for.
    fn abandon(&mut self, ending: Ending) {
        if ending == Ending::Disconnected && self.blocked_on.is_none() {
            self.deliver_part();
        }
        if let Unfinished::Streamed { to, .. } = std::mem::take(&mut self.unfinished) {
            to.forget(&self.peer);
        }
        if let Some(peer) = self.blocked_on.take() {
            peer.forget(&self.peer);
        }
        self.carry = Carry::default();
        self.shared.counters.count(ending);
    }
}
