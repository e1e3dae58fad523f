//! Messages for names that nobody has: counted, logged at debug, and reported to version 2 senders.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use tracing::debug;

use super::{
    Shared,
    peer::{Framing, Peer},
};
use crate::wire::{Escaped, FromRelay, Undeliverable, encode_control};

/// Names remembered before they are reported: few, because a stranger may send to a new name with every message and each is looked
/// for among these.
const NAMES_MAX: usize = 64;

/// The undeliverable messages of one batch.
#[derive(Debug, Default)]
pub(super) struct Lost {
    names: Vec<(Vec<u8>, u64)>,
    /// The name that was added last, since a sender mostly repeats it.
    last: usize,
}

impl Lost {
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.names.len() == NAMES_MAX
    }

    /// Counts one message to `name`.
    pub(super) fn add(&mut self, name: &[u8]) {
        let is_last = self.names.get(self.last).is_some_and(|(last, _)| last == name);
        if !is_last {
            self.last = self.names.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                self.names.push((name.to_vec(), 0));
                self.names.len() - 1
            });
        }
        if let Some((_, count)) = self.names.get_mut(self.last) {
            *count += 1;
        }
    }

    /// Counts and logs what is lost, appends the notices for a version 2 sender to `notices`, and starts over.
    pub(super) fn drain(&mut self, shared: &Shared, sender: &Arc<Peer>, notices: &mut Vec<u8>) {
        for (name, count) in self.names.drain(..) {
            shared.counters.undeliverable.fetch_add(count, Relaxed);
            if sender.framing() != Framing::Session && matches!(name.first(), Some(b'\r' | b'\n')) {
                shared.line_ends.hint(sender, &name);
            }
            debug!(from = %sender.name(), to = %Escaped(&name), count, "undeliverable");
            if sender.framing() == Framing::Session {
                encode_control(notices, &FromRelay::Undeliverable(Undeliverable::new(&name, count)));
            }
        }
        self.last = 0;
    }
}
