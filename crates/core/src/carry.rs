//! Received bytes that have to wait: the start of a frame, or all that came behind a blocked one.

use std::cell::RefCell;

/// A buffer from this size on is kept for the next who needs one, up to [`SPARE_BYTES_MAX`]: a sender of messages of some kilobytes
/// carries the start of one over nearly every read, and allocators give such sizes back to the system each time.
const SPARE_BYTES_MIN: usize = 4 << 10;
const SPARE_BYTES_MAX: usize = 512 << 10;

/// Spare buffers of a worker: one for each of the connections it serves in turn would be too many, one is taken again at once.
const SPARE_MAX: usize = 8;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that are kept between two reads. Empty, it owns no memory.
#[derive(Debug, Default)]
pub(crate) struct Carry {
    data: Vec<u8>,
    /// How much of `data` has been used up.
    start: usize,
}

impl From<Vec<u8>> for Carry {
    fn from(data: Vec<u8>) -> Self {
        Self { data, start: 0 }
    }
}

impl Carry {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.data[self.start..]
    }

    pub(crate) fn len(&self) -> usize {
        self.data.len() - self.start
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is left when `used` bytes are used up. Nothing is moved: a sender that is blocked again and again must not copy the rest
    /// each time.
    pub(crate) fn after(mut self, used: usize) -> Self {
        self.start += used;
        if self.start < self.data.len() { self } else { Self::default() }
    }

    /// Keeps a copy of `rest` in place of what was here.
    pub(crate) fn replace(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            *self = Self::default();
        } else {
            self.data.clear();
            self.start = 0;
            self.make_room(rest.len());
            self.data.extend_from_slice(rest);
        }
    }

    /// Adds bytes behind what is here.
    pub(crate) fn push(&mut self, more: &[u8]) {
        if self.start > 0 {
            self.data.drain(..self.start);
            self.start = 0;
        }
        self.data.extend_from_slice(more);
    }

    /// Has the empty buffer take `bytes`, a spare one if it is to be large.
    fn make_room(&mut self, bytes: usize) {
        if bytes >= SPARE_BYTES_MIN
            && self.data.capacity() < bytes
            && let Some(spare) = SPARE.with_borrow_mut(Vec::pop)
        {
            self.data = spare;
        }
    }
}

impl Drop for Carry {
    fn drop(&mut self) {
        if (SPARE_BYTES_MIN..=SPARE_BYTES_MAX).contains(&self.data.capacity()) {
            let mut spare = std::mem::take(&mut self.data);
            spare.clear();
            SPARE.with_borrow_mut(|kept| {
                if kept.len() < SPARE_MAX {
                    kept.push(spare);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_buffer_serves_again_and_a_small_one_is_not_kept() {
        let mut carry = Carry::default();
        carry.replace(&[7; 20_000]);
        let buffer = carry.bytes().as_ptr();
        carry.replace(b"");
        assert_eq!(carry.len(), 0);
        assert_eq!(carry.data.capacity(), 0, "an empty carry owns nothing");
        let mut next = Carry::default();
        next.replace(b"short");
        assert_ne!(next.bytes().as_ptr(), buffer, "a few bytes take a few bytes");
        next.replace(&[8; 10_000]);
        assert_eq!((next.bytes().as_ptr(), next.bytes()), (buffer, &[8; 10_000][..]));
    }
}
