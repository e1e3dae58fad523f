//! The simulated relay: it drives the core as the real one does, without sockets, threads or clocks, and checks after each step what must
//! always hold.
//!
//! Workers on other threads are simulated where they can come between: in the middle of a write, which is made without a lock, and before
//! each lock. There, the steps of others may run within the step of the first.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use name_relay_core::{
    budget::Budget,
    clock::{Clock, Tick},
    close::CloseReason,
    deadlines::Waiting,
    driver::Framing,
    mutation,
    outbox::Outbox,
    registry::{Claim, Names},
    session::{Session, Worker},
    wheel::{Timer, Wheel},
};

use crate::{
    bounds::{CLIENTS_MAX, CROWD_MAX, DEPTH_MAX, EXTRA, FUEL, RECIPIENTS_MAX, SHARE},
    client::{Client, Habit, NAMES, WINDOW},
    op::{Kind, Op},
    peer::{Peer, PeerRef, Served},
};

/// A relay and its clients.
pub struct World {
    pub(crate) budget: Arc<Budget>,
    pub(crate) clock: Clock,
    /// When each client is looked at.
    pub(crate) wheel: RefCell<Wheel<PeerRef>>,
    pub(crate) names: RefCell<Names<PeerRef, foldhash::fast::FixedState>>,
    pub(crate) served: RefCell<Vec<Rc<Served>>>,
    /// Clients that wait for company.
    pub(crate) batching: RefCell<Vec<PeerRef>>,
    pub(crate) workers: [RefCell<Option<Worker<PeerRef>>>; DEPTH_MAX + 1],
    pub(crate) depth: Cell<usize>,
    /// Decides what comes between.
    pub(crate) random: RefCell<fastrand::Rng>,
    /// Numbers of clients that have left inside a message.
    pub(crate) left: RefCell<std::collections::BTreeSet<usize>>,
    clients: Cell<usize>,
    /// Clients of a crowd, each with a name of its own.
    crowd: Cell<usize>,
    /// What was found.
    pub(crate) fault: RefCell<Option<String>>,
    /// No other workers: for the end, and to compare.
    pub(crate) is_alone: Cell<bool>,
    pub(crate) undeliverable: Cell<u64>,
    /// Nobody leaves, reads nothing or sends anything odd: every message arrives, or is undeliverable.
    pub(crate) is_calm: bool,
}

impl World {
    /// A relay without clients. In a calm one nobody leaves, and no message may be lost.
    pub fn new(is_calm: bool) -> Self {
        let budget = Arc::new(Budget::new(SHARE, EXTRA));
        let worker = |n| RefCell::new(Some(Worker::new(RECIPIENTS_MAX, n, Arc::clone(&budget))));
        Self {
            wheel: RefCell::new(Wheel::new(Tick::ZERO)),
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
            crowd: Cell::new(0),
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
        self.begin(op);
        self.check()
    }

    /// Takes one step without a check.
    pub(crate) fn begin(&self, op: Op) {
        mutation::refuel(FUEL);
        *self.random.borrow_mut() = fastrand::Rng::with_seed(u64::from(op.between));
        self.take(op);
    }

    pub(crate) fn take(&self, op: Op) {
        if self.is_calm && matches!(op.kind, Kind::Tick | Kind::Finish | Kind::Reset) && !self.is_alone.get()
        {
            return;
        }
        let served = |world: &Self| {
            let all = world.served.borrow();
            (!all.is_empty()).then(|| Rc::clone(&all[op.who as usize % all.len()]))
        };
        match op.kind {
            Kind::Join => {
                let name = NAMES[op.who as usize % (NAMES.len() - 1)];
                self.join(name.into(), CLIENTS_MAX, op.what);
            }
            Kind::Crowd => {
                for n in 0..op.who % CROWD_MAX as u16 {
                    let number = self.crowd.replace(self.crowd.get() + 1);
                    self.join(format!("x{number}").into(), CROWD_MAX, op.what.wrapping_add(n));
                }
            }
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
    fn join(&self, name: Rc<str>, clients_max: usize, what: u16) {
        if self.served.borrow().len() >= clients_max {
            return;
        }
        let mut random = fastrand::Rng::with_seed(u64::from(what));
        let framing = [Framing::Raw, Framing::Raw, Framing::Framed, Framing::Session][random.usize(0..4)];
        let habits = [Habit::Reads, Habit::Reads, Habit::Reads, Habit::ReadsSlowly, Habit::NeverReads];
        let habit = habits[random.usize(0..if self.is_calm { 4 } else { 5 })];
        let id = self.clients.replace(self.clients.get() + 1);
        let client = Client::new(id, framing, habit);
        for _ in 0..random.usize(0..12) {
            if self.is_calm {
                client.compose_ordinary(&mut random, self.crowd.get());
            } else {
                client.compose(&mut random, self.crowd.get());
            }
        }
        let has_gone = !self.is_calm && random.u8(0..4) == 0;
        if has_gone {
            client.finished.set(true);
            client.outgoing.borrow_mut().clear();
        }
        let peer = PeerRef(Rc::new(Peer {
            name,
            owner: (!self.is_calm && random.u8(0..2) == 0).then_some(1),
            client,
            outbox: RefCell::new(Outbox::new(Arc::clone(&self.budget))),
            is_woken: Cell::new(true),
            close_reason: Cell::new(None),
            timer: Timer::default(),
            heard: Cell::new(self.clock.now()),
            waiting: Cell::new(Waiting::Client),
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
            self.look_soon(&peer);
            let session = RefCell::new(Some(Session::new(peer.clone(), Vec::new())));
            self.served.borrow_mut().push(Rc::new(Served { peer, session }));
        }
    }

    fn send(client: &Client, what: u16) {
        let mut outgoing = client.outgoing.borrow_mut();
        let n = (what as usize % 200 + 1).min(outgoing.len());
        client.arrived.borrow_mut().extend(outgoing.drain(..n));
    }
}
