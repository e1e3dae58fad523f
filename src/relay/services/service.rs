//! One service: its parked connections, and the visitors that wait for one.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};
use tracing::warn;

use super::{key::Key, visitor::Visitor};
use crate::{
    relay::{CloseReason, Identity, refusal::Refusal},
    wire::{OwnerKey, TextName},
};

/// Connections that may be parked for one service. An exposer parks as many as visitors come at once, and a few tens are many.
pub(super) const PARKED_MAX: usize = 256;

/// Visitors that may wait for one service: a crowd of ten thousand at once is served, and an exposer that parks nothing costs no more than
/// the descriptors and some 20 MB for these.
pub(super) const WAITING_MAX: usize = 16_384;

/// How long an exposer stays silent after it was found to be, before anybody goes by that.
const SILENT_FOR_CERTAIN: Duration = Duration::from_millis(500);

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

/// How much there may be of what outsiders make.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Streams and waiting visitors at once.
    pub(super) streams: usize,
    /// Waiting visitors.
    pub(super) waiting: usize,
}

/// A service while its control session lives.
#[derive(Debug)]
pub(in crate::relay) struct Service {
    name: TextName,
    exposer: Exposer,
    key: Key,
    bounds: Bounds,
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
    /// Who waits, by number: first come, first served.
    waiting: BTreeMap<u64, oneshot::Sender<Parked>>,
    /// The number of the visitor that comes next.
    next: u64,
    /// Somebody waits whom the control session has not asked a connection for.
    is_unasked: bool,
    /// Why the control session is to end, when somebody else decided so.
    ending: Option<CloseReason>,
    closed: bool,
    /// It was closed because the exposer did not answer.
    has_fallen_silent: bool,
    /// When the exposer last said something.
    heard: Option<Instant>,
    /// When it was first found silent after that.
    silent_since: Option<Instant>,
    is_silence_said: bool,
}

/// Gives a visitor to the task of a parked connection.
pub(super) type Parked = oneshot::Sender<Admitted>;

/// A visitor that counts as a stream of the service.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) visitor: Visitor,
    pub(super) counted: Counted,
    /// Its place among all visitors.
    number: u64,
    /// When it is told that the service has not answered.
    pub(super) until: Instant,
}

/// The place of a visitor that waits. Dropped, the visitor no longer waits, and a connection that was given to it is parked again.
#[derive(Debug)]
pub(super) struct Place {
    service: Arc<Service>,
    number: u64,
    /// Gives a parked connection, or ends with the service.
    pub(super) take: oneshot::Receiver<Parked>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.service.lock().waiting.remove(&self.number);
        self.take.close();
        if let Ok(parked) = self.take.try_recv() {
            // If the service has ended or has enough of them, that connection ends.
            let _ = self.service.park(parked, true);
        }
    }
}

/// What becomes of a visitor that was offered.
#[derive(Debug)]
pub(super) enum Offered {
    /// A parked connection has it.
    Taken,
    /// It waits for one.
    Waits(Box<Admitted>, Place),
    /// The service does not take it.
    Refused(Box<Visitor>, Refusal),
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
    pub(super) fn new(name: TextName, exposer: Exposer, key: Key, bounds: Bounds) -> Self {
        let (streams, state) = (AtomicUsize::new(0), Mutex::default());
        let (changed, released) = (Notify::new(), Notify::new());
        Self { name, exposer, key, bounds, streams, state, changed, released }
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

    /// Gives the visitor to a parked connection, or has it wait for one until `until` if there are descriptors for that: `may_wait`.
    pub(super) fn offer(self: &Arc<Self>, visitor: Visitor, until: Instant, may_wait: bool) -> Offered {
        if self.streams.fetch_add(1, Relaxed) >= self.bounds.streams {
            self.streams.fetch_sub(1, Relaxed);
            return Offered::Refused(Box::new(visitor), Refusal::TooManyStreams);
        }
        let counted = Counted(Arc::clone(self));
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        let admitted = Admitted { visitor, counted, number, until };
        self.pass_to(state, admitted, Some((self.bounds.waiting, may_wait)))
    }

    /// The same for a visitor that was admitted before, and whose parked connection turned out to be gone. It keeps its place.
    pub(super) fn offer_again(self: &Arc<Self>, admitted: Admitted) -> Offered {
        self.pass_to(self.lock(), admitted, None)
    }

    /// `bounds` are how many may wait, and whether there are descriptors for one more.
    fn pass_to(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        mut admitted: Admitted,
        bounds: Option<(usize, bool)>,
    ) -> Offered {
        let refuse = |admitted: Admitted, refusal| Offered::Refused(Box::new(admitted.visitor), refusal);
        if state.closed {
            return refuse(admitted, Refusal::NoSuchService(self.name.clone()));
        }
        while let Some(parked) = state.parked.pop() {
            match parked.send(admitted) {
                Ok(()) => return Offered::Taken,
                // That connection has just ended.
                Err(back) => admitted = back,
            }
        }
        match bounds {
            Some((most, _)) if state.waiting.len() >= most => {
                return refuse(admitted, Refusal::TooManyWaiting(self.name.clone()));
            }
            Some((_, false)) => return refuse(admitted, Refusal::NoDescriptors),
            _ => {}
        }
        let (give, take) = oneshot::channel();
        state.waiting.insert(admitted.number, give);
        state.is_unasked = true;
        drop(state);
        self.changed.notify_one();
        let place = Place { service: Arc::clone(self), number: admitted.number, take };
        Offered::Waits(Box::new(admitted), place)
    }

    /// Adds a parked connection, which may get a visitor at once. If it may not wait for one it is dropped, and that said by
    /// `false`: its exposer then wants fewer.
    ///
    /// # Errors
    /// The service has ended, or has too many of them.
    pub(super) fn park(&self, mut parked: Parked, may_wait: bool) -> Result<bool, Refusal> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refusal::NoSuchService(self.name.clone()));
        }
        while let Some((_, visitor)) = state.waiting.pop_first() {
            match visitor.send(parked) {
                Ok(()) => return Ok(true),
                // That visitor has just left.
                Err(back) => parked = back,
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

    /// How many visitors wait, if any of them came since this was asked last.
    pub(super) fn unasked(&self) -> Option<usize> {
        let mut state = self.lock();
        let count = state.waiting.len();
        (std::mem::take(&mut state.is_unasked) && count > 0).then_some(count)
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

    /// Waits until it is to end. Whoever waits is not told of visitors meanwhile, and looks for them afterwards.
    pub(super) async fn to_end(&self) -> CloseReason {
        loop {
            if let Some(ending) = self.ending() {
                return ending;
            }
            self.changed.notified().await;
        }
    }

    pub(super) fn ending(&self) -> Option<CloseReason> {
        self.lock().ending
    }

    /// The exposer has said something.
    pub(super) fn hear(&self) {
        let mut state = self.lock();
        (state.heard, state.silent_since) = (Some(Instant::now()), None);
    }

    /// Ends what is parked, and the waiting. Streams that run are not touched.
    pub(super) fn close(&self, ending: CloseReason) {
        let mut state = self.lock();
        state.closed = true;
        state.has_fallen_silent = matches!(ending, CloseReason::Idle | CloseReason::SlowConsumer);
        state.parked = Vec::new();
        state.waiting = BTreeMap::new();
    }

    // --- For streams of which the exposer has sent nothing yet.

    /// Whether the exposer is known to be silent, so that a connection of its own that was taken at `since` is waited for in vain: it has said
    /// nothing on its control session for `limit`, counted from then at the earliest, or that has ended for such a reason. Said in the log
    /// once.
    pub(super) fn is_silent(&self, since: Instant, limit: Duration) -> bool {
        let mut state = self.lock();
        let is_silent = if state.closed {
            // Otherwise it may be there, with another control session.
            state.has_fallen_silent
        } else if state.heard.map_or(since, |heard| heard.max(since)).elapsed() >= limit {
            // A relay that was paused itself finds what the exposer has said meanwhile.
            state.silent_since.get_or_insert_with(Instant::now).elapsed() >= SILENT_FOR_CERTAIN
        } else {
            false
        };
        if is_silent && !std::mem::replace(&mut state.is_silence_said, true) {
            warn!(service = %self.name, "the exposer does not answer; visitors that it has not answered are reset");
        }
        is_silent
    }

    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        (state.parked.len(), state.waiting.len())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
