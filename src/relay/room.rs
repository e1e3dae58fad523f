//! How much may wait for a client: a share of its own, and a loan from what all clients have together.
//!
//! With a fixed bound alone, many-to-many traffic falls into step: each recipient is behind for a moment now and then, and every sender
//! stops at the first that is full. Room for such moments costs little if it is shared, since only a few need it at a time. The rule is
//! that of switches whose ports share one memory: nobody may borrow more than is still free, so that a few greedy ones leave
//! something for the next (A. K. Choudhury, E. L. Hahne, "Dynamic queue length thresholds in a shared memory packet switch", 1996).

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A client may borrow so many times its own share: beyond that it is slow, not behind for a moment.
const LOAN_SHARES_MAX: usize = 3;

/// The room for what waits, of all clients of a relay.
#[derive(Debug)]
pub(super) struct Room {
    /// Each client's own share, in bytes.
    share: usize,
    /// What all may borrow together, in bytes.
    extra: usize,
    /// Bytes of it that are borrowed.
    lent: AtomicUsize,
}

impl Room {
    pub(super) fn new(share: usize, extra: usize) -> Self {
        Self { share, extra, lent: AtomicUsize::new(0) }
    }

    /// Bytes that a client has in any case.
    pub(super) fn share(&self) -> usize {
        self.share
    }

    /// Bytes that may wait for a client at this moment, its own share included.
    pub(super) fn limit(&self) -> usize {
        let free = self.extra.saturating_sub(self.lent.load(Relaxed));
        self.share.saturating_add(free.min(self.share.saturating_mul(LOAN_SHARES_MAX)))
    }

    /// Brings a client's loan in line with the bytes that wait for it.
    pub(super) fn settle(&self, loan: &mut usize, pending: usize) {
        let needed = pending.saturating_sub(self.share);
        if needed > *loan {
            self.lent.fetch_add(needed - *loan, Relaxed);
        } else if needed < *loan {
            self.lent.fetch_sub(*loan - needed, Relaxed);
        }
        *loan = needed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_borrowed_is_missing_to_the_others_until_it_is_given_back() {
        let room = Room::new(100, 400);
        assert_eq!(room.limit(), 400, "three shares more than its own");
        let (mut first, mut second) = (0, 0);
        room.settle(&mut first, 300);
        assert_eq!((first, room.limit()), (200, 300), "no more than is free");
        room.settle(&mut second, 250);
        assert_eq!((second, room.limit()), (150, 150));
        room.settle(&mut first, 100);
        assert_eq!((first, room.limit()), (0, 350));
        room.settle(&mut second, 0);
        assert_eq!((second, room.limit()), (0, 400));
    }

    #[test]
    fn without_a_common_part_everyone_has_its_own_share_even_when_it_had_to_be_exceeded() {
        let room = Room::new(100, 0);
        let mut loan = 0;
        // One message that is larger than the whole queue is let in when nothing else waits.
        room.settle(&mut loan, 1000);
        assert_eq!(room.limit(), 100);
        assert_eq!(Room::new(usize::MAX, 400).limit(), usize::MAX);
    }
}
