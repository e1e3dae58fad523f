//! A registered client as the simulated relay has it.

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
};

use name_relay_core::{
    clock::Tick,
    close::CloseReason,
    deadlines::Waiting,
    driver::{self, Framing},
    outbox::Outbox,
    registry,
    session::Session,
    wheel::{Timed, Timer},
};

use crate::client::Client;

/// A registration.
#[derive(Clone)]
pub struct PeerRef(pub(crate) Rc<Peer>);

pub(crate) struct Peer {
    pub(crate) name: Rc<str>,
    pub(crate) owner: Option<u8>,
    pub(crate) client: Client,
    pub(crate) outbox: RefCell<Outbox<PeerRef>>,
    /// Its task was woken and has not run since.
    pub(crate) is_woken: Cell<bool>,
    /// Why others have decided that it ends.
    pub(crate) close_reason: Cell<Option<CloseReason>>,
    pub(crate) heard: Cell<Tick>,
    /// What its session does.
    pub(crate) waiting: Cell<Waiting>,
    /// When its deadlines are looked at next.
    pub(crate) timer: Timer,
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

impl Timed for PeerRef {
    fn timer(&self) -> &Timer {
        &self.0.timer
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
    /// Nothing is read from it.
    pub(crate) fn is_paused(&self) -> bool {
        self.0.waiting.get() != Waiting::Client
    }

    /// Something came from the client: its task is told if it reads.
    pub(crate) fn readable(&self) {
        if !self.is_paused() {
            self.0.is_woken.set(true);
        }
    }
}

/// A client that is served.
pub(crate) struct Served {
    pub(crate) peer: PeerRef,
    /// Taken out while it is served.
    pub(crate) session: RefCell<Option<Session<PeerRef>>>,
}
