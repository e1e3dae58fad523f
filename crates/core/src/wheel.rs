//! One timer wheel for the deadlines of all clients: a hashed wheel of coarse ticks (Varghese and Lauck, "Hashed and Hierarchical Timing
//! Wheels", 1987, scheme 6).
//!
//! The wheel says when the driver looks at a client, which is never after the client's first deadline. An event that moves a deadline away,
//! such as a byte that arrives, leaves the wheel alone: the driver looks, finds that there is time left, and schedules the client again. An
//! event that brings a deadline closer schedules the client earlier. So an idle client costs one look per idle timeout, and a busy one no
//! more than one look per tick.
//!
//! The driver owns the lock of the wheel. A client has one entry or none; the entry's place is in the client's [`Timer`], so that a client
//! that leaves is taken out without a search.

use crate::{
    clock::Tick,
    mutation::{self, Mutation},
    sync::{AtomicU32, Ordering::SeqCst},
};

/// Slots, one per tick. A deadline further away stays in its slot for more than one turn of the wheel.
const SLOTS: usize = 256;

/// Where the entry of a client is: nowhere, for now or for good.
const NONE: u32 = u32::MAX;
const RETIRED: u32 = u32::MAX - 1;

/// When a client is looked at next. The client owns the timer; only the wheel changes it, under the wheel's lock.
#[derive(Debug)]
pub struct Timer {
    at: AtomicU32,
    place: AtomicU32,
}

impl Default for Timer {
    fn default() -> Self {
        Self { at: AtomicU32::new(0), place: AtomicU32::new(NONE) }
    }
}

impl Timer {
    /// Whether nothing is left to schedule: the client is looked at by `at`, or has been retired. Takes no lock.
    ///
    /// The driver changes the client first and asks then. The wheel takes the entry out first and the driver looks at the client then. So
    /// whatever the order of the two, the change is seen by the look, or the missing entry by the one who asks.
    #[inline]
    pub fn is_set_by(&self, at: Tick) -> bool {
        match self.place.load(SeqCst) {
            NONE => false,
            RETIRED => true,
            _ => !Tick::from(self.at.load(SeqCst)).is_after(at),
        }
    }

    fn is_set(&self) -> bool {
        !matches!(self.place.load(SeqCst), NONE | RETIRED)
    }
}

/// A client of a wheel, as a cheap reference.
pub trait Timed: Clone {
    /// The client's timer.
    fn timer(&self) -> &Timer;
}

/// The wheel.
#[derive(Debug)]
pub struct Wheel<K> {
    slots: Box<[Vec<K>]>,
    now: Tick,
}

impl<K: Timed> Wheel<K> {
    /// An empty wheel at the moment `now`.
    pub fn new(now: Tick) -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), now }
    }

    /// Has the client looked at by `at`, and not before the next tick. An entry that is due earlier stays as it is.
    pub fn schedule(&mut self, client: &K, at: Tick) {
        let timer = client.timer();
        let soonest = self.now.after(1);
        let at = if at.is_after(soonest) { at } else { soonest };
        if timer.is_set_by(at) {
            return;
        }
        if timer.is_set() && mutation::is_on(Mutation::DeadlineComesTooLate) {
            return;
        }
        self.take_out(client);
        let entries = &mut self.slots[slot(at)];
        // The moment first: who sees the place without the lock has to see the moment that belongs to it.
        timer.at.store(at.into(), SeqCst);
        // A list of clients never has 2^32 - 2 entries: each is a connection.
        timer.place.store(entries.len() as u32, SeqCst);
        entries.push(client.clone());
    }

    /// Takes the client out for good.
    pub fn retire(&mut self, client: &K) {
        self.take_out(client);
        client.timer().place.store(RETIRED, SeqCst);
    }

    /// Moves on to `now`, and takes out every client that is due.
    pub fn advance(&mut self, now: Tick, due: &mut Vec<K>) {
        // After a pause longer than a turn of the wheel every slot is visited once.
        let ticks = now.since(self.now).min(SLOTS as u32);
        for n in 0..ticks {
            let slot = slot(self.now.after(n + 1));
            let mut at = 0;
            while let Some(client) = self.slots[slot].get(at) {
                if Tick::from(client.timer().at.load(SeqCst)).is_after(now) {
                    at += 1;
                } else {
                    due.push(self.take(slot, at));
                }
            }
            let entries = &mut self.slots[slot];
            // A crowd that was here once does not keep the space.
            if entries.capacity() > 4 * entries.len().max(4) {
                entries.shrink_to(2 * entries.len());
            }
        }
        self.now = now;
    }

    fn take_out(&mut self, client: &K) {
        let timer = client.timer();
        if timer.is_set() {
            let slot = slot(timer.at.load(SeqCst).into());
            let _taken = self.take(slot, timer.place.load(SeqCst) as usize);
        }
    }

    /// Takes an entry out. The last one of its slot moves to its place.
    fn take(&mut self, slot: usize, place: usize) -> K {
        let entries = &mut self.slots[slot];
        let client = entries.swap_remove(place);
        if let Some(moved) = entries.get(place) {
            moved.timer().place.store(place as u32, SeqCst);
        }
        client.timer().place.store(NONE, SeqCst);
        client
    }
}

fn slot(at: Tick) -> usize {
    u32::from(at) as usize % SLOTS
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::{collections::BTreeMap, rc::Rc};

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    struct Client(Rc<(u32, Timer)>);

    impl Timed for Client {
        fn timer(&self) -> &Timer {
            &self.0.1
        }
    }

    fn client(id: u32) -> Client {
        Client(Rc::new((id, Timer::default())))
    }

    fn at(ticks: u32) -> Tick {
        Tick::ZERO.after(ticks)
    }

    fn due(wheel: &mut Wheel<Client>, now: Tick) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.advance(now, &mut due);
        let mut ids: Vec<u32> = due.iter().map(|client| client.0.0).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn a_client_is_due_at_its_tick_and_once() {
        for ticks in [1, 2, SLOTS as u32 - 1, SLOTS as u32, SLOTS as u32 + 1, 3 * SLOTS as u32 + 7] {
            let mut wheel = Wheel::new(Tick::ZERO);
            wheel.schedule(&client(1), at(ticks));
            for now in 1..ticks {
                assert!(due(&mut wheel, at(now)).is_empty(), "{now} of {ticks}");
            }
            assert_eq!(due(&mut wheel, at(ticks)), [1], "{ticks}");
            assert!(due(&mut wheel, at(ticks + SLOTS as u32)).is_empty());
        }
    }

    #[test]
    fn the_past_is_the_next_tick() {
        let mut wheel = Wheel::new(at(5));
        let one = client(1);
        wheel.schedule(&one, at(3));
        assert!(one.timer().is_set_by(at(6)) && !one.timer().is_set_by(at(5)));
        assert_eq!(due(&mut wheel, at(6)), [1]);
        assert!(!one.timer().is_set_by(at(1000)));
    }

    #[test]
    fn a_deadline_comes_closer_and_never_goes_away() {
        let mut wheel = Wheel::new(Tick::ZERO);
        let one = client(1);
        wheel.schedule(&one, at(20));
        wheel.schedule(&one, at(30));
        assert!(one.timer().is_set_by(at(20)));
        wheel.schedule(&one, at(10));
        assert_eq!(due(&mut wheel, at(10)), [1]);
        assert!(due(&mut wheel, at(40)).is_empty());
    }

    #[test]
    fn who_has_left_is_not_kept() {
        let mut wheel = Wheel::new(Tick::ZERO);
        let clients: Vec<Client> = (0..5).map(client).collect();
        clients.iter().for_each(|client| wheel.schedule(client, at(9)));
        wheel.retire(&clients[1]);
        wheel.retire(&clients[4]);
        wheel.retire(&clients[4]);
        wheel.schedule(&clients[1], at(2));
        assert_eq!(Rc::strong_count(&clients[1].0), 1);
        assert!(clients[1].timer().is_set_by(at(2)), "nothing is left to schedule");
        assert_eq!(due(&mut wheel, at(9)), [0, 2, 3]);
    }

    #[test]
    fn after_a_long_pause_everybody_is_due() {
        let mut wheel = Wheel::new(at(u32::MAX - 3));
        let start = at(u32::MAX - 3);
        for id in 0..2 * SLOTS as u32 {
            wheel.schedule(&client(id), start.after(id + 1));
        }
        assert_eq!(due(&mut wheel, start.after(2 * SLOTS as u32)).len(), 2 * SLOTS);
    }

    #[test]
    fn a_crowd_leaves_no_space_behind() {
        let mut wheel = Wheel::new(Tick::ZERO);
        (0..10_000).for_each(|id| wheel.schedule(&client(id), at(7)));
        assert_eq!(due(&mut wheel, at(7)).len(), 10_000);
        assert!(wheel.slots[7].capacity() < 100);
    }

    proptest! {
        /// Whatever is scheduled and taken out, in whatever order, each client is due at the earliest of its moments.
        #[test]
        fn a_wheel_is_a_map(steps in prop::collection::vec((0u8..8, 0usize..12, 1u32..700), 0..300)) {
            let mut now = Tick::ZERO;
            let mut wheel = Wheel::new(now);
            let mut clients: Vec<Client> = (0..12).map(client).collect();
            let mut expected: BTreeMap<u32, Tick> = BTreeMap::new();
            for (what, who, ticks) in steps {
                match what {
                    0..4 => {
                        wheel.schedule(&clients[who], now.after(ticks));
                        let earliest = expected.entry(clients[who].0.0).or_insert(now.after(ticks));
                        if earliest.is_after(now.after(ticks)) {
                            *earliest = now.after(ticks);
                        }
                    }
                    4 => {
                        wheel.retire(&clients[who]);
                        expected.remove(&clients[who].0.0);
                        clients[who] = client(who as u32);
                    }
                    _ => {
                        now = now.after(ticks / 8);
                        let all: Vec<u32> = expected.iter().filter(|(_, at)| !at.is_after(now)).map(|(id, _)| *id).collect();
                        expected.retain(|_, at| at.is_after(now));
                        prop_assert_eq!(due(&mut wheel, now), all);
                    }
                }
            }
        }
    }
}
