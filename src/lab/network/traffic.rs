//! Whether anything is on the way in either direction of an emulated connection.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::time::sleep;

/// So long a rest, and nothing more is expected: an answer to what has just been delivered comes sooner on the networks behind a proxy.
const REST: Duration = Duration::from_millis(100);

/// Counts pieces: those put on the way and those brought to the end of it.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    put: AtomicUsize,
    brought: AtomicUsize,
}

impl Traffic {
    /// A piece was put on the way.
    pub(super) fn put(&self) {
        self.put.fetch_add(1, Ordering::Relaxed);
    }

    /// A piece has been brought to the end of the way.
    pub(super) fn brought(&self) {
        self.brought.fetch_add(1, Ordering::Relaxed);
    }

    /// Completes when nothing is on the way and nothing was put there for a while.
    pub(super) async fn rests(&self) {
        loop {
            let before = self.put.load(Ordering::Relaxed);
            let is_empty = self.brought.load(Ordering::Relaxed) == before;
            sleep(REST).await;
            if is_empty && self.put.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}
