//! The simulated relay: it drives the core as the real one does, without sockets, threads or clocks, and checks after each step what must
//! always hold.
//!
//! Workers on other threads are simulated where they can come between: in the middle of a write, which is made without a lock, and before
//! each lock. There, the steps of others may run within the step of the first.

use std::{
    cell::{Cell, RefCell},
    fmt,
    io::{self, IoSlice},
    rc::Rc,
    sync::Arc,
};

use name_relay_core::{
    batch::SLICES_MAX,
    budget::Budget,
    clock::{Clock, Tick},
    close::CloseReason,
    deadlines::Deadlines,
    driver::{self, Driver, Framing, RouteLimits},
    mutation,
    outbox::{Next as Left, Outbox},
    registry::{self, Claim, Names},
    session::{InputLimits, Next, Session, Worker},
};

use crate::{
    client::{Client, Habit, NAMES, WINDOW},
    op::{Kind, Op},
};

/// The bounds, small enough for random schedules to reach them.
const SHARE: usize = 96;
const EXTRA: usize = 256;
const RECIPIENTS_MAX: usize = 2;
const MESSAGE_BYTES_MAX: u64 = 100;
const STREAM_BYTES_MIN: u64 = 40;
const BUFFER_BYTES: usize = 8 << 10;
const INPUT_SHARE: usize = 64;
const CLIENTS_MAX: usize = 24;

/// The deadlines, in ticks.
const IDLE: u32 = 12;
const WRITE: u32 = 5;
const GRACE: u32 = 4;
const GRACE_BYTES_MIN: u64 = 8;

/// Fuel of a step, and for each byte of its input.
const FUEL: u64 = 20_000;

/// How deep steps of other workers come between.
const DEPTH_MAX: usize = 2;

/// What may wait beyond its bound for one client: a message larger than the queue, and the relay's own last words.
const BEYOND: usize = MESSAGE_BYTES_MAX as usize + 64 + 256;

/// A registration.
#[derive(Clone)]
pub struct PeerRef(Rc<Peer>);

struct Peer {
    name: &'static str,
    owner: Option<u8>,
    client: Client,
    outbox: RefCell<Outbox<PeerRef>>,
    /// Its task was woken and has not run since.
    is_woken: Cell<bool>,
    /// Why others have decided that it ends.
    close_reason: Cell<Option<CloseReason>>,
    heard: Cell<Tick>,
    is_paused: Cell<bool>,
    /// Its session waits with a deadline of its own.
    is_timed: Cell<bool>,
}

impl PartialEq for PeerRef {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for PeerRef {}

impl fmt::Debug for PeerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {} ({})", self.0.client.id, self.0.name)
    }
}

impl driver::Peer for PeerRef {
    fn name(&self) -> &[u8] {
        self.0.name.as_bytes()
    }

    fn framing(&self) -> Framing {
        self.0.client.framing
    }
}

impl registry::Holder for PeerRef {
    fn name(&self) -> &[u8] {
        self.0.name.as_bytes()
    }

    fn has_owner_of(&self, other: &Self) -> bool {
        self.0.owner.is_some() && self.0.owner == other.0.owner
    }
}

impl PeerRef {
    /// Something came from the client: its task is told if it reads.
    fn readable(&self) {
        if !self.0.is_paused.get() {
            self.0.is_woken.set(true);
        }
    }
}

/// A client that is served.
struct Served {
    peer: PeerRef,
    /// Taken out while it is served.
    session: RefCell<Option<Session<PeerRef>>>,
}

/// A relay and its clients.
pub struct World {
    budget: Arc<Budget>,
    clock: Clock,
    names: RefCell<Names<PeerRef, foldhash::fast::FixedState>>,
    served: RefCell<Vec<Rc<Served>>>,
    /// Clients that wait for company.
    batching: RefCell<Vec<PeerRef>>,
    workers: [RefCell<Option<Worker<PeerRef>>>; DEPTH_MAX + 1],
    depth: Cell<usize>,
    /// Decides what comes between.
    random: RefCell<fastrand::Rng>,
    /// Numbers of clients that have left inside a message.
    left: RefCell<std::collections::BTreeSet<usize>>,
    clients: Cell<usize>,
    /// What was found.
    fault: RefCell<Option<String>>,
    /// No other workers: for the end, and to compare.
    is_alone: Cell<bool>,
    undeliverable: Cell<u64>,
    /// Nobody leaves, reads nothing or sends anything odd: every message arrives, or is undeliverable.
    is_calm: bool,
}

const LIMITS: InputLimits =
    InputLimits { share: INPUT_SHARE, rate_bytes_min: GRACE_BYTES_MIN, grace: GRACE, wait_max: IDLE };

const DEADLINES: Deadlines = Deadlines {
    idle: IDLE,
    write: WRITE,
    grace: GRACE,
    grace_bytes_min: GRACE_BYTES_MIN,
    drain_bytes_per_tick: 8,
};

impl World {
    /// A relay without clients. In a calm one nobody leaves, and no message may be lost.
    pub fn new(is_calm: bool) -> Self {
        let budget = Arc::new(Budget::new(SHARE, EXTRA));
        let worker = |n| RefCell::new(Some(Worker::new(RECIPIENTS_MAX, n, Arc::clone(&budget))));
        Self {
            workers: std::array::from_fn(|n| worker(n as u64)),
            budget,
            clock: Clock::for_deadlines(&[]),
            names: RefCell::new(Names::with_hasher(foldhash::fast::FixedState::with_seed(0))),
            served: RefCell::default(),
            batching: RefCell::default(),
            depth: Cell::new(0),
            random: RefCell::new(fastrand::Rng::with_seed(0)),
            left: RefCell::default(),
            clients: Cell::new(0),
            fault: RefCell::default(),
            is_alone: Cell::new(false),
            undeliverable: Cell::new(0),
            is_calm,
        }
    }

    /// Takes one step and checks everything.
    ///
    /// # Errors
    /// What does not hold afterwards.
    pub fn step(&self, op: Op) -> Result<(), String> {
        mutation::refuel(FUEL);
        *self.random.borrow_mut() = fastrand::Rng::with_seed(u64::from(op.between));
        self.take(op);
        self.check()
    }

    /// Lets everything come to its end: all clients that read do so, and time passes until no deadline is left.
    ///
    /// # Errors
    /// What does not hold then.
    pub fn settle(&self) -> Result<(), String> {
        self.is_alone.set(true);
        if self.is_calm {
            self.deliver_everything()?;
        }
        let served: Vec<_> = self.served.borrow().clone();
        for client in &served {
            client.peer.0.client.finished.set(true);
            client.peer.readable();
        }
        // Every wait has a deadline, and deadlines follow each other: who is cut lets others go on.
        for _ in 0..40 * (IDLE + WRITE + GRACE) {
            for kind in [Kind::Send, Kind::Serve, Kind::Flush, Kind::Read, Kind::Serve] {
                let count = self.served.borrow().len();
                for n in 0..count {
                    self.step(Op { kind, who: n as u16, what: u16::MAX, between: 0 })?;
                }
            }
            self.step(Op { kind: Kind::Tick, who: 0, what: 0, between: 0 })?;
            if self.served.borrow().is_empty() {
                break;
            }
        }
        let left =
            self.served.borrow().first().map(|served| {
                format!("{:?} never comes to an end: {:?}", served.peer, served.session.borrow())
            });
        if let Some(fault) = left {
            return Err(fault);
        }
        if self.budget.borrowed() != 0 {
            return Err(format!("{} bytes of the budget are borrowed by nobody", self.budget.borrowed()));
        }
        Ok(())
    }

    /// Lets every message arrive and counts them.
    fn deliver_everything(&self) -> Result<(), String> {
        let served: Vec<_> = self.served.borrow().clone();
        let is_quiet = |one: &Rc<Served>| {
            let client = &one.peer.0.client;
            client.outgoing.borrow().is_empty()
                && client.arrived.borrow().is_empty()
                && !one.peer.0.is_paused.get()
                && one.peer.0.outbox.borrow().pending() == 0
        };
        for _ in 0..2000 {
            if served.iter().all(is_quiet) {
                break;
            }
            // Whoever waits for the budget asks again with the clock.
            served
                .iter()
                .filter(|one| one.peer.0.is_timed.get())
                .for_each(|one| one.peer.0.is_woken.set(true));
            for kind in [Kind::Send, Kind::Serve, Kind::Flush, Kind::Read, Kind::Serve] {
                for n in 0..served.len() {
                    self.step(Op { kind, who: n as u16, what: u16::MAX, between: 0 })?;
                }
            }
        }
        let count =
            |of: &dyn Fn(&Client) -> u64| served.iter().map(|one| of(&one.peer.0.client)).sum::<u64>();
        let (sent, arrived) = (count(&|client| client.sent.get()), count(&|client| client.messages.get()));
        let undeliverable = self.undeliverable.get();
        if sent != arrived + undeliverable {
            let stuck: Vec<_> = served
                .iter()
                .filter(|one| one.session.borrow().as_ref().is_none_or(Session::is_paused))
                .map(|one| {
                    format!("{:?}: {:?} {:?}", one.peer, one.session.borrow(), one.peer.0.outbox.borrow())
                })
                .collect();
            return Err(format!(
                "of {sent} messages {arrived} arrived and {undeliverable} were undeliverable; stuck: {stuck:?}"
            ));
        }
        Ok(())
    }

    fn take(&self, op: Op) {
        if self.is_calm && matches!(op.kind, Kind::Tick | Kind::Finish | Kind::Reset) && !self.is_alone.get()
        {
            return;
        }
        let served = |world: &Self| {
            let all = world.served.borrow();
            (!all.is_empty()).then(|| Rc::clone(&all[op.who as usize % all.len()]))
        };
        match op.kind {
            Kind::Join => self.join(op),
            Kind::Tick => self.tick(),
            Kind::Flush => self.flush(),
            Kind::Send => {
                if let Some(one) = served(self) {
                    Self::send(&one.peer.0.client, op.what);
                    one.peer.readable();
                }
            }
            Kind::Serve => {
                if let Some(one) = served(self) {
                    self.serve(&one, op.what);
                }
            }
            Kind::Read => {
                if let Some(one) = served(self) {
                    let client = &one.peer.0.client;
                    let room = match client.habit {
                        Habit::Reads => WINDOW,
                        // In the end it has all the time there is.
                        Habit::ReadsSlowly if op.what == u16::MAX => WINDOW,
                        Habit::ReadsSlowly => (client.window.get() + 3).min(WINDOW),
                        Habit::NeverReads => client.window.get(),
                    };
                    // Who waits to write is told.
                    if room > client.window.replace(room) && one.peer.0.outbox.borrow().has_work() {
                        one.peer.0.is_woken.set(true);
                    }
                }
            }
            Kind::Finish | Kind::Reset => {
                if let Some(one) = served(self) {
                    // It may be in the middle of a message.
                    self.left.borrow_mut().insert(one.peer.0.client.id);
                    one.peer.0.client.finished.set(true);
                    one.peer.0.client.outgoing.borrow_mut().clear();
                    if op.kind == Kind::Reset {
                        one.peer.0.client.broken.set(true);
                    }
                    one.peer.readable();
                }
            }
        }
    }

    /// A client's hello is handled. It may have been given up by then, as while the relay stood still.
    fn join(&self, op: Op) {
        if self.served.borrow().len() >= CLIENTS_MAX {
            return;
        }
        let mut random = fastrand::Rng::with_seed(u64::from(op.what));
        let framing = [Framing::Raw, Framing::Raw, Framing::Framed, Framing::Session][random.usize(0..4)];
        let habits = [Habit::Reads, Habit::Reads, Habit::Reads, Habit::ReadsSlowly, Habit::NeverReads];
        let habit = habits[random.usize(0..if self.is_calm { 4 } else { 5 })];
        let id = self.clients.replace(self.clients.get() + 1);
        let client = Client::new(id, framing, habit);
        for _ in 0..random.usize(0..12) {
            if self.is_calm { client.compose_ordinary(&mut random) } else { client.compose(&mut random) }
        }
        let has_gone = !self.is_calm && random.u8(0..4) == 0;
        if has_gone {
            client.finished.set(true);
            client.outgoing.borrow_mut().clear();
        }
        let peer = PeerRef(Rc::new(Peer {
            name: NAMES[op.who as usize % (NAMES.len() - 1)],
            owner: (!self.is_calm && random.u8(0..2) == 0).then_some(1),
            client,
            outbox: RefCell::new(Outbox::new(Arc::clone(&self.budget))),
            is_woken: Cell::new(true),
            close_reason: Cell::new(None),
            heard: Cell::new(self.clock.now()),
            is_paused: Cell::new(false),
            is_timed: Cell::new(false),
        }));
        if framing == Framing::Session {
            peer.0.outbox.borrow_mut().append(b"|2|{}");
        }
        let registered = self.names.borrow_mut().register(&peer, Claim::TakeOver, || has_gone);
        if let Ok(replaced) = registered {
            if let Some(replaced) = replaced {
                if has_gone {
                    self.fail(format!("{peer:?} had gone and took the name from {replaced:?}"));
                }
                self.end(&replaced, CloseReason::Replaced);
            }
            let session = RefCell::new(Some(Session::new(peer.clone(), Vec::new())));
            self.served.borrow_mut().push(Rc::new(Served { peer, session }));
        }
    }

    fn send(client: &Client, what: u16) {
        let mut outgoing = client.outgoing.borrow_mut();
        let n = (what as usize % 200 + 1).min(outgoing.len());
        client.arrived.borrow_mut().extend(outgoing.drain(..n));
    }

    /// What the relay's task of a client does when it runs.
    fn serve(&self, served: &Rc<Served>, what: u16) {
        if !served.peer.0.is_woken.get() {
            return;
        }
        // Another worker serves it already.
        let Some(mut session) = served.session.borrow_mut().take() else { return };
        let depth = self.depth.get();
        let Some(mut worker) = self.workers[depth].borrow_mut().take() else {
            *served.session.borrow_mut() = Some(session);
            return;
        };
        let ended = self.poll(&served.peer, &mut session, &mut worker, what);
        *self.workers[depth].borrow_mut() = Some(worker);
        let Some(reason) = ended else {
            *served.session.borrow_mut() = Some(session);
            return;
        };
        self.left.borrow_mut().insert(served.peer.0.client.id);
        session.close(self, reason);
        self.names.borrow_mut().remove(&served.peer);
        let todo = self.outbox(&served.peer, Outbox::turn_away);
        self.act(&served.peer, todo);
        let todo = self.outbox(&served.peer, Outbox::close);
        self.act(&served.peer, todo);
        self.served.borrow_mut().retain(|other| !Rc::ptr_eq(other, served));
    }

    fn poll(
        &self,
        peer: &PeerRef,
        session: &mut Session<PeerRef>,
        worker: &mut Worker<PeerRef>,
        what: u16,
    ) -> Option<CloseReason> {
        peer.0.is_woken.set(false);
        if let Some(reason) = peer.0.close_reason.get() {
            return Some(reason);
        }
        match self.write_queue(peer) {
            Ok(written) => {
                let is_empty = !self.outbox(peer, |outbox| outbox.has_work());
                session.wrote(written, is_empty);
            }
            Err(_) => return Some(CloseReason::Disconnected),
        }
        match session.next() {
            Next::Close(reason) => return Some(reason),
            Next::Drain => {}
            Next::Wait | Next::WaitTimed => session.retry(self, worker, &LIMITS),
            Next::Read => {
                let client = &peer.0.client;
                if client.broken.get() {
                    return Some(CloseReason::Disconnected);
                }
                let mut buffer = vec![0; BUFFER_BYTES];
                let mut range = session.read_into(worker, &LIMITS, &mut buffer);
                range.end = range.end.min(range.start + what as usize % 300 + 1);
                let n = {
                    let mut arrived = client.arrived.borrow_mut();
                    let n = range.len().min(arrived.len());
                    for (to, from) in buffer[range].iter_mut().zip(arrived.drain(..n)) {
                        *to = from;
                    }
                    n
                };
                let is_over = client.finished.get() && client.outgoing.borrow().is_empty();
                if n > 0 || is_over {
                    peer.0.heard.set(self.clock.now());
                    session.received(self, worker, &LIMITS, &buffer, n);
                }
                worker.end_read();
            }
        }
        if peer.0.outbox.borrow().has_work() && peer.0.client.window.get() > 0 {
            // The socket accepts bytes again since the last attempt.
            peer.0.is_woken.set(true);
        }
        let is_paused = session.next() != Next::Read;
        peer.0.is_timed.set(session.next() == Next::WaitTimed);
        if is_paused != peer.0.is_paused.replace(is_paused) {
            peer.0.heard.set(self.clock.now());
        }
        match session.next() {
            Next::Close(reason) => Some(reason),
            Next::Read => {
                // There is more to read.
                let client = &peer.0.client;
                if client.finished.get() || client.broken.get() || !client.arrived.borrow().is_empty() {
                    peer.0.is_woken.set(true);
                }
                None
            }
            Next::Drain => {
                // The task goes round once more, and finds out whether there is anything to write.
                if !peer.0.outbox.borrow().has_work() {
                    peer.0.is_woken.set(true);
                }
                None
            }
            _ => None,
        }
    }

    fn write_queue(&self, peer: &PeerRef) -> io::Result<usize> {
        let mut all = 0;
        loop {
            let Some(mut taken) = self.outbox(peer, Outbox::take) else { return Ok(all) };
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let used = taken.slices(&mut slices);
            let result = self.write(peer, &slices[..used]);
            let n = *result.as_ref().unwrap_or(&0);
            taken.consume(n);
            all += n;
            let (next, todo) = self.outbox(peer, |outbox| outbox.put_back(taken, n, self.now()));
            self.act(peer, todo);
            match result {
                Ok(_) if next == Left::Done => return Ok(all),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(all),
                Err(error) => return Err(error),
            }
        }
    }

    fn flush(&self) {
        let batching = std::mem::take(&mut *self.batching.borrow_mut());
        for peer in batching {
            let todo = self.outbox(&peer, Outbox::stop_batching);
            self.act(&peer, todo);
        }
    }

    /// The sweep over all deadlines.
    fn tick(&self) {
        self.clock.advance();
        let now = self.clock.now();
        let all: Vec<_> = self.served.borrow().iter().map(|served| served.peer.clone()).collect();
        for peer in all {
            let silence = if peer.0.is_paused.get() { 0 } else { now.since(peer.0.heard.get()) };
            if let Some(reason) = DEADLINES.of_silence(silence) {
                self.end(&peer, reason);
            }
            let missed = self.outbox(&peer, |outbox| DEADLINES.of_outbox(outbox, now));
            if let Some(reason) = missed.client {
                self.end(&peer, reason);
            }
            if let Some((holder, reason)) = missed.holder {
                self.end(&holder, reason);
            }
            // Whoever waits with a deadline of its own looks at that.
            if peer.0.is_timed.get() {
                peer.0.is_woken.set(true);
            }
            // A client that is not read from is asked whether its connection is broken.
            if peer.0.is_paused.get() && peer.0.client.broken.get() {
                self.end(&peer, CloseReason::Disconnected);
            }
        }
    }

    fn end(&self, peer: &PeerRef, reason: CloseReason) {
        if peer.0.close_reason.get().is_none() {
            peer.0.close_reason.set(Some(reason));
        }
        peer.0.is_woken.set(true);
    }

    /// Another worker may do something now.
    fn between(&self) {
        let depth = self.depth.get();
        if self.is_alone.get() || depth >= DEPTH_MAX {
            return;
        }
        let (happens, op) = {
            let mut random = self.random.borrow_mut();
            let kind = [Kind::Serve, Kind::Serve, Kind::Send, Kind::Read, Kind::Flush][random.usize(0..5)];
            let op = Op { kind, who: random.u16(..), what: random.u16(..), between: 0 };
            (random.u8(0..16) == 0, op)
        };
        if happens {
            self.depth.set(depth + 1);
            self.take(op);
            self.depth.set(depth);
        }
    }

    fn fail(&self, fault: String) {
        self.fault.borrow_mut().get_or_insert(fault);
    }

    /// What must hold between any two steps.
    fn check(&self) -> Result<(), String> {
        if let Some(fault) = self.fault.borrow_mut().take() {
            return Err(fault);
        }
        let (mut waiting, mut loans) = (0, 0);
        let served = self.served.borrow();
        for one in served.iter() {
            let outbox = one.peer.0.outbox.borrow();
            let figures = outbox.verify().map_err(|fault| format!("{:?}: {fault}", one.peer))?;
            if figures.granted > 0 {
                return Err(format!("{:?}: {} bytes are granted to nobody", one.peer, figures.granted));
            }
            if figures.pending > (4 * SHARE).max(BEYOND) {
                return Err(format!("{:?}: {} bytes wait", one.peer, figures.pending));
            }
            waiting += figures.pending.min(SHARE);
            loans += figures.loan + one.session.borrow().as_ref().map_or(0, Session::borrowed_bytes);
        }
        let bound = EXTRA + served.len() * BEYOND;
        if loans > bound || self.budget.borrowed() > bound {
            return Err(format!(
                "{loans} bytes are borrowed besides {waiting} that wait within their shares"
            ));
        }
        if loans != self.budget.borrowed() {
            return Err(format!(
                "{} bytes are borrowed, and {loans} of them by somebody",
                self.budget.borrowed()
            ));
        }
        // Whoever has something to write, and could, is going to be served.
        for one in served.iter() {
            let has_work = one.peer.0.outbox.borrow().has_work();
            let could = one.peer.0.client.window.get() > 0;
            if has_work && could && !one.peer.0.is_woken.get() {
                return Err(format!("{:?} has bytes to write and was not woken", one.peer));
            }
        }
        Ok(())
    }
}

impl Driver for World {
    type Peer = PeerRef;

    fn limits(&self) -> RouteLimits {
        RouteLimits { message_bytes_max: MESSAGE_BYTES_MAX, stream_bytes_min: STREAM_BYTES_MIN }
    }

    fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    fn now(&self) -> Tick {
        self.clock.now()
    }

    fn find(&self, name: &[u8]) -> Option<PeerRef> {
        self.names.borrow().get(name).cloned()
    }

    fn outbox<R>(&self, peer: &PeerRef, visit: impl FnOnce(&mut Outbox<PeerRef>) -> R) -> R {
        self.between();
        visit(&mut peer.0.outbox.borrow_mut())
    }

    fn write(&self, peer: &PeerRef, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.between();
        let client = &peer.0.client;
        if client.broken.get() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let all: usize = slices.iter().map(|slice| slice.len()).sum();
        let most = client.window.get().min(self.random.borrow_mut().usize(1..=2 * WINDOW));
        if most == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let n = all.min(most);
        client.window.set(client.window.get() - n);
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(n).collect();
        let received = client.receive(&bytes, |id| self.left.borrow().contains(&id));
        if let Err(fault) = received {
            self.fail(format!("{peer:?} receives {fault}"));
        }
        self.between();
        Ok(n)
    }

    fn write_failed(&self, peer: &PeerRef) {
        self.end(peer, CloseReason::Disconnected);
    }

    fn wake(&self, peer: &PeerRef) {
        peer.0.is_woken.set(true);
    }

    fn batch(&self, peer: &PeerRef) {
        self.batching.borrow_mut().push(peer.clone());
    }

    fn undeliverable(&self, _: &PeerRef, _: &[u8], count: u64) {
        self.undeliverable.set(self.undeliverable.get() + count);
    }
}
