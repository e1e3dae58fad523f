//! Faults that were in this program once, to be put back one at a time: the simulator has to find each of them.
//!
//! Without the feature `simulation` there are none of them, and what asks for them is compiled to nothing.

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// X1: a message of no bytes needs no place in the batch, whose index then fills up until a search in it never ends.
    EmptyMessageNeedsNoPlace,
    /// X2: the part of a message whose sender has left enters the queue of its recipient without space.
    PartWithoutSpace,
    /// T1: a hello takes a name over although its client has gone.
    GoneClientWins,
    /// Space that was granted and is not yet used counts as free.
    UncountedGrants,
    /// A sender that leaves stays the holder of its recipient.
    HoldOutlivesSender,
    /// Nobody wakes who waits for space.
    LostWakeUp,
    /// A client that has shut down its sending side has no deadline.
    DrainWithoutDeadline,
    /// What the relay itself answers enters a queue without space.
    AnswerWithoutSpace,
    /// A deadline that comes closer leaves the timer where it is.
    DeadlineComesTooLate,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::EmptyMessageNeedsNoPlace,
        Self::PartWithoutSpace,
        Self::GoneClientWins,
        Self::UncountedGrants,
        Self::HoldOutlivesSender,
        Self::LostWakeUp,
        Self::DrainWithoutDeadline,
        Self::AnswerWithoutSpace,
        Self::DeadlineComesTooLate,
    ];
}

#[cfg(feature = "simulation")]
mod state {
    use std::cell::Cell;

    use super::Mutation;

    thread_local! {
        static PUT_BACK: Cell<Option<Mutation>> = const { Cell::new(None) };
        static FUEL: Cell<u64> = const { Cell::new(u64::MAX) };
    }

    /// Puts one fault back, or none, on this thread.
    pub fn put_back(mutation: Option<Mutation>) {
        PUT_BACK.set(mutation);
    }

    /// Whether the fault was put back.
    pub fn is_on(mutation: Mutation) -> bool {
        PUT_BACK.get() == Some(mutation)
    }

    /// Gives the next step so much fuel; see [`burn`].
    pub fn refuel(fuel: u64) {
        FUEL.set(fuel);
    }

    /// Burns fuel, once a turn of each loop. A step that runs out of it would not have ended.
    ///
    /// # Panics
    /// There is none left. Only the simulator gets here.
    #[allow(clippy::panic)]
    pub fn burn() {
        match FUEL.get().checked_sub(1) {
            Some(left) => FUEL.set(left),
            None => panic!("a step does not end: it is out of fuel"),
        }
    }
}

#[cfg(feature = "simulation")]
pub use state::{burn, is_on, put_back, refuel};

/// Whether the fault was put back: never.
#[cfg(not(feature = "simulation"))]
#[inline(always)]
pub(crate) const fn is_on(_: Mutation) -> bool {
    false
}

/// Costs nothing outside of the simulator.
#[cfg(not(feature = "simulation"))]
#[inline(always)]
pub(crate) const fn burn() {}
