//! Small deliveries of large batches wait here for their neighbours.
//!
//! A sender in full flow that addresses many recipients has little for each, and a system call for every little costs more than
//! moving the bytes. So these deliveries are queued, and their recipients' tasks are woken by one more task that has to stand in line
//! behind everything that is ready to run: on a busy relay the other senders add theirs first, on an idle one it runs at once.

use std::sync::{Mutex, PoisonError};

use name_relay_core::{driver::Driver, outbox::Outbox};
use tokio::sync::Notify;

use super::peer::PeerRef;

/// Recipients whose queued bytes are to be written soon.
#[derive(Debug, Default)]
pub(super) struct Gather {
    waiting: Mutex<Vec<PeerRef>>,
    some: Notify,
}

impl Gather {
    /// Adds a recipient; it is woken soon.
    pub(super) fn add(&self, peer: &PeerRef) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(peer.clone());
        if waiting.len() == 1 {
            drop(waiting);
            self.some.notify_one();
        }
    }

    /// Wakes the recipients, again and again, for as long as it is polled.
    pub(super) async fn run(&self, driver: &impl Driver<Peer = PeerRef>) {
        loop {
            self.some.notified().await;
            // A task that was just woken runs next; one that yields goes to the end of the line.
            tokio::task::yield_now().await;
            let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            for peer in waiting {
                let todo = peer.visit(Outbox::stop_batching);
                driver.act(&peer, todo);
            }
        }
    }
}
