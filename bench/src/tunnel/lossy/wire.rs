//! One direction of an emulated cable: a packet leaves when the line has sent those before it, arrives after the delay, or never.
//! No socket and no clock: time is passed in.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// What a cable does to packets, in each direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cable {
    /// From one end to the other.
    pub(super) delay: Duration,
    /// The share of the packets that is lost, 0 to 1.
    pub(super) loss: f64,
    pub(super) bytes_per_second: u64,
    /// The most packets on the way or waiting for the line; what comes on top is lost, too.
    pub(super) packets_max: usize,
}

/// Packets on their way.
#[derive(Debug)]
pub(super) struct Wire {
    cable: Cable,
    random: u64,
    /// When the line has sent what it was given.
    idle_at: Instant,
    /// In the order of their arrival.
    packets: VecDeque<(Instant, Vec<u8>)>,
}

impl Wire {
    /// The same seed loses the same packets of a sequence.
    pub(super) fn new(cable: Cable, seed: u64, now: Instant) -> Self {
        Self { cable, random: seed, idle_at: now, packets: VecDeque::new() }
    }

    /// Puts a packet on the line, unless it is one of the lost.
    pub(super) fn send(&mut self, packet: &[u8], now: Instant) {
        if self.is_unlucky() || self.packets.len() >= self.cable.packets_max {
            return;
        }
        let sending = Duration::from_secs_f64(packet.len() as f64 / self.cable.bytes_per_second as f64);
        self.idle_at = self.idle_at.max(now) + sending;
        self.packets.push_back((self.idle_at + self.cable.delay, packet.to_vec()));
    }

    /// When the next packet arrives.
    pub(super) fn next_arrival(&self) -> Option<Instant> {
        self.packets.front().map(|(arrival, _)| *arrival)
    }

    /// The next packet that has arrived by now.
    pub(super) fn receive(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.next_arrival().filter(|arrival| *arrival <= now)?;
        self.packets.pop_front().map(|(_, packet)| packet)
    }

    /// The generator is SplitMix64: any seed will do, and no packet's fate tells the next one's.
    fn is_unlucky(&mut self) -> bool {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((mixed >> 32) as f64) < self.cable.loss * f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Cable = Cable {
        delay: Duration::from_millis(50),
        loss: 0.0,
        bytes_per_second: 1_000_000,
        packets_max: usize::MAX,
    };

    fn after(start: Instant, micros: u64) -> Instant {
        start + Duration::from_micros(micros)
    }

    #[test]
    fn packets_arrive_after_the_delay_and_in_order() {
        let start = Instant::now();
        let mut wire = Wire::new(WHOLE, 1, start);
        assert_eq!(wire.next_arrival(), None);
        wire.send(&[1; 1000], start);
        wire.send(&[2; 1000], after(start, 10_000));
        // A thousand bytes are a millisecond on the line.
        assert_eq!(wire.next_arrival(), Some(after(start, 51_000)));
        assert_eq!(wire.receive(after(start, 50_999)), None);
        assert_eq!(wire.receive(after(start, 51_000)), Some(vec![1; 1000]));
        assert_eq!(wire.receive(after(start, 60_999)), None);
        assert_eq!(wire.receive(after(start, 61_000)), Some(vec![2; 1000]));
        assert_eq!(wire.next_arrival(), None);
    }

    #[test]
    fn packets_wait_for_the_line() {
        let start = Instant::now();
        let mut wire = Wire::new(WHOLE, 1, start);
        (0..10).for_each(|_| wire.send(&[0; 1000], start));
        let arrived = |wire: &mut Wire, now| std::iter::from_fn(|| wire.receive(now)).count();
        assert_eq!(arrived(&mut wire, after(start, 55_500)), 5);
        assert_eq!(arrived(&mut wire, after(start, 59_999)), 4);
        assert_eq!(arrived(&mut wire, after(start, 60_000)), 1);
    }

    #[test]
    fn what_the_queue_does_not_hold_is_lost() {
        let start = Instant::now();
        let mut wire = Wire::new(Cable { packets_max: 3, ..WHOLE }, 1, start);
        (0..5).for_each(|n| wire.send(&[n], start));
        let later = after(start, 1_000_000);
        assert_eq!(std::iter::from_fn(|| wire.receive(later)).collect::<Vec<_>>(), [[0], [1], [2]]);
        wire.send(&[5], later);
        assert_eq!(wire.packets.len(), 1);
    }

    #[test]
    fn the_share_that_is_lost_is_the_one_asked_for() {
        let start = Instant::now();
        for (loss, least, most) in
            [(0.0, 0, 0), (0.005, 400, 600), (0.5, 49_000, 51_000), (1.0, 100_000, 100_000)]
        {
            let mut wire = Wire::new(Cable { loss, ..WHOLE }, 7, start);
            (0..100_000).for_each(|_| wire.send(&[0], start));
            let lost = 100_000 - wire.packets.len();
            assert!((least..=most).contains(&lost), "{lost} of 100000 lost at {loss}");
        }
    }

    #[test]
    fn the_same_seed_loses_the_same_packets() {
        let start = Instant::now();
        let survivors = |seed| {
            let mut wire = Wire::new(Cable { loss: 0.5, ..WHOLE }, seed, start);
            (0..200).for_each(|n| wire.send(&[n], start));
            std::iter::from_fn(|| wire.receive(after(start, 1_000_000))).collect::<Vec<_>>()
        };
        assert_eq!(survivors(1), survivors(1));
        assert_ne!(survivors(1), survivors(2));
    }
}
