//! Whether there are descriptors for one more visitor that waits, and for the connection that is to serve it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use crate::{net::pipes, relay::Shared};

/// Descriptors, and what is known of those that are in use or spoken for.
#[derive(Debug)]
pub(super) struct Descriptors {
    /// For connections and what goes with them.
    most: usize,
    /// Public ports, and connections that are to come for visitors that wait.
    beside: AtomicUsize,
}

/// One descriptor that is in use, or spoken for, until this is dropped.
#[derive(Debug)]
pub(super) struct Held(Arc<Shared>);

impl Descriptors {
    /// So many for connections and what goes with them.
    pub(super) fn new(most: usize) -> Self {
        Self { most, beside: AtomicUsize::new(0) }
    }

    /// Whether a visitor may wait, as one of `live` connections: what serves those that wait already needs a descriptor each, and so
    /// does what is to serve this one.
    pub(super) fn allow(&self, live: usize) -> bool {
        self.allow_beside(live, 2 * pipes())
    }

    fn allow_beside(&self, live: usize, of_pipes: usize) -> bool {
        live.saturating_add(self.beside.load(Relaxed)).saturating_add(of_pipes) < self.most
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
        let descriptors = Descriptors::new(10);
        // Four wait, and this is the fifth.
        descriptors.beside.store(4, Relaxed);
        assert!(descriptors.allow_beside(4, 0) && descriptors.allow_beside(5, 0));
        assert!(!descriptors.allow_beside(6, 0) && !descriptors.allow_beside(5, 2));
        assert!(Descriptors::new(usize::MAX).allow_beside(1 << 40, 256));
        assert!(!Descriptors::new(0).allow_beside(1, 0));
    }
}
