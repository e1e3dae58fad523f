//! What one read has for each recipient: collected while the batch is parsed, written with one system call a recipient at its end.

use std::{hash::BuildHasher, io::IoSlice, sync::Arc};

use super::{
    clock::Tick,
    gather::Gather,
    peer::{Delivered, Framing, Haste, Peer, SLICES_MAX},
};

/// Recipients of one batch before it is written out early. A batch is a few hundred kilobytes, so more would mean tiny writes anyway.
const DELIVERIES_MAX: usize = 512;

/// Slots of the index over the deliveries: twice their number keeps probing short.
const INDEX_SLOTS: usize = 2 * DELIVERIES_MAX;

/// A payload from this size on is written from the read buffer itself; below it, copying beside its neighbours costs less than
/// one more slice in the vectored write.
const PAYLOAD_BYTES_BY_REFERENCE: usize = 4 << 10;

/// References a delivery can hold: each may come with copied bytes before it, and the last with some after it.
const REFERENCES_MAX: usize = (SLICES_MAX - 1) / 2;

/// A delivery from this size on is worth a system call of its own.
const BULK_DELIVERY_BYTES: usize = 32 << 10;

/// A copy buffer above this size is not kept for the next batch.
const COPY_BYTES_KEPT: usize = 512 << 10;

/// The deliveries of one batch. Belongs to a worker, not to a connection.
#[derive(Debug)]
pub(super) struct Batch {
    /// The first `used` are in use; the others keep their buffers for the next batch.
    deliveries: Vec<Delivery>,
    used: usize,
    /// Position in `deliveries` plus one, found by the hash of the name; 0 is empty.
    index: Box<[u16; INDEX_SLOTS]>,
    hash: foldhash::fast::RandomState,
}

/// What one recipient gets from a batch.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    peer: Option<Arc<Peer>>,
    slot: usize,
    /// The recipient gets payloads alone.
    raw: bool,
    /// Bytes that the recipient's queue has room for.
    room: usize,
    /// Bytes collected so far.
    bytes: usize,
    copied: Vec<u8>,
    references: Vec<Reference>,
    /// The last bytes end a message for which the sender holds the recipient.
    ends_hold: bool,
}

/// A payload in the read buffer, to be written after the first `after` copied bytes.
#[derive(Debug, Clone, Copy)]
struct Reference {
    after: usize,
    start: usize,
    end: usize,
}

/// Where a name belongs in the index.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found {
    /// The delivery is there.
    Delivery(usize),
    /// It is not; this is its slot.
    Vacant(usize),
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            deliveries: Vec::new(),
            used: 0,
            index: Box::new([0; INDEX_SLOTS]),
            hash: foldhash::fast::RandomState::default(),
        }
    }

    /// Finds the delivery for a name.
    pub(super) fn find(&self, name: &[u8]) -> Found {
        let mut slot = self.hash.hash_one(name) as usize % INDEX_SLOTS;
        // Ends: at most half of the slots are taken, see `insert`.
        loop {
            let Some(at) = (self.index[slot] as usize).checked_sub(1) else { return Found::Vacant(slot) };
            if self.deliveries[at].peer.as_ref().is_some_and(|peer| peer.name().as_bytes() == name) {
                return Found::Delivery(at);
            }
            slot = (slot + 1) % INDEX_SLOTS;
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.used == DELIVERIES_MAX
    }

    /// Adds a delivery in its slot; the batch must not be full.
    pub(super) fn insert(&mut self, slot: usize, peer: Arc<Peer>) -> usize {
        debug_assert!(!self.is_full() && self.index[slot] == 0, "a full batch is written out first");
        if self.used == self.deliveries.len() {
            self.deliveries.push(Delivery::default());
        }
        let at = self.used;
        self.used += 1;
        self.index[slot] = self.used as u16;
        let delivery = &mut self.deliveries[at];
        delivery.raw = peer.framing() == Framing::Raw;
        delivery.peer = Some(peer);
        delivery.slot = slot;
        delivery.room = 0;
        at
    }

    pub(super) fn get(&mut self, at: usize) -> &mut Delivery {
        &mut self.deliveries[at]
    }

    /// Writes out one delivery; it can collect further bytes afterwards, in room newly asked for.
    pub(super) fn flush(&mut self, at: usize, sender: &Arc<Peer>, input: &[u8], gather: &Gather, now: Tick) {
        self.deliveries[at].flush(sender, input, Haste::Now, gather, now);
    }

    /// Writes out everything and forgets the recipients.
    pub(super) fn finish(
        &mut self,
        sender: &Arc<Peer>,
        input: &[u8],
        is_bulk: bool,
        gather: &Gather,
        now: Tick,
    ) {
        for delivery in &mut self.deliveries[..self.used] {
            let waits = is_bulk && delivery.bytes < BULK_DELIVERY_BYTES;
            delivery.flush(sender, input, if waits { Haste::Together } else { Haste::Now }, gather, now);
            delivery.peer = None;
            self.index[delivery.slot] = 0;
            if delivery.copied.capacity() > COPY_BYTES_KEPT {
                delivery.copied = Vec::new();
            }
        }
        self.used = 0;
    }
}

impl Delivery {
    pub(super) fn peer(&self) -> Option<&Arc<Peer>> {
        self.peer.as_ref()
    }

    #[inline]
    pub(super) fn is_raw(&self) -> bool {
        self.raw
    }

    pub(super) fn set_room(&mut self, room: usize) {
        self.room = room;
    }

    /// Whether `n` more bytes fit into the room the recipient gave.
    #[inline]
    pub(super) fn fits(&self, n: usize) -> bool {
        n <= self.room - self.bytes
    }

    /// Room that is left.
    pub(super) fn room(&self) -> usize {
        self.room - self.bytes
    }

    /// Adds bytes by copying them.
    #[inline]
    pub(super) fn copy(&mut self, bytes: &[u8]) {
        self.copied.extend_from_slice(bytes);
        self.bytes += bytes.len();
    }

    /// Lets `write` append bytes, such as a header.
    pub(super) fn copy_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.copied.len();
        write(&mut self.copied);
        self.bytes += self.copied.len() - before;
    }

    /// Adds `input[start..end]`: a large payload by reference, a small one by copying.
    #[inline]
    pub(super) fn add(&mut self, input: &[u8], start: usize, end: usize) {
        if end - start < PAYLOAD_BYTES_BY_REFERENCE || self.references.len() == REFERENCES_MAX {
            self.copy(&input[start..end]);
        } else {
            self.references.push(Reference { after: self.copied.len(), start, end });
            self.bytes += end - start;
        }
    }

    /// The bytes so far end the message for which the sender holds this recipient.
    pub(super) fn end_hold(&mut self) {
        self.ends_hold = true;
    }

    fn flush(&mut self, sender: &Arc<Peer>, input: &[u8], haste: Haste, gather: &Gather, now: Tick) {
        let Some(peer) = &self.peer else { return };
        if self.bytes > 0 || self.ends_hold {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut used = 0;
            let mut add = |slice| {
                if let (Some(slot), false) = (slices.get_mut(used), <[u8]>::is_empty(slice)) {
                    *slot = IoSlice::new(slice);
                    used += 1;
                }
            };
            let mut copied = 0;
            for reference in &self.references {
                add(&self.copied[copied..reference.after]);
                add(&input[reference.start..reference.end]);
                copied = reference.after;
            }
            add(&self.copied[copied..]);
            let delivered = peer.deliver(sender, &mut slices[..used], haste, self.ends_hold, now);
            if delivered == Delivered::Gathering {
                gather.add(peer);
            }
        }
        self.copied.clear();
        self.references.clear();
        self.bytes = 0;
        self.room = 0;
        self.ends_hold = false;
    }
}
