//! What the core asks of whoever drives it: the relay with its sockets, or the simulator without any.
//!
//! The driver owns the lock of each outbox and makes the writes. It never holds a lock while it calls into the core, except within
//! [`Driver::outbox`].

use std::{
    fmt::Debug,
    io::{self, IoSlice},
    sync::Arc,
};

use crate::{
    budget::Budget,
    clock::Tick,
    outbox::{Grant, Offered, Outbox, Todo, Woken, WriteMode},
};

/// How a client receives messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Version 1, payload alone.
    Raw,
    /// Version 1 with framed delivery.
    Framed,
    /// Version 2: framed, and control frames besides.
    Session,
}

/// A registered client, as a cheap reference. Two are equal if they are the same registration, not if they have the same name.
pub trait Peer: Clone + Eq + Debug {
    /// Its name.
    fn name(&self) -> &[u8];

    /// How it receives messages.
    fn framing(&self) -> Framing;
}

/// The numbers that routing goes by, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteLimits {
    /// The largest message that is delivered framed or sent in version 2. Such a message is collected whole.
    pub message_bytes_max: u64,
    /// A raw message above this is streamed through in pieces; up to it, it is collected first, so that its recipient is not held
    /// for a slow sender.
    pub stream_bytes_min: u64,
}

/// Drives the core.
pub trait Driver {
    /// A registered client.
    type Peer: Peer;

    /// The numbers that routing goes by.
    fn limits(&self) -> RouteLimits;

    /// The budget of all queues.
    fn budget(&self) -> &Arc<Budget>;

    /// The time.
    fn now(&self) -> Tick;

    /// The client that has the name.
    fn find(&self, name: &[u8]) -> Option<Self::Peer>;

    /// Visits a client's outbox under its lock. `visit` is short and calls nothing of the driver. Where the outbox
    /// [is watched](Outbox::is_watched) afterwards, the client is looked at with the next tick at the latest.
    fn outbox<R>(&self, peer: &Self::Peer, visit: impl FnOnce(&mut Outbox<Self::Peer>) -> R) -> R;

    /// Writes as much as the client's socket accepts now, and says how many bytes that was.
    ///
    /// # Errors
    /// The connection's; [`io::ErrorKind::WouldBlock`] if the socket accepts nothing now.
    fn write(&self, peer: &Self::Peer, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// A write has failed: the client is gone.
    fn write_failed(&self, peer: &Self::Peer);

    /// Has the client's owner look at it soon.
    fn wake(&self, peer: &Self::Peer);

    /// Sees to it that [`Outbox::stop_batching`] is called for the client soon.
    fn batch(&self, peer: &Self::Peer);

    /// Messages to a name that nobody has were discarded.
    fn undeliverable(&self, sender: &Self::Peer, name: &[u8], count: u64);

    /// Does what a step in the client's outbox has left to do.
    fn act(&self, peer: &Self::Peer, todo: Todo<Self::Peer>) {
        if todo.wake_owner {
            self.wake(peer);
        }
        if todo.batch {
            self.batch(peer);
        }
        match todo.wake {
            Woken::Nobody => {}
            Woken::One(waiter) => self.wake(&waiter),
            Woken::All(waiters) => waiters.iter().for_each(|waiter| self.wake(waiter)),
        }
    }

    /// Delivers bytes from a sender that was granted space for them. What the socket accepts now goes out from here, if `mode` says so and
    /// nothing waits before it.
    fn deliver(
        &self,
        to: &Self::Peer,
        sender: &Self::Peer,
        grant: Grant,
        slices: &mut [IoSlice<'_>],
        mode: WriteMode,
        last: bool,
    ) {
        let offered = self.outbox(to, |outbox| outbox.offer(sender, grant, slices, mode, last, self.now()));
        let todo = match offered {
            Offered::Queued(todo) => todo,
            Offered::Write(todo) => {
                self.act(to, todo);
                let mut rest = slices;
                match self.write(to, rest) {
                    Ok(written) => IoSlice::advance_slices(&mut rest, written),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => {
                        self.write_failed(to);
                        rest = &mut [];
                    }
                }
                self.outbox(to, |outbox| outbox.wrote(rest, self.now()))
            }
        };
        self.act(to, todo);
    }
}
