//! A peer's outbound bytes: bounded, written through while nothing waits, and passed on whole message by whole message.
//!
//! This is the state behind the peer's lock and the rules about who may add to it. It never touches the socket: [`super::peer`] does,
//! outside the lock.

use std::{collections::VecDeque, sync::Arc};

use super::{clock::Tick, peer::Peer, queue::ByteQueue, room::Room};

/// What waits for one peer's socket, and who waits for room in it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Bytes in the order they will be written.
    pub(super) queue: ByteQueue,
    /// Bytes that a writer has taken and is writing at this moment, without the lock.
    pub(super) in_flight: usize,
    /// Somebody is writing; nobody else may.
    pub(super) writing: bool,
    /// The queue waits for company; the owner does not know of it yet.
    pub(super) gathering: bool,
    /// Something in the queue must not wait for company.
    pub(super) hurried: bool,
    /// The peer is gone; nothing is accepted any more.
    pub(super) closed: bool,
    /// When the socket last accepted a byte, or bytes began to wait.
    pub(super) progress: Tick,
    /// Bytes of [`Room`] that are borrowed for this peer.
    loan: usize,
    /// Only there while a sender holds the peer or waits for it, which is rare.
    contention: Option<Box<Contention>>,
}

#[derive(Debug, Default)]
struct Contention {
    hold: Option<Hold>,
    /// Senders waiting for room or for the end of the hold, first come, first served.
    waiters: VecDeque<Arc<Peer>>,
    /// Whole messages of senders that were admitted just before the hold began; they follow it.
    deferred: ByteQueue,
}

/// A sender inside a message that is streamed: until its end nobody else's bytes may come between.
#[derive(Debug)]
struct Hold {
    sender: Arc<Peer>,
    /// The sender itself waits for room.
    waits_for_room: bool,
    /// Bytes of the message passed on since `measured_from`.
    passed: u64,
    /// When the rate began to be measured: when others began to wait.
    measured_from: Option<Tick>,
}

/// The answer to a sender that wants to add bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It may add so many bytes.
    Room(usize),
    /// It has to wait and will be woken.
    Wait,
    /// The peer is gone.
    Closed,
}

impl Outbox {
    /// Bytes that the socket has not yet accepted.
    pub(super) fn pending(&self) -> usize {
        let deferred = self.contention.as_ref().map_or(0, |contention| contention.deferred.len());
        self.queue.len() + self.in_flight + deferred
    }

    /// To be called whenever what is pending has changed.
    pub(super) fn settle(&mut self, room: &Room) {
        let pending = self.pending();
        room.settle(&mut self.loan, pending);
    }

    /// Asks for room for `need` bytes in a queue of `limit`. More than the whole queue is admitted when it is empty. With `hold`,
    /// success makes the sender the holder.
    pub(super) fn admit(&mut self, sender: &Arc<Peer>, need: usize, limit: usize, hold: bool) -> Admission {
        if self.closed {
            return Admission::Closed;
        }
        let pending = self.pending();
        let room = limit.saturating_sub(pending);
        let fits = pending == 0 || need <= room;
        if self.contention.is_none() {
            if fits && !hold {
                return Admission::Room(room.max(need));
            }
            self.contention = Some(Box::default());
        }
        let Some(contention) = &mut self.contention else { return Admission::Wait };

        if let Some(current) = &mut contention.hold {
            if Arc::ptr_eq(&current.sender, sender) {
                current.waits_for_room = !fits;
                return if fits { Admission::Room(room.max(need)) } else { Admission::Wait };
            }
            contention.enqueue(sender);
            return Admission::Wait;
        }
        let its_turn = contention.waiters.front().is_none_or(|first| Arc::ptr_eq(first, sender));
        if !(fits && its_turn) {
            contention.enqueue(sender);
            return Admission::Wait;
        }
        contention.waiters.pop_front();
        if hold {
            let measured_from = None;
            contention.hold =
                Some(Hold { sender: Arc::clone(sender), waits_for_room: false, passed: 0, measured_from });
        } else {
            // There may be room for the next in line as well.
            contention.wake_first();
        }
        self.tidy();
        Admission::Room(room.max(need))
    }

    /// Where `sender`'s `n` bytes go now: the queue itself, or behind the message of another sender that holds the peer.
    pub(super) fn lane(&mut self, sender: &Arc<Peer>, n: usize) -> Lane<'_> {
        match &mut self.contention {
            Some(contention) => match &mut contention.hold {
                Some(hold) if !Arc::ptr_eq(&hold.sender, sender) => Lane::Deferred(&mut contention.deferred),
                Some(hold) => {
                    hold.passed += n as u64;
                    Lane::Open
                }
                None => Lane::Open,
            },
            None => Lane::Open,
        }
    }

    /// The sender's message is complete, or the sender is gone: it neither holds the peer nor waits for it.
    pub(super) fn release(&mut self, sender: &Arc<Peer>) {
        let Some(contention) = &mut self.contention else { return };
        if contention.hold.as_ref().is_some_and(|hold| Arc::ptr_eq(&hold.sender, sender)) {
            contention.hold = None;
            self.queue.append(std::mem::take(&mut contention.deferred));
        }
        contention.waiters.retain(|waiter| !Arc::ptr_eq(waiter, sender));
        if contention.hold.is_none() {
            contention.wake_first();
        }
        self.tidy();
    }

    /// After bytes have left: lets somebody go on once the queue is down to three quarters of its limit.
    pub(super) fn relieve(&mut self, limit: usize) {
        if self.pending() > limit / 4 * 3 {
            return;
        }
        if let Some(contention) = &mut self.contention {
            match &mut contention.hold {
                Some(hold) if hold.waits_for_room => hold.sender.wake(),
                Some(_) => {}
                None => contention.wake_first(),
            }
        }
    }

    /// Closes for good: what waits is dropped, whoever waits is woken to find out.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.queue = ByteQueue::default();
        if let Some(contention) = self.contention.take() {
            contention.waiters.iter().for_each(|waiter| waiter.wake());
            if let Some(hold) = contention.hold {
                hold.sender.wake();
            }
        }
    }

    /// Whether anyone is kept waiting by the peer's own slowness.
    pub(super) fn is_full(&self, limit: usize) -> bool {
        let waited_for = self.contention.as_ref().is_some_and(|contention| match &contention.hold {
            Some(hold) => hold.waits_for_room,
            None => !contention.waiters.is_empty(),
        });
        self.pending() >= limit || (waited_for && self.pending() > 0)
    }

    pub(super) fn is_contended(&self) -> bool {
        self.contention.is_some()
    }

    /// The holder, if it has made others wait for `grace` ticks and passed on less than `bytes_min` in that time. A holder that itself
    /// waits for the peer is not to blame.
    pub(super) fn holder_too_slow(&mut self, now: Tick, grace: u32, bytes_min: u64) -> Option<Arc<Peer>> {
        let contention = self.contention.as_mut()?;
        let others_wait = !contention.waiters.is_empty() || !contention.deferred.is_empty();
        let pending = self.queue.len() + self.in_flight;
        let hold = contention.hold.as_mut()?;
        if !others_wait || hold.waits_for_room || pending > 0 {
            hold.measured_from = None;
            return None;
        }
        match hold.measured_from {
            None => {
                hold.measured_from = Some(now);
                hold.passed = 0;
                None
            }
            Some(start) if now.since(start) < grace => None,
            Some(_) if hold.passed >= bytes_min => {
                hold.measured_from = Some(now);
                hold.passed = 0;
                None
            }
            Some(_) => Some(Arc::clone(&hold.sender)),
        }
    }

    fn tidy(&mut self) {
        let idle = |c: &Contention| c.hold.is_none() && c.waiters.is_empty() && c.deferred.is_empty();
        if self.contention.as_deref().is_some_and(idle) {
            self.contention = None;
        }
    }
}

/// See [`Outbox::lane`].
pub(super) enum Lane<'a> {
    Open,
    Deferred(&'a mut ByteQueue),
}

impl Contention {
    fn enqueue(&mut self, sender: &Arc<Peer>) {
        if !self.waiters.iter().any(|waiter| Arc::ptr_eq(waiter, sender)) {
            self.waiters.push_back(Arc::clone(sender));
        }
    }

    fn wake_first(&self) {
        if let Some(first) = self.waiters.front() {
            first.wake();
        }
    }
}
