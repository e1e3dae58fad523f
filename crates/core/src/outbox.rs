//! A client's outbound bytes: bounded, written through while nothing waits, and passed on whole message by whole message.
//!
//! This is the state behind one lock, which the driver owns, and the rules about who may add to it. Nothing here touches a socket. A write is
//! two steps, because the driver writes without the lock: [`Outbox::offer`] or [`Outbox::take`] begins it, [`Outbox::wrote`] or
//! [`Outbox::put_back`] ends it. What follows from a step (whom to wake) is its result, a [`Todo`] that must be used.
//!
//! Bytes enter in one way only: a sender reserves space ([`Outbox::reserve`]), gets a [`Grant`] and adds no more than that. Granted bytes count
//! as waiting until they are added or the grant is given back.

use std::{collections::VecDeque, io::IoSlice, sync::Arc};

use crate::{
    budget::{Budget, Loan},
    clock::{NonZeroTick, Tick},
    mutation::{self, Mutation},
    queue::ByteQueue,
};

/// Bytes that wait for company from which on no more company is waited for.
const BATCHED_BYTES: usize = 64 << 10;

/// What waits for one client's socket, and which senders (`K`) wait for space in it.
#[derive(Debug)]
pub struct Outbox<K> {
    /// Bytes in the order they will be written, behind what is in flight.
    queue: ByteQueue,
    writer: Writer,
    /// Bytes that were granted to senders and not yet added.
    granted: usize,
    /// What is borrowed beyond the queue's own share.
    loan: Loan,
    /// When the socket last accepted a byte, or bytes began to wait.
    progress: Tick,
    /// The client has shut down its sending side and only reads what waited then; since when.
    draining: Option<NonZeroTick>,
    /// Only there while a sender holds the recipient or waits for it, which is rare.
    contention: Option<Box<Contention<K>>>,
}

/// Who writes, and what becomes of the bytes that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// Nothing waits and nobody writes.
    Idle,
    /// Somebody writes so many bytes without the lock; nobody else may. Bytes that came meanwhile are to be written at once if `flush`.
    Writing { in_flight: usize, flush: bool },
    /// Bytes wait; the owner knows and writes them when the socket accepts some.
    Queued,
    /// Bytes wait for company; the owner is told soon, by [`Outbox::stop_batching`].
    Batching,
    /// The client is gone; nothing is accepted any more.
    Closed,
}

#[derive(Debug)]
struct Contention<K> {
    hold: Option<Hold<K>>,
    /// Senders waiting for space or for the end of the hold, first come, first served.
    waiters: VecDeque<K>,
}

/// A sender inside a message that is streamed: until its end nobody else's bytes may come between.
#[derive(Debug)]
struct Hold<K> {
    sender: K,
    /// The sender itself waits for space.
    waits_for_space: bool,
    /// Bytes of the message passed on since `measured_from`.
    passed: u64,
    /// When the rate began to be measured: when others began to wait.
    measured_from: Option<Tick>,
}

/// Space for bytes in one outbox. It is spent by [`Outbox::offer`] or given back by [`Outbox::give_back`], never dropped.
#[derive(Debug, Default)]
#[must_use = "granted space counts as used until it is spent or given back"]
pub struct Grant(usize);

impl Grant {
    /// Bytes that may be added.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.0
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        debug_assert!(self.0 == 0 || std::thread::panicking(), "a grant of {} bytes was lost", self.0);
    }
}

/// The answer to a sender that wants to add bytes.
#[derive(Debug)]
pub enum Reserved {
    /// It may add so many bytes.
    Granted(Grant),
    /// It waits in line, and is woken when it is worth asking again.
    Wait,
    /// The client is gone.
    Closed,
}

/// How a sender wants its bytes written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMode {
    /// At once, by the sender itself where nothing waits: no hand-over, the shortest way for a message.
    Flush,
    /// By the owner, together with what other senders add until then.
    Batch,
}

/// What the driver does after a step, once it has let go of the lock.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "whoever waits is woken by the driver or not at all"]
pub struct Todo<K> {
    /// Wake the owner: it has bytes to write.
    pub wake_owner: bool,
    /// See to it that [`Outbox::stop_batching`] is called soon.
    pub batch: bool,
    /// Wake these senders: it is worth asking for space again.
    pub wake: Woken<K>,
}

/// Senders to be woken.
#[derive(Debug, PartialEq, Eq)]
pub enum Woken<K> {
    /// Nobody.
    Nobody,
    /// The next in line.
    One(K),
    /// Everybody who waits: there is nothing more to wait for.
    All(VecDeque<K>),
}

/// How the step that offers bytes goes on.
#[derive(Debug)]
#[must_use = "a write that was begun is to be made"]
pub enum Offered<K> {
    /// The bytes are queued, or dropped because the client is gone.
    Queued(Todo<K>),
    /// The sender writes them now, without the lock, and calls [`Outbox::wrote`].
    Write(Todo<K>),
}

/// What is in an outbox, in bytes.
#[cfg(feature = "simulation")]
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Bytes that the socket has not yet accepted.
    pub pending: usize,
    /// Bytes that were granted and not yet added.
    pub granted: usize,
    /// Bytes that are borrowed beyond the share.
    pub loan: usize,
}

/// How the owner goes on after a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing is left for the owner to do.
    Done,
    /// Bytes are left to write.
    More,
}

impl<K> Default for Todo<K> {
    fn default() -> Self {
        Self { wake_owner: false, batch: false, wake: Woken::Nobody }
    }
}

impl<K: Clone + Eq> Outbox<K> {
    /// An empty one, bounded by `budget`.
    pub fn new(budget: Arc<Budget>) -> Self {
        Self {
            queue: ByteQueue::default(),
            writer: Writer::Idle,
            granted: 0,
            loan: Loan::new(budget),
            progress: Tick::default(),
            draining: None,
            contention: None,
        }
    }

    // --- For senders.

    /// Asks for space for `need` bytes, of which more may follow up to `want` in all. What is larger than the whole queue is granted when
    /// nothing waits. With `hold`, success makes the sender the holder: nobody else is granted anything until it releases the recipient.
    pub fn reserve(&mut self, sender: &K, need: usize, want: usize, hold: bool) -> Reserved {
        if self.writer == Writer::Closed {
            return Reserved::Closed;
        }
        let used = self.used();
        let space = self.loan.budget().limit().saturating_sub(used);
        let fits = used == 0 || need <= space;
        if let Some(contention) = &mut self.contention {
            if let Some(current) = &mut contention.hold {
                if current.sender != *sender {
                    contention.enqueue(sender);
                    return Reserved::Wait;
                }
                if !fits {
                    current.waits_for_space = true;
                    return Reserved::Wait;
                }
            } else if contention.waiters.front().is_some_and(|first| first != sender) {
                contention.enqueue(sender);
                return Reserved::Wait;
            }
        }
        // What others were granted and have not yet added must not come into the message of a holder.
        let may_hold = !hold || self.granted == 0;
        // Never all that there is, so that senders on other threads find some too.
        let more = need.max(want.min(space / 2));
        let share = self.loan.budget().share();
        let beyond = |bytes: usize| used.saturating_add(bytes).saturating_sub(share);
        let granted = if !(fits && may_hold) {
            None
        } else if self.loan.set(beyond(more).max(self.loan.bytes())) {
            Some(more)
        } else if self.loan.set(beyond(need).max(self.loan.bytes())) {
            Some(need)
        } else if used == 0 {
            // One message larger than the whole queue: it is not to wait for ever.
            self.loan.force(beyond(need));
            Some(need)
        } else {
            None
        };
        let Some(bytes) = granted else {
            self.contention().wait(sender);
            return Reserved::Wait;
        };
        self.granted += bytes;
        if hold || self.contention.is_some() {
            self.contention().granted(sender, hold);
            self.tidy();
        }
        Reserved::Granted(Grant(bytes))
    }

    /// Adds the bytes of `slices`: whole messages, or a piece of one that is streamed, no more than `grant` allows. With `last`, the
    /// sender's hold ends behind these bytes.
    pub fn offer(
        &mut self,
        sender: &K,
        mut grant: Grant,
        slices: &[IoSlice<'_>],
        mode: WriteMode,
        last: bool,
        now: Tick,
    ) -> Offered<K> {
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        debug_assert!(bytes <= grant.0, "{bytes} bytes in a grant of {}", grant.0);
        self.granted -= std::mem::take(&mut grant.0);
        let mut todo = Todo::default();
        if let Some(hold) = self.contention.as_mut().and_then(|contention| contention.hold.as_mut())
            && hold.sender == *sender
        {
            hold.passed += bytes as u64;
        }
        let mut writes = false;
        match &mut self.writer {
            Writer::Closed => {}
            _ if bytes == 0 => {}
            Writer::Idle if mode == WriteMode::Flush => {
                self.writer = Writer::Writing { in_flight: bytes, flush: false };
                writes = true;
            }
            Writer::Idle => {
                self.queue.extend(slices);
                self.progress = now;
                self.writer = Writer::Batching;
                todo.batch = true;
            }
            Writer::Writing { flush, .. } => {
                // Whoever writes goes on to these, or hands them to the owner.
                *flush |= mode == WriteMode::Flush;
                self.queue.extend(slices);
            }
            Writer::Queued => self.queue.extend(slices),
            Writer::Batching => {
                self.queue.extend(slices);
                if mode == WriteMode::Flush || self.queue.len() >= BATCHED_BYTES {
                    self.writer = Writer::Queued;
                    todo.wake_owner = true;
                }
            }
        }
        if last {
            self.end_hold(sender);
        }
        self.settle();
        todo.wake = self.wake_if_space();
        if writes { Offered::Write(todo) } else { Offered::Queued(todo) }
    }

    /// Ends the write that [`Outbox::offer`] began. `rest` is what the socket did not accept.
    pub fn wrote(&mut self, rest: &[IoSlice<'_>], now: Tick) -> Todo<K> {
        let mut todo = Todo::default();
        // Closed meanwhile, nothing is kept.
        if let Writer::Writing { .. } = self.writer {
            self.progress = now;
            let mut queue = ByteQueue::default();
            queue.extend(rest);
            // What others added meanwhile comes behind.
            queue.append(std::mem::take(&mut self.queue));
            self.queue = queue;
            todo.wake_owner = !self.queue.is_empty();
            self.writer = if todo.wake_owner { Writer::Queued } else { Writer::Idle };
        }
        self.settle();
        todo.wake = self.wake_if_space();
        todo
    }

    /// Gives back what was granted and is not needed.
    pub fn give_back(&mut self, mut grant: Grant) -> Todo<K> {
        self.granted -= std::mem::take(&mut grant.0);
        self.settle();
        Todo { wake: self.wake_if_space(), ..Todo::default() }
    }

    /// The sender is gone or wants nothing any more: it neither holds the recipient nor waits for it.
    pub fn forget(&mut self, sender: &K) -> Todo<K> {
        self.end_hold(sender);
        self.leave_line(sender)
    }

    /// The sender does not wait for space any more. A hold of its own goes on.
    pub fn leave_line(&mut self, sender: &K) -> Todo<K> {
        if let Some(contention) = &mut self.contention {
            contention.waiters.retain(|waiter| waiter != sender);
        }
        self.tidy();
        Todo { wake: self.wake_if_space(), ..Todo::default() }
    }

    // --- For the owner.

    /// Whether the owner has bytes to write.
    pub fn has_work(&self) -> bool {
        self.writer == Writer::Queued
    }

    /// Bytes that the socket has not yet accepted.
    pub fn pending(&self) -> usize {
        let in_flight = if let Writer::Writing { in_flight, .. } = self.writer { in_flight } else { 0 };
        self.queue.len() + in_flight
    }

    /// Begins a write of all that waits, if that is the owner's to write. The owner writes without the lock and calls
    /// [`Outbox::put_back`] with what the socket did not accept.
    pub fn take(&mut self) -> Option<ByteQueue> {
        if self.writer != Writer::Queued {
            return None;
        }
        self.writer = Writer::Writing { in_flight: self.queue.len(), flush: false };
        Some(std::mem::take(&mut self.queue))
    }

    /// Ends the write that [`Outbox::take`] began: `rest` is what is left after the socket has accepted `written` bytes.
    pub fn put_back(&mut self, mut rest: ByteQueue, written: usize, now: Tick) -> (Next, Todo<K>) {
        let Writer::Writing { flush, .. } = self.writer else { return (Next::Done, Todo::default()) };
        if written > 0 {
            self.progress = now;
        }
        let was_full = !rest.is_empty();
        rest.append(std::mem::take(&mut self.queue));
        self.queue = rest;
        let mut todo = Todo::default();
        self.writer = if self.queue.is_empty() {
            Writer::Idle
        } else if was_full || flush || self.queue.len() >= BATCHED_BYTES {
            Writer::Queued
        } else {
            // Came while the rest was being written; it need not go alone.
            todo.batch = true;
            Writer::Batching
        };
        self.settle();
        todo.wake = self.wake_if_space();
        (if self.has_work() { Next::More } else { Next::Done }, todo)
    }

    /// Has the owner write what was waiting for company.
    pub fn stop_batching(&mut self) -> Todo<K> {
        let wake_owner = self.writer == Writer::Batching;
        if wake_owner {
            self.writer = Writer::Queued;
        }
        Todo { wake_owner, ..Todo::default() }
    }

    /// Appends the relay's own answer to a registration, or its last words, whatever the bound: they are few and short, and come once.
    pub fn append(&mut self, bytes: &[u8]) {
        match self.writer {
            Writer::Closed => return,
            Writer::Writing { ref mut flush, .. } => *flush = true,
            Writer::Idle | Writer::Queued | Writer::Batching => self.writer = Writer::Queued,
        }
        self.queue.push(bytes);
        let beyond = self.used().saturating_sub(self.loan.budget().share());
        if beyond > self.loan.bytes() {
            self.loan.force(beyond);
        }
    }

    /// The client only reads from now on: it has to take what waits, and is measured by that.
    pub fn drain(&mut self, now: Tick) {
        self.progress = now;
        self.draining = Some(NonZeroTick::from(now));
    }

    /// The client's name is free, and another may have it: whoever waits for the client looks again.
    pub fn turn_away(&mut self) -> Todo<K> {
        let Some(contention) = &mut self.contention else { return Todo::default() };
        let mut all = std::mem::take(&mut contention.waiters);
        all.extend(contention.hold.as_ref().map(|hold| hold.sender.clone()));
        self.tidy();
        Todo { wake: Woken::All(all), ..Todo::default() }
    }

    /// Closes for good: what waits is dropped, whoever waits is woken to find out.
    pub fn close(&mut self) -> Todo<K> {
        self.writer = Writer::Closed;
        self.queue = ByteQueue::default();
        self.settle();
        let Some(contention) = self.contention.take() else { return Todo::default() };
        let mut all = contention.waiters;
        all.extend(contention.hold.map(|hold| hold.sender));
        Todo { wake: Woken::All(all), ..Todo::default() }
    }

    // --- For deadlines.

    /// Whether a sender holds the recipient or waits for it.
    pub fn is_contended(&self) -> bool {
        self.contention.is_some()
    }

    /// Whether deadlines other than that of silence may pass: others wait, or the owner does.
    pub fn is_watched(&self) -> bool {
        self.is_contended() || self.draining.is_some() || self.pending() > 0
    }

    /// Whether others wait for the client, or the relay itself does because it is to leave, and its socket has accepted nothing for `limit`
    /// ticks. One that leaves also has to take all that waits within `limit` and the time that `drain_limit` gives for so many bytes.
    pub fn is_stalled(&self, now: Tick, limit: u32, drain_limit: impl Fn(usize) -> u32) -> bool {
        if self.pending() == 0 {
            return false;
        }
        let overdue = self.draining.is_some_and(|since| {
            now.since(since.into()) >= limit.saturating_add(drain_limit(self.pending()))
        });
        let waited_for = self.is_full() || self.draining.is_some();
        (waited_for && now.since(self.progress) >= limit) || overdue
    }

    /// The holder, if it has made others wait for `grace` ticks and passed on less than `bytes_min` in that time. A holder that itself
    /// waits for the recipient is not to blame.
    pub fn holder_too_slow(&mut self, now: Tick, grace: u32, bytes_min: u64) -> Option<K> {
        let is_waiting = self.pending() > 0;
        let contention = self.contention.as_mut()?;
        let others_wait = !contention.waiters.is_empty();
        let hold = contention.hold.as_mut()?;
        if !others_wait || hold.waits_for_space || is_waiting {
            hold.measured_from = None;
            return None;
        }
        match hold.measured_from {
            Some(start) if now.since(start) < grace => None,
            Some(_) if hold.passed < bytes_min => Some(hold.sender.clone()),
            _ => {
                hold.measured_from = Some(now);
                hold.passed = 0;
                None
            }
        }
    }

    /// Whether anyone is kept waiting by the client's own slowness.
    fn is_full(&self) -> bool {
        let waited_for = self.contention.as_ref().is_some_and(|contention| match &contention.hold {
            Some(hold) => hold.waits_for_space,
            None => !contention.waiters.is_empty(),
        });
        self.pending() >= self.loan.budget().share() || (waited_for && self.pending() > 0)
    }

    // --- For the simulator.

    /// Checks what must hold between any two steps.
    ///
    /// # Errors
    /// What does not.
    #[cfg(feature = "simulation")]
    pub fn verify(&self) -> Result<Figures, String> {
        let is_empty = self.queue.is_empty();
        match self.writer {
            Writer::Idle | Writer::Closed if !is_empty => {
                return Err("bytes wait that nobody writes".to_owned());
            }
            Writer::Queued | Writer::Batching if is_empty => {
                return Err("nothing waits to be written".to_owned());
            }
            _ => {}
        }
        let (used, share) = (self.pending() + self.granted, self.loan.budget().share());
        if used > share + self.loan.bytes() {
            return Err(format!("{used} bytes in a share of {share} with {} borrowed", self.loan.bytes()));
        }
        if self.contention.as_deref().is_some_and(|c| c.hold.is_none() && c.waiters.is_empty()) {
            return Err("nobody contends".to_owned());
        }
        Ok(Figures { pending: self.pending(), granted: self.granted, loan: self.loan.bytes() })
    }

    // --- Within.

    /// Bytes that count against the bound.
    fn used(&self) -> usize {
        if mutation::is_on(Mutation::UncountedGrants) {
            self.pending()
        } else {
            self.pending() + self.granted
        }
    }

    /// Gives back what is borrowed and not needed any more.
    fn settle(&mut self) {
        let beyond = self.used().saturating_sub(self.loan.budget().share());
        debug_assert!(
            self.pending() <= self.loan.budget().share() + self.loan.bytes(),
            "more waits than there is space for"
        );
        if beyond < self.loan.bytes() {
            let _given_back = self.loan.set(beyond);
        }
    }

    fn end_hold(&mut self, sender: &K) {
        if let Some(contention) = &mut self.contention
            && contention.hold.as_ref().is_some_and(|hold| hold.sender == *sender)
        {
            contention.hold = None;
        }
        self.tidy();
    }

    /// Who is to ask for space again: the queue is down to three quarters of its limit.
    fn wake_if_space(&mut self) -> Woken<K> {
        let used = self.used();
        let Some(contention) = &self.contention else { return Woken::Nobody };
        if mutation::is_on(Mutation::LostWakeUp) {
            return Woken::Nobody;
        }
        if used > self.loan.budget().limit() / 4 * 3 && used > 0 {
            return Woken::Nobody;
        }
        let next = match &contention.hold {
            Some(hold) if hold.waits_for_space => Some(&hold.sender),
            Some(_) => None,
            None => contention.waiters.front(),
        };
        next.map_or(Woken::Nobody, |next| Woken::One(next.clone()))
    }

    fn contention(&mut self) -> &mut Contention<K> {
        self.contention.get_or_insert_with(|| Box::new(Contention { hold: None, waiters: VecDeque::new() }))
    }

    fn tidy(&mut self) {
        let idle = |c: &Contention<K>| c.hold.is_none() && c.waiters.is_empty();
        if self.contention.as_deref().is_some_and(idle) {
            self.contention = None;
        }
    }
}

impl<K: Clone + Eq> Contention<K> {
    fn enqueue(&mut self, sender: &K) {
        if !self.waiters.contains(sender) {
            self.waiters.push_back(sender.clone());
        }
    }

    /// The sender has to wait: in line, or as the holder that it is.
    fn wait(&mut self, sender: &K) {
        match &mut self.hold {
            Some(hold) if hold.sender == *sender => hold.waits_for_space = true,
            _ => self.enqueue(sender),
        }
    }

    /// The sender, whose turn it is, was granted space.
    fn granted(&mut self, sender: &K, hold: bool) {
        if self.waiters.front() == Some(sender) {
            self.waiters.pop_front();
        }
        match &mut self.hold {
            Some(current) => current.waits_for_space = false,
            None if hold => {
                self.hold = Some(Hold {
                    sender: sender.clone(),
                    waits_for_space: false,
                    passed: 0,
                    measured_from: None,
                });
            }
            None => {}
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    const NOW: Tick = Tick::ZERO;

    fn outbox(share: usize, extra: usize) -> Outbox<u8> {
        Outbox::new(Arc::new(Budget::new(share, extra)))
    }

    /// Reserves, or says that the sender waits.
    fn reserve(outbox: &mut Outbox<u8>, sender: u8, need: usize, hold: bool) -> Option<Grant> {
        match outbox.reserve(&sender, need, need, hold) {
            Reserved::Granted(grant) => Some(grant),
            Reserved::Wait => None,
            Reserved::Closed => panic!("it is open"),
        }
    }

    /// Queues so many bytes of a sender without writing any.
    fn queue(outbox: &mut Outbox<u8>, sender: u8, grant: Grant, bytes: usize) -> Todo<u8> {
        let bytes = vec![0; bytes];
        match outbox.offer(&sender, grant, &[IoSlice::new(&bytes)], WriteMode::Batch, false, NOW) {
            Offered::Queued(todo) => todo,
            Offered::Write(_) => panic!("batched bytes are queued"),
        }
    }

    #[test]
    fn space_ends_exactly_at_the_bound() {
        for (waiting, need, fits) in
            [(1, 98, true), (1, 99, true), (1, 100, false), (100, 0, true), (100, 1, false)]
        {
            let mut outbox = outbox(100, 0);
            let grant = reserve(&mut outbox, 1, waiting, false).unwrap();
            let _batched = queue(&mut outbox, 1, grant, waiting);
            let granted = reserve(&mut outbox, 2, need, false);
            assert_eq!(granted.is_some(), fits, "{need} beside {waiting}");
            granted.into_iter().for_each(|grant| drop(outbox.give_back(grant)));
        }
    }

    #[test]
    fn what_is_granted_is_missing_to_others_until_it_is_given_back() {
        let mut outbox = outbox(100, 0);
        let grant = reserve(&mut outbox, 1, 60, false).unwrap();
        assert!(reserve(&mut outbox, 2, 41, false).is_none());
        let todo = outbox.give_back(grant);
        assert_eq!(todo.wake, Woken::One(2), "the one that waits is told");
        let grant = reserve(&mut outbox, 2, 41, false).unwrap();
        let _nothing = outbox.give_back(grant);
        assert!(!outbox.is_contended());
    }

    #[test]
    fn one_message_larger_than_the_queue_is_taken_when_nothing_waits() {
        let mut outbox = outbox(100, 0);
        let grant = reserve(&mut outbox, 1, 1000, false).unwrap();
        assert!(reserve(&mut outbox, 2, 1, false).is_none());
        let _batched = queue(&mut outbox, 1, grant, 1000);
        assert_eq!(outbox.loan.budget().borrowed(), 900);
        let closed = outbox.close();
        assert_eq!(closed.wake, Woken::All([2].into()), "who waits finds out");
        assert_eq!(outbox.loan.budget().borrowed(), 0);
        assert!(matches!(outbox.reserve(&2, 1, 1, false), Reserved::Closed));
    }

    #[test]
    fn a_hold_begins_when_nobody_else_has_space_and_ends_with_its_sender() {
        let mut outbox = outbox(100, 0);
        let other = reserve(&mut outbox, 1, 10, false).unwrap();
        assert!(reserve(&mut outbox, 2, 10, true).is_none(), "the other's bytes would come into its message");
        let todo = queue(&mut outbox, 1, other, 10);
        assert_eq!(todo.wake, Woken::One(2));
        let grant = reserve(&mut outbox, 2, 10, true).unwrap();
        let _batched = queue(&mut outbox, 2, grant, 10);
        assert!(reserve(&mut outbox, 3, 1, false).is_none());
        assert!(reserve(&mut outbox, 4, 1, false).is_none());
        assert_eq!(outbox.forget(&2).wake, Woken::One(3), "first come, first served");
        assert_eq!(outbox.leave_line(&3).wake, Woken::One(4));
        let grant = reserve(&mut outbox, 4, 1, false).unwrap();
        let _nothing = outbox.give_back(grant);
    }

    #[test]
    fn a_client_that_leaves_has_to_read_what_waits_for_it() {
        let mut outbox = outbox(100, 0);
        let grant = reserve(&mut outbox, 1, 40, false).unwrap();
        let _batched = queue(&mut outbox, 1, grant, 40);
        let slow = |bytes: usize| bytes as u32;
        assert!(!outbox.is_stalled(NOW.after(1000), 10, slow), "nobody waits for it");
        outbox.drain(NOW);
        assert!(!outbox.is_stalled(NOW.after(9), 10, slow));
        assert!(outbox.is_stalled(NOW.after(10), 10, slow));
        // It reads a byte now and then: that is progress, but not for ever.
        let _queued = outbox.stop_batching();
        let mut at = NOW;
        for _ in 0..5 {
            at = at.after(9);
            let mut taken = outbox.take().unwrap();
            taken.consume(1);
            let _more = outbox.put_back(taken, 1, at);
            assert_eq!(outbox.is_stalled(at, 10, slow), at.since(NOW) >= 10 + outbox.pending() as u32);
        }
        assert!(outbox.is_stalled(NOW.after(46), 10, slow));
    }

    #[test]
    fn bytes_that_come_during_a_write_go_with_it_or_wait_for_company() {
        let mut outbox = outbox(1 << 20, 0);
        let grant = reserve(&mut outbox, 1, 3, false).unwrap();
        let offered = outbox.offer(&1, grant, &[IoSlice::new(b"abc")], WriteMode::Flush, false, NOW);
        assert!(matches!(offered, Offered::Write(_)));
        let grant = reserve(&mut outbox, 2, 1, false).unwrap();
        let _behind = outbox.offer(&2, grant, &[IoSlice::new(b"d")], WriteMode::Flush, false, NOW);
        let todo = outbox.wrote(&[IoSlice::new(b"c")], NOW);
        assert!(todo.wake_owner && outbox.has_work());
        let mut taken = outbox.take().unwrap();
        let mut slices = [IoSlice::new(&[]); 4];
        let used = taken.slices(&mut slices);
        let waiting: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.to_vec()).collect();
        assert_eq!(waiting, b"cd");
        assert!(outbox.take().is_none(), "one writes at a time");
        let grant = reserve(&mut outbox, 2, 1, false).unwrap();
        let _behind = outbox.offer(&2, grant, &[IoSlice::new(b"e")], WriteMode::Batch, false, NOW);
        taken.consume(2);
        let (next, todo) = outbox.put_back(taken, 2, NOW);
        assert!(next == Next::Done && todo.batch && !outbox.has_work());
        assert!(outbox.stop_batching().wake_owner && outbox.has_work());
    }
}
