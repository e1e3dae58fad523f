//! The byte budget: how much may wait in all queues of a relay.
//!
//! Each queue has a share of its own. Beyond it, a queue borrows from what all have together. With a fixed share alone, many-to-many traffic
//! falls into step: each recipient is behind for a moment now and then, and every sender stops at the first that is full. Room for such
//! moments costs little if it is shared, since few need it at a time. The rule is that of switches whose ports share one memory: nobody
//! borrows more than is still free, so that a few greedy ones leave something for the next (A. K. Choudhury, E. L. Hahne, "Dynamic queue
//! length thresholds in a shared memory packet switch", 1996).
//!
//! Bytes are borrowed before they are accepted, and a [`Loan`] that is dropped gives its bytes back, whatever the reason.

use std::sync::Arc;

use crate::sync::{AtomicUsize, Ordering::Relaxed};

/// A queue may borrow so many times its own share: beyond that its reader is slow, not behind for a moment.
const LOAN_SHARES_MAX: usize = 3;

/// What may wait in all queues of a relay.
#[derive(Debug)]
pub struct Budget {
    /// Each outbound queue's own share, in bytes.
    share: usize,
    /// What all queues may borrow together, in bytes.
    extra: usize,
    /// Bytes of it that are borrowed.
    borrowed: AtomicUsize,
}

/// Bytes that one queue has borrowed. Dropped, it gives them back.
#[derive(Debug)]
pub struct Loan {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    /// A budget of `share` bytes for each outbound queue, and `extra` bytes for all queues together.
    pub fn new(share: usize, extra: usize) -> Self {
        Self { share, extra, borrowed: AtomicUsize::new(0) }
    }

    /// Bytes that an outbound queue has in any case.
    pub fn share(&self) -> usize {
        self.share
    }

    /// Bytes that are borrowed now, by all queues together.
    pub fn borrowed(&self) -> usize {
        self.borrowed.load(Relaxed)
    }

    /// Bytes that may wait in an outbound queue at this moment, its own share included.
    pub fn limit(&self) -> usize {
        let free = self.extra.saturating_sub(self.borrowed());
        self.share.saturating_add(free.min(self.share.saturating_mul(LOAN_SHARES_MAX)))
    }
}

impl Loan {
    /// Nothing, yet, of `budget`.
    pub fn new(budget: Arc<Budget>) -> Self {
        Self { budget, bytes: 0 }
    }

    /// The budget that it is from.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Bytes that are borrowed.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Has exactly `bytes` borrowed from now on. False, and nothing has changed, if that would be more than is free.
    #[must_use]
    pub fn set(&mut self, bytes: usize) -> bool {
        if bytes > self.bytes {
            let more = bytes - self.bytes;
            let enough = |borrowed: usize| {
                borrowed.checked_add(more).filter(|borrowed| *borrowed <= self.budget.extra)
            };
            if self.budget.borrowed.fetch_update(Relaxed, Relaxed, enough).is_err() {
                return false;
            }
        } else if bytes < self.bytes {
            self.budget.borrowed.fetch_sub(self.bytes - bytes, Relaxed);
        }
        self.bytes = bytes;
        true
    }

    /// The same, whatever is free: for one message that is larger than an empty queue.
    pub fn force(&mut self, bytes: usize) {
        if !self.set(bytes) {
            self.budget.borrowed.fetch_add(bytes - self.bytes, Relaxed);
            self.bytes = bytes;
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.borrowed.fetch_sub(self.bytes, Relaxed);
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn what_is_borrowed_is_missing_to_the_others_until_it_is_given_back() {
        let budget = Arc::new(Budget::new(100, 400));
        assert_eq!(budget.limit(), 400, "three shares more than its own");
        let (mut first, mut second) = (Loan::new(Arc::clone(&budget)), Loan::new(Arc::clone(&budget)));
        assert!(first.set(200));
        assert_eq!(budget.limit(), 300, "no more than is free");
        assert!(second.set(150));
        assert_eq!(budget.limit(), 150);
        assert!(first.set(0));
        assert_eq!(budget.limit(), 350);
        drop(second);
        assert_eq!((budget.limit(), budget.borrowed()), (400, 0));
    }

    #[test]
    fn nothing_beyond_the_budget_is_lent_unless_it_is_forced() {
        let budget = Arc::new(Budget::new(100, 400));
        let (mut first, mut second) = (Loan::new(Arc::clone(&budget)), Loan::new(Arc::clone(&budget)));
        assert!(first.set(399) && !second.set(2) && second.set(1) && !first.set(400));
        assert_eq!((first.bytes(), second.bytes(), budget.borrowed()), (399, 1, 400));
        second.force(1000);
        assert_eq!((budget.borrowed(), budget.limit()), (1399, 100));
        assert!(!first.set(400) && first.set(398));
        drop((first, second));
        assert_eq!(budget.borrowed(), 0);
    }

    #[test]
    fn without_a_common_part_everyone_has_its_own_share() {
        let budget = Arc::new(Budget::new(100, 0));
        let mut loan = Loan::new(Arc::clone(&budget));
        assert!(loan.set(0) && !loan.set(1));
        loan.force(1000);
        assert_eq!(budget.limit(), 100);
        assert_eq!(Budget::new(usize::MAX, 400).limit(), usize::MAX);
    }
}
