//! What one read has for each recipient: collected while the batch is parsed, written with one system call a recipient at its end.

use std::{hash::BuildHasher, io::IoSlice};

use crate::{
    driver::{Driver, Framing, Peer},
    mutation::{self, Mutation},
    outbox::{Grant, WriteMode},
};

/// Recipients of one batch before it is written out early. A batch is a few hundred kilobytes, so more would mean tiny writes anyway.
pub const RECIPIENTS_MAX: usize = 512;

/// Slices given to one vectored write. Linux takes 1,024; 64 of a few kilobytes each already fill a socket buffer.
pub const SLICES_MAX: usize = 64;

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
pub(crate) struct Batch<P> {
    /// The first `used` are in use; the others keep their buffers for the next batch.
    deliveries: Vec<Delivery<P>>,
    used: usize,
    recipients_max: usize,
    /// Position in `deliveries` plus one, found by the hash of the name; 0 is empty. Twice as many slots as recipients keep
    /// probing short, and there is always an empty one, which ends a search.
    index: Box<[u16]>,
    hash: foldhash::fast::FixedState,
}

/// What one recipient gets from a batch.
#[derive(Debug)]
pub(crate) struct Delivery<P> {
    peer: Option<P>,
    slot: usize,
    /// The recipient gets payloads alone.
    raw: bool,
    /// Space in the recipient's outbox.
    grant: Grant,
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
pub(crate) enum Found {
    /// The delivery is there.
    Delivery(usize),
    /// It is not; this is its slot.
    Vacant(usize),
}

impl<P: Peer> Batch<P> {
    /// An empty one for up to `recipients_max` recipients. `seed` is random, since names are chosen by strangers.
    pub(crate) fn new(recipients_max: usize, seed: u64) -> Self {
        Self {
            deliveries: Vec::new(),
            used: 0,
            recipients_max,
            index: vec![0; 2 * recipients_max].into(),
            hash: foldhash::fast::FixedState::with_seed(seed),
        }
    }

    /// Finds the delivery for a name.
    pub(crate) fn find(&self, name: &[u8]) -> Found {
        let mut slot = self.hash.hash_one(name) as usize % self.index.len();
        loop {
            mutation::burn();
            let Some(at) = (self.index[slot] as usize).checked_sub(1) else { return Found::Vacant(slot) };
            if self.deliveries[at].peer.as_ref().is_some_and(|peer| peer.name() == name) {
                return Found::Delivery(at);
            }
            slot = (slot + 1) % self.index.len();
        }
    }

    /// Whether there is no place for another recipient: the batch is written out first.
    pub(crate) fn is_full(&self) -> bool {
        if mutation::is_on(Mutation::EmptyMessageNeedsNoPlace) {
            return self.used >= self.recipients_max
                && self.deliveries[..self.used].iter().any(|delivery| delivery.bytes > 0);
        }
        self.used >= self.recipients_max
    }

    /// Adds a delivery in its slot; the batch must not be full.
    pub(crate) fn insert(&mut self, slot: usize, peer: P) -> usize {
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
        at
    }

    pub(crate) fn get(&mut self, at: usize) -> &mut Delivery<P> {
        &mut self.deliveries[at]
    }

    /// Writes out one delivery; it can collect further bytes afterwards, in space newly granted.
    pub(crate) fn flush<D: Driver<Peer = P>>(&mut self, at: usize, driver: &D, sender: &P, input: &[u8]) {
        self.deliveries[at].flush(driver, sender, input, WriteMode::Flush);
    }

    /// Writes out everything and forgets the recipients.
    pub(crate) fn finish<D: Driver<Peer = P>>(
        &mut self,
        driver: &D,
        sender: &P,
        input: &[u8],
        is_bulk: bool,
    ) {
        for delivery in &mut self.deliveries[..self.used] {
            let waits = is_bulk && delivery.bytes < BULK_DELIVERY_BYTES;
            delivery.flush(driver, sender, input, if waits { WriteMode::Batch } else { WriteMode::Flush });
            delivery.peer = None;
            self.index[delivery.slot] = 0;
            if delivery.copied.capacity() > COPY_BYTES_KEPT {
                delivery.copied = Vec::new();
            }
        }
        self.used = 0;
    }
}

impl<P> Default for Delivery<P> {
    fn default() -> Self {
        Self {
            peer: None,
            slot: 0,
            raw: false,
            grant: Grant::default(),
            bytes: 0,
            copied: Vec::new(),
            references: Vec::new(),
            ends_hold: false,
        }
    }
}

impl<P: Peer> Delivery<P> {
    pub(crate) fn peer(&self) -> Option<&P> {
        self.peer.as_ref()
    }

    #[inline]
    pub(crate) fn is_raw(&self) -> bool {
        self.raw
    }

    /// Takes space; the delivery has been flushed before.
    pub(crate) fn set_grant(&mut self, grant: Grant) {
        debug_assert!(
            self.grant.bytes() == 0 && self.bytes == 0,
            "a delivery asks for space when it is flushed"
        );
        self.grant = grant;
    }

    /// Whether `n` more bytes fit into the space that was granted.
    #[inline]
    pub(crate) fn fits(&self, n: usize) -> bool {
        n <= self.space()
    }

    /// Space that is left.
    #[inline]
    pub(crate) fn space(&self) -> usize {
        self.grant.bytes() - self.bytes
    }

    /// Adds bytes by copying them.
    #[inline]
    fn copy(&mut self, bytes: &[u8]) {
        self.copied.extend_from_slice(bytes);
        self.bytes += bytes.len();
    }

    /// Lets `write` append bytes, such as a header.
    pub(crate) fn copy_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.copied.len();
        write(&mut self.copied);
        self.bytes += self.copied.len() - before;
    }

    /// Adds `input[start..end]`: a large payload by reference, a small one by copying.
    #[inline]
    pub(crate) fn add(&mut self, input: &[u8], start: usize, end: usize) {
        if end - start < PAYLOAD_BYTES_BY_REFERENCE || self.references.len() == REFERENCES_MAX {
            self.copy(&input[start..end]);
        } else {
            self.references.push(Reference { after: self.copied.len(), start, end });
            self.bytes += end - start;
        }
    }

    /// The bytes so far end the message for which the sender holds this recipient.
    pub(crate) fn end_hold(&mut self) {
        self.ends_hold = true;
    }

    fn flush<D: Driver<Peer = P>>(&mut self, driver: &D, sender: &P, input: &[u8], mode: WriteMode) {
        let Some(peer) = &self.peer else { return };
        let grant = std::mem::take(&mut self.grant);
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
            driver.deliver(peer, sender, grant, &mut slices[..used], mode, self.ends_hold);
        } else if grant.bytes() > 0 {
            let todo = driver.outbox(peer, |outbox| outbox.give_back(grant));
            driver.act(peer, todo);
        }
        self.copied.clear();
        self.references.clear();
        self.bytes = 0;
        self.ends_hold = false;
    }
}
