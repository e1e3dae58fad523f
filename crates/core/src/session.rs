//! One registered client's input: from received bytes to routed frames, in phases.
//!
//! The driver reads into a buffer of the worker that happens to serve the client ([`Session::read_into`], [`Session::received`]), and calls
//! [`Session::retry`] when it is woken while the session is blocked. [`Session::next`] says what the driver does next. While nothing is in
//! flight a session owns no buffer.

use std::sync::Arc;

use crate::{
    batch::Batch,
    budget::{Budget, Loan},
    carry::Carry,
    clock::Tick,
    close::CloseReason,
    driver::{Driver, Framing, Peer},
    mutation::{self, Mutation},
    outbox::{Reserved, WriteMode},
    route::{Router, Stop, Unfinished},
    undeliverable::Lost,
    wire::parse_header,
};

/// A batch from this size on comes from a sender in full flow: what it has for each of many recipients is worth a system call only
/// together with what other senders have for them.
const BULK_INPUT_BYTES: usize = 64 << 10;

/// An unfinished message up to this size is copied in front of the next read; a longer one collects what arrives behind it.
const CARRY_BYTES_COPIED: usize = 4 << 10;

/// What the worker that serves a client lends to its session.
#[derive(Debug)]
pub struct Worker<P> {
    batch: Batch<P>,
    lost: Lost,
    /// For what is read beyond a session's share, until it is routed.
    loan: Loan,
}

impl<P: Peer> Worker<P> {
    /// A worker whose batches have up to `recipients_max` recipients ([`RECIPIENTS_MAX`](crate::batch::RECIPIENTS_MAX)); `seed` is random.
    pub fn new(recipients_max: usize, seed: u64, budget: Arc<Budget>) -> Self {
        Self { batch: Batch::new(recipients_max, seed), lost: Lost::default(), loan: Loan::new(budget) }
    }

    /// Gives back what was borrowed for a read. To be called after every [`Session::read_into`], also where nothing could be read.
    pub fn end_read(&mut self) {
        let _given_back = self.loan.set(0);
    }
}

/// The numbers of a session's input.
#[derive(Debug, Clone, Copy)]
pub struct InputLimits {
    /// Bytes that a session may keep in any case; more is borrowed from the budget of all.
    pub share: usize,
    /// Bytes that a message which borrows from the budget gains at least within `grace` ticks.
    pub rate_bytes_min: u64,
    /// See there.
    pub grace: u32,
    /// Ticks that a session waits at most for the budget, or for space for the part of a message whose sender has left.
    pub wait_max: u32,
}

/// What a session has borrowed beyond its share. Few do.
#[derive(Debug)]
struct Borrowed {
    loan: Loan,
    /// Since when its rate is measured, and the bytes that came since.
    measured: (Tick, u64),
}

/// What a session is doing.
#[derive(Debug)]
enum Phase<P> {
    /// It reads.
    Reading,
    /// It waits for space in the outbox of `on`, and reads nothing meanwhile.
    Blocked { on: P },
    /// It waits since then for space for the part of a message that will never be complete, in the outbox of `on`.
    Parting { on: P, since: Tick },
    /// It waits since then for the budget, because what it collects is more than its share.
    Starved { since: Tick },
    /// The client sends nothing more; so many bytes that were queued for it before are still to be written.
    Draining { left: usize },
    /// It is over.
    Closed(CloseReason),
}

/// What the driver does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Read from the client.
    Read,
    /// Nothing, until the session is woken: another client has space then.
    Wait,
    /// The same, but call [`Session::retry`] with every tick of the clock too: the wait has a deadline.
    WaitTimed,
    /// Only write what is queued.
    Drain,
    /// Close the connection.
    Close(CloseReason),
}

/// A registered client's input.
#[derive(Debug)]
pub struct Session<P> {
    client: P,
    phase: Phase<P>,
    /// Received bytes that could not be routed yet: the start of a frame, or all that came behind a blocked one.
    carry: Carry,
    /// Bytes that have to follow `carry` before routing it makes sense.
    missing: usize,
    unfinished: Unfinished<P>,
    borrowed: Option<Box<Borrowed>>,
}

impl<P: Peer> Session<P> {
    /// A session that has already received `rest` behind its registration. The driver calls [`Session::retry`] first.
    pub fn new(client: P, rest: Vec<u8>) -> Self {
        Self {
            client,
            phase: Phase::Reading,
            carry: Carry::from(rest),
            missing: 0,
            unfinished: Unfinished::None,
            borrowed: None,
        }
    }

    /// The client.
    pub fn client(&self) -> &P {
        &self.client
    }

    /// What the driver does next.
    pub fn next(&self) -> Next {
        match self.phase {
            Phase::Reading => Next::Read,
            Phase::Blocked { .. } => Next::Wait,
            Phase::Parting { .. } | Phase::Starved { .. } => Next::WaitTimed,
            Phase::Draining { left: 0 } => Next::Close(CloseReason::Finished),
            Phase::Draining { .. } => Next::Drain,
            Phase::Closed(reason) => Next::Close(reason),
        }
    }

    /// Whether the client's silence is not its own doing: nothing is read from it.
    pub fn is_paused(&self) -> bool {
        !matches!(self.phase, Phase::Reading)
    }

    /// Bytes that the session has borrowed beyond its share.
    #[cfg(feature = "simulation")]
    pub fn borrowed_bytes(&self) -> usize {
        self.borrowed.as_ref().map_or(0, |borrowed| borrowed.loan.bytes())
    }

    /// Prepares a read into `buffer` and says into which part of it. What the session carries over is in front of that part.
    pub fn read_into(
        &mut self,
        worker: &mut Worker<P>,
        limits: &InputLimits,
        buffer: &mut [u8],
    ) -> std::ops::Range<usize> {
        if self.carry.len() > CARRY_BYTES_COPIED {
            // Nothing but the rest of this one message, so that it is copied once; space for it was borrowed when it was begun.
            return 0..buffer.len().min(self.missing.max(1));
        }
        let in_front = self.carry.len();
        buffer[..in_front].copy_from_slice(self.carry.bytes());
        let mut end = buffer.len();
        // What cannot be routed at once is kept, so there has to be space for it before it is read.
        if !worker.loan.set(end.saturating_sub(limits.share)) {
            end = limits.share.clamp(in_front + 1, buffer.len());
        }
        in_front..end
    }

    /// `n` bytes were read into the part of `buffer` that [`Session::read_into`] named; none: the client sends nothing more.
    pub fn received<D: Driver<Peer = P>>(
        &mut self,
        driver: &D,
        worker: &mut Worker<P>,
        limits: &InputLimits,
        buffer: &[u8],
        n: usize,
    ) {
        if n == 0 {
            self.end_of_input(driver);
        } else if self.carry.len() > CARRY_BYTES_COPIED {
            self.carry.push(&buffer[..n]);
            self.missing = self.missing.saturating_sub(n);
            if self.missing == 0 {
                self.route_carry(driver, worker, limits);
            } else if self.is_too_slow(driver.now(), n, limits) {
                self.phase = Phase::Closed(CloseReason::TooSlow);
            }
        } else {
            let input = &buffer[..self.carry.len() + n];
            let used = self.route(driver, worker, input);
            self.carry.replace(&input[used..]);
            // What was borrowed for the read is free for what is kept of it.
            worker.end_read();
            self.keep(driver, limits);
        }
    }

    /// Goes on where the session was blocked, if it can now. To be called when the session is woken, and once at its start.
    pub fn retry<D: Driver<Peer = P>>(&mut self, driver: &D, worker: &mut Worker<P>, limits: &InputLimits) {
        let is_late = |since: Tick| driver.now().since(since) >= limits.wait_max;
        match self.phase {
            Phase::Blocked { .. } => self.route_carry(driver, worker, limits),
            Phase::Parting { since, .. } if is_late(since) => self.give_up_part(driver),
            Phase::Parting { .. } => self.end_of_input(driver),
            Phase::Starved { since } if is_late(since) => self.phase = Phase::Closed(CloseReason::Starved),
            Phase::Starved { .. } => self.keep(driver, limits),
            Phase::Reading if !self.carry.is_empty() && self.missing == 0 => {
                self.route_carry(driver, worker, limits);
            }
            Phase::Reading | Phase::Draining { .. } | Phase::Closed(_) => {}
        }
    }

    /// So many bytes that were queued for the client have been written.
    pub fn wrote(&mut self, bytes: usize, is_empty: bool) {
        if let Phase::Draining { left } = &mut self.phase {
            *left = if is_empty { 0 } else { left.saturating_sub(bytes) };
        }
    }

    /// The session is over, for whatever reason. Lets go of what it holds or waits for.
    pub fn close<D: Driver<Peer = P>>(&mut self, driver: &D, reason: CloseReason) {
        let is_reading = matches!(self.phase, Phase::Reading);
        self.let_go(driver);
        // Nobody waits on behalf of a client that is gone.
        if reason == CloseReason::Disconnected
            && is_reading
            && let Some(on) = self.deliver_part(driver)
        {
            self.stop_waiting(driver, &on);
            driver.undeliverable(&self.client, on.name(), 1);
        }
        self.phase = Phase::Closed(reason);
        self.carry = Carry::default();
        self.borrowed = None;
    }

    // --- Within.

    fn route_carry<D: Driver<Peer = P>>(&mut self, driver: &D, worker: &mut Worker<P>, limits: &InputLimits) {
        let carry = std::mem::take(&mut self.carry);
        let used = self.route(driver, worker, carry.bytes());
        self.carry = carry.after(used);
        self.keep(driver, limits);
    }

    /// Routes `input` and says how much of it was used up.
    fn route<D: Driver<Peer = P>>(&mut self, driver: &D, worker: &mut Worker<P>, input: &[u8]) -> usize {
        let was_blocked_on = match std::mem::replace(&mut self.phase, Phase::Reading) {
            Phase::Blocked { on } => Some(on),
            _ => None,
        };
        let is_bulk = was_blocked_on.is_some() || input.len() >= BULK_INPUT_BYTES;
        let Worker { batch, lost, .. } = worker;
        let (used, stop) =
            Router::new(driver, &self.client, batch, lost, &mut self.unfinished, input, is_bulk).run();
        self.missing = 0;
        self.phase = match stop {
            Stop::Incomplete { missing } => {
                self.missing = missing;
                Phase::Reading
            }
            Stop::Blocked(on) => Phase::Blocked { on },
            Stop::Failed(reason) => Phase::Closed(reason),
        };
        if was_blocked_on.is_some()
            && let Some(borrowed) = &mut self.borrowed
        {
            // Nor was this wait the client's.
            borrowed.measured = (driver.now(), 0);
        }
        // What it waited for may be wanted no more, as when the name has another holder by now. Whoever stands behind it goes on.
        if let Some(on) = was_blocked_on
            && !matches!(&self.phase, Phase::Blocked { on: still } if *still == on)
        {
            let todo = driver.outbox(&on, |outbox| outbox.leave_line(&self.client));
            driver.act(&on, todo);
        }
        used
    }

    /// Borrows what is kept, and what is to be collected, beyond the share. Without the budget for it nothing more is read.
    fn keep<D: Driver<Peer = P>>(&mut self, driver: &D, limits: &InputLimits) {
        let beyond = (self.carry.len() + self.missing).saturating_sub(limits.share);
        let is_kept = beyond == 0 || {
            let new = || {
                Box::new(Borrowed {
                    loan: Loan::new(Arc::clone(driver.budget())),
                    measured: (driver.now(), 0),
                })
            };
            let borrowed = self.borrowed.get_or_insert_with(new);
            // Where nobody else has borrowed anything, a message larger than the budget is not to wait for ever. Nor is there a choice for
            // bytes that were read already.
            let is_alone = borrowed.loan.budget().borrowed() == borrowed.loan.bytes();
            let is_set = borrowed.loan.set(beyond);
            if !is_set && is_alone {
                borrowed.loan.force(beyond);
            }
            is_set || is_alone
        };
        if beyond == 0 {
            self.borrowed = None;
        }
        match (is_kept, &self.phase) {
            (true, Phase::Starved { .. }) => {
                self.phase = Phase::Reading;
                // The wait was none of the client's.
                if let Some(borrowed) = &mut self.borrowed {
                    borrowed.measured = (driver.now(), 0);
                }
            }
            (false, Phase::Reading) => self.phase = Phase::Starved { since: driver.now() },
            _ => {}
        }
    }

    fn borrowed<D: Driver<Peer = P>>(&mut self, driver: &D) -> &mut Borrowed {
        self.borrowed.get_or_insert_with(|| {
            Box::new(Borrowed { loan: Loan::new(Arc::clone(driver.budget())), measured: (driver.now(), 0) })
        })
    }

    /// Whether a message that borrows from all gains bytes too slowly.
    fn is_too_slow(&mut self, now: Tick, n: usize, limits: &InputLimits) -> bool {
        let Some(borrowed) = &mut self.borrowed else { return false };
        let (since, bytes) = &mut borrowed.measured;
        *bytes += n as u64;
        let ticks = now.since(*since);
        if ticks < limits.grace {
            return false;
        }
        // The rate of the whole time, which may be longer: the client is only measured when it sends.
        let is_too_slow = u128::from(*bytes) * u128::from(limits.grace)
            < u128::from(limits.rate_bytes_min) * u128::from(ticks);
        borrowed.measured = (now, 0);
        is_too_slow
    }

    /// The client sends nothing more: a raw recipient keeps what came of an unfinished message.
    fn end_of_input<D: Driver<Peer = P>>(&mut self, driver: &D) {
        // One that waits already keeps its place in the line.
        let since = if let Phase::Parting { since, .. } = self.phase {
            since
        } else {
            self.let_go(driver);
            driver.now()
        };
        match self.deliver_part(driver) {
            Some(on) => {
                self.phase = Phase::Parting { on, since };
                // The client has nothing more to lose by it, so its part waits only where the budget of all has space for every byte.
                let kept = self.carry.len();
                if !self.borrowed(driver).loan.set(kept) {
                    self.give_up_part(driver);
                }
            }
            None => self.drain(driver),
        }
    }

    /// The part of a message has waited for too long.
    fn give_up_part<D: Driver<Peer = P>>(&mut self, driver: &D) {
        if let Phase::Parting { on, .. } = &self.phase {
            driver.undeliverable(&self.client, on.name(), 1);
        }
        self.let_go(driver);
        self.drain(driver);
    }

    fn drain<D: Driver<Peer = P>>(&mut self, driver: &D) {
        self.carry = Carry::default();
        self.borrowed = None;
        let left = driver.outbox(&self.client, |outbox| {
            if !mutation::is_on(Mutation::DrainWithoutDeadline) {
                outbox.drain(driver.now());
            }
            outbox.pending()
        });
        self.phase = Phase::Draining { left };
    }

    /// Ends a hold on a recipient, and the wait for one.
    fn let_go<D: Driver<Peer = P>>(&mut self, driver: &D) {
        if let Unfinished::Streamed { to, .. } = std::mem::take(&mut self.unfinished)
            && !mutation::is_on(Mutation::HoldOutlivesSender)
        {
            self.stop_waiting(driver, &to);
        }
        if let Phase::Blocked { on } | Phase::Parting { on, .. } =
            std::mem::replace(&mut self.phase, Phase::Reading)
        {
            self.stop_waiting(driver, &on);
        }
    }

    fn stop_waiting<D: Driver<Peer = P>>(&self, driver: &D, on: &P) {
        let todo = driver.outbox(on, |outbox| outbox.forget(&self.client));
        driver.act(on, todo);
    }

    /// Delivers what there is of a message that will never be complete, if its recipient takes raw bytes. Gives the recipient back if it
    /// has no space for them; the client then waits in line.
    fn deliver_part<D: Driver<Peer = P>>(&mut self, driver: &D) -> Option<P> {
        let carry = self.carry.bytes();
        let Ok(Some(header)) = parse_header(carry) else { return None };
        let recipient = driver.find(&carry[..header.name_bytes])?;
        let part = &carry[header.header_bytes..];
        if recipient.framing() != Framing::Raw || part.is_empty() {
            return None;
        }
        if mutation::is_on(Mutation::PartWithoutSpace) {
            driver.outbox(&recipient, |outbox| outbox.append(part));
            driver.wake(&recipient);
            return None;
        }
        match driver.outbox(&recipient, |outbox| outbox.reserve(&self.client, part.len(), part.len(), false))
        {
            Reserved::Granted(grant) => {
                let slices = &mut [std::io::IoSlice::new(part)];
                driver.deliver(&recipient, &self.client, grant, slices, WriteMode::Flush, false);
                None
            }
            Reserved::Wait => Some(recipient),
            Reserved::Closed => None,
        }
    }
}
