//! What is counted, for the operator.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tracing::info;

use name_relay_core::close::CloseReason;

/// Totals since the relay started.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Clients that registered.
    pub(super) joined: AtomicU64,
    /// Connections that were not let in.
    pub(super) refused: AtomicU64,
    /// Services that were exposed.
    pub(super) exposed: AtomicU64,
    /// Visitors of services.
    pub(super) visitors: AtomicU64,
    /// Messages for names that nobody had.
    pub(super) undeliverable: AtomicU64,
    /// Clients cut because they did not read.
    pub(super) slow_consumers: AtomicU64,
    /// Clients cut because they held a recipient and sent too slowly.
    pub(super) slow_senders: AtomicU64,
    /// Clients cut because they were silent.
    pub(super) idle: AtomicU64,
    /// Clients cut for what they sent.
    pub(super) protocol_errors: AtomicU64,
}

impl Counters {
    /// Counts the end of a client, if it was the client's fault.
    pub(super) fn count(&self, ending: CloseReason) {
        let counter = match ending {
            CloseReason::Finished
            | CloseReason::Disconnected
            | CloseReason::Shutdown
            | CloseReason::Replaced
            | CloseReason::Revoked => return,
            CloseReason::Idle => &self.idle,
            CloseReason::SlowConsumer => &self.slow_consumers,
            CloseReason::TooSlow | CloseReason::Starved => &self.slow_senders,
            CloseReason::BadHeader(_) | CloseReason::BadControl(_) | CloseReason::TooLarge(_) => {
                &self.protocol_errors
            }
        };
        counter.fetch_add(1, Relaxed);
    }

    /// One line with all totals.
    pub(super) fn log(&self) {
        let total = |counter: &AtomicU64| counter.load(Relaxed);
        info!(
            joined = total(&self.joined),
            refused = total(&self.refused),
            exposed = total(&self.exposed),
            visitors = total(&self.visitors),
            undeliverable = total(&self.undeliverable),
            slow_consumers = total(&self.slow_consumers),
            slow_senders = total(&self.slow_senders),
            idle = total(&self.idle),
            protocol_errors = total(&self.protocol_errors),
            "totals"
        );
    }
}
