//! One service: its parked connections, and the visitors that wait for one.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{key::Key, visitor::Visitor};
use crate::{
    relay::{CloseReason, Identity, refusal::Refusal},
    wire::{OwnerKey, TextName},
};

/// Connections that may be parked for one service. An exposer parks as many as visitors come at once, and a few tens are many.
const PARKED_MAX: usize = 256;

/// Who exposes a service.
#[derive(Debug)]
pub(in crate::relay) struct Exposer {
    pub(in crate::relay) address: SocketAddr,
    pub(in crate::relay) identity: Identity,
    pub(in crate::relay) owner: Option<Box<OwnerKey>>,
}

impl Exposer {
    /// Whether both are the same owner, which only a key can show.
    pub(super) fn is_owner_of(&self, other: &Self) -> bool {
        self.owner.is_some() && self.owner == other.owner
    }
}

/// A service while its control session lives.
#[derive(Debug)]
pub(in crate::relay) struct Service {
    name: TextName,
    exposer: Exposer,
    key: Key,
    /// Streams and waiting visitors there may be at once.
    streams_max: usize,
    streams: AtomicUsize,
    state: Mutex<State>,
    /// Something for the control session to look at: visitors that wait, or the end.
    changed: Notify,
    /// The name and the port are given back.
    released: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The one parked last is taken first, so that those nobody needs grow old and the exposer can tell.
    parked: Vec<Parked>,
    /// First come, first served.
    waiting: VecDeque<Waiting>,
    /// Why the control session is to end, when somebody else decided so.
    ending: Option<CloseReason>,
    closed: bool,
}

/// Gives a visitor to the task of a parked connection.
pub(super) type Parked = oneshot::Sender<Admitted>;

#[derive(Debug)]
struct Waiting {
    visitor: Admitted,
    until: Instant,
}

/// A visitor that counts as a stream of the service.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) visitor: Visitor,
    pub(super) counted: Counted,
}

/// Counts a stream until it is dropped.
#[derive(Debug)]
pub(super) struct Counted(Arc<Service>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Relaxed);
    }
}

impl Service {
    pub(super) fn new(name: TextName, exposer: Exposer, key: Key, streams_max: usize) -> Self {
        let (streams, state) = (AtomicUsize::new(0), Mutex::default());
        let (changed, released) = (Notify::new(), Notify::new());
        Self { name, exposer, key, streams_max, streams, state, changed, released }
    }

    pub(in crate::relay) fn exposer(&self) -> &Exposer {
        &self.exposer
    }

    /// Tells the one who took the name over that the port is free, now or when it asks.
    pub(super) fn release(&self) {
        self.released.notify_one();
    }

    /// Waits for that.
    pub(super) async fn released(&self) {
        self.released.notified().await;
    }

    pub(in crate::relay) fn name(&self) -> &TextName {
        &self.name
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// Gives the visitor to a parked connection, or has it wait for one until `until`.
    ///
    /// # Errors
    /// The visitor back, with why the service does not take it.
    pub(super) fn offer(
        self: &Arc<Self>,
        visitor: Visitor,
        until: Instant,
    ) -> Result<(), Box<(Visitor, Refusal)>> {
        if self.streams.fetch_add(1, Relaxed) >= self.streams_max {
            self.streams.fetch_sub(1, Relaxed);
            return Err(Box::new((visitor, Refusal::TooManyStreams)));
        }
        let admitted = Admitted { visitor, counted: Counted(Arc::clone(self)) };
        self.pass(admitted, until).map_err(|admitted| {
            let name = self.name.clone();
            Box::new((admitted.visitor, Refusal::NoSuchService(name)))
        })
    }

    /// The same for a visitor that was admitted before, and whose parked connection turned out to be gone.
    pub(super) fn pass(&self, mut admitted: Admitted, until: Instant) -> Result<(), Box<Admitted>> {
        let mut state = self.lock();
        if state.closed {
            return Err(Box::new(admitted));
        }
        while let Some(parked) = state.parked.pop() {
            match parked.send(admitted) {
                Ok(()) => return Ok(()),
                // That connection has just ended.
                Err(back) => admitted = back,
            }
        }
        state.waiting.push_back(Waiting { visitor: admitted, until });
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Adds a parked connection, which may get a visitor at once. If it may not wait for one it is dropped, and that said by
    /// `false`: its exposer then wants fewer.
    ///
    /// # Errors
    /// The service has ended, or has too many of them.
    pub(super) fn park(&self, parked: Parked, may_wait: bool) -> Result<bool, Refusal> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refusal::NoSuchService(self.name.clone()));
        }
        if let Some(waiting) = state.waiting.pop_front() {
            match parked.send(waiting.visitor) {
                Ok(()) => return Ok(true),
                Err(visitor) => {
                    state.waiting.push_front(Waiting { visitor, ..waiting });
                    return Ok(true);
                }
            }
        }
        if !may_wait {
            return Ok(false);
        }
        if state.parked.len() >= PARKED_MAX {
            return Err(Refusal::TooManyStreams);
        }
        state.parked.push(parked);
        Ok(true)
    }

    /// Forgets parked connections that have ended.
    pub(super) fn forget_gone(&self) {
        self.lock().parked.retain(|parked| !parked.is_closed());
    }

    /// Ends half of the parked connections, those that have waited longest, and says how many.
    pub(super) fn give_up_half(&self) -> usize {
        let parked = &mut self.lock().parked;
        let half = parked.len().div_ceil(2);
        parked.drain(..half);
        half
    }

    // --- For the control session.

    /// Waits until visitors wait or the service is to end.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// How many visitors wait, and how long the first of them will.
    pub(super) fn waiting(&self) -> (usize, Option<Instant>) {
        let state = self.lock();
        (state.waiting.len(), state.waiting.front().map(|waiting| waiting.until))
    }

    /// Takes the visitors that have waited for too long.
    pub(super) fn take_late(&self, now: Instant) -> Vec<Admitted> {
        let waiting = &mut self.lock().waiting;
        let late = waiting.iter().take_while(|waiting| waiting.until <= now).count();
        waiting.drain(..late).map(|waiting| waiting.visitor).collect()
    }

    /// Ends the parked connections that have waited longest.
    pub(super) fn unpark(&self, count: u32) {
        let parked = &mut self.lock().parked;
        parked.drain(..parked.len().min(count as usize));
    }

    /// Asks the control session to end; the first reason stands.
    pub(in crate::relay) fn end(&self, ending: CloseReason) {
        self.lock().ending.get_or_insert(ending);
        self.changed.notify_one();
    }

    pub(super) fn ending(&self) -> Option<CloseReason> {
        self.lock().ending
    }

    /// Ends what is parked and gives back who waits. Streams that run are not touched.
    pub(super) fn close(&self) -> Vec<Admitted> {
        let mut state = self.lock();
        state.closed = true;
        state.parked = Vec::new();
        std::mem::take(&mut state.waiting).into_iter().map(|waiting| waiting.visitor).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
