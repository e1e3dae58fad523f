//! Whether there are descriptors for one more visitor that waits, and for the connection that is to serve it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use crate::{net::pipes, relay::Shared};

/// What a relay has besides connections, listeners and threads: the standard streams, the runtime's own, signals, a file that is read.
const OWN: usize = 16;

/// What each thread that looks after streams has.
const OF_THREAD: usize = 2;

/// Descriptors, and what is known of those that are in use or spoken for.
#[derive(Debug)]
pub(super) struct Descriptors {
    /// For connections and what goes with them; `usize::MAX` where there is no limit.
    most: usize,
    /// Public ports, and connections that are to come for visitors that wait.
    beside: AtomicUsize,
}

/// One descriptor that is in use, or spoken for, until this is dropped.
#[derive(Debug)]
pub(super) struct Held(Arc<Shared>);

impl Descriptors {
    /// Of a process that may have so many (none: any number), with so many listeners and threads that look after streams.
    pub(super) fn new(limit: Option<usize>, listeners: usize, threads: usize) -> Self {
        let most =
            limit.map_or(usize::MAX, |limit| limit.saturating_sub(OWN + listeners + threads * OF_THREAD));
        Self { most, beside: AtomicUsize::new(0) }
    }

    /// Whether a visitor may wait, as one of `live` connections: what serves those that wait already needs a descriptor each, and so
    /// does what is to serve this one.
    pub(super) fn allow(&self, live: usize) -> bool {
        let used = live.saturating_add(self.beside.load(Relaxed)).saturating_add(2 * pipes());
        used < self.most
    }
}

impl Held {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        shared.services.descriptors.beside.fetch_add(1, Relaxed);
        Self(Arc::clone(shared))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.services.descriptors.beside.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_visitor_that_waits_needs_two() {
        let descriptors = Descriptors::new(Some(OWN + 1 + 2 * OF_THREAD + 10), 1, 2);
        let others = 2 * pipes();
        // Four wait, and this is the fifth.
        descriptors.beside.store(4, Relaxed);
        assert!(others > 0 || descriptors.allow(5));
        assert!(!descriptors.allow(6));
        assert!(Descriptors::new(None, 1, 2).allow(1 << 40));
        assert!(!Descriptors::new(Some(3), 1, 2).allow(1));
    }
}
