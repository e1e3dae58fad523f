//! A delay line: what was put in comes out in the same order, each piece at its own time. No socket and no timer.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::{Network, bucket::Bucket, random::Random};

/// What a piece costs beyond its bytes, so that a sender of single bytes is bounded too.
const PIECE_COST: usize = 64;

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Line {
    delay: Duration,
    jitter: Duration,
    bucket: Option<Bucket>,
    random: Random,
    pieces: VecDeque<Piece>,
    /// Bytes on the way, with the cost of their pieces.
    held: usize,
    held_max: usize,
    piece_max: usize,
    /// When the last piece comes out: none may overtake it.
    last_due: Instant,
}

#[derive(Debug)]
struct Piece {
    due: Instant,
    bytes: Vec<u8>,
    /// How much of it has come out.
    taken: usize,
}

impl Line {
    pub(super) fn new(network: &Network, now: Instant) -> Self {
        Self {
            delay: network.delay,
            jitter: network.jitter,
            bucket: network.rate.map(|rate| Bucket::new(rate, now)),
            random: Random::new(),
            pieces: VecDeque::new(),
            held: 0,
            held_max: network.in_flight_max(),
            piece_max: Bucket::piece_max(network.rate),
            last_due: now,
        }
    }

    /// The most that is ever put in at once.
    pub(super) fn piece_max(&self) -> usize {
        self.piece_max
    }

    /// How many bytes may be put in now.
    pub(super) fn room(&self) -> usize {
        self.held_max.saturating_sub(self.held + PIECE_COST).min(self.piece_max)
    }

    /// Puts in what arrived at `now`. No bytes: the end, which takes its time as bytes do.
    pub(super) fn put(&mut self, now: Instant, bytes: &[u8]) {
        let passed = match &mut self.bucket {
            Some(bucket) => bucket.take(now, bytes.len()),
            None => now,
        };
        let swing = self.jitter.mul_f64(self.random.fraction() * 2.0);
        let due = passed + (self.delay + swing).saturating_sub(self.jitter);
        self.last_due = self.last_due.max(due);
        self.held += bytes.len() + PIECE_COST;
        self.pieces.push_back(Piece { due: self.last_due, bytes: bytes.to_vec(), taken: 0 });
    }

    /// When the next piece comes out and what is left of it; no bytes are the end.
    pub(super) fn head(&self) -> Option<(Instant, &[u8])> {
        self.pieces.front().map(|piece| (piece.due, piece.bytes.get(piece.taken..).unwrap_or_default()))
    }

    /// Takes `n` bytes of the next piece out; `true` when that was all of it.
    pub(super) fn take(&mut self, n: usize) -> bool {
        let Some(head) = self.pieces.front_mut() else { return false };
        head.taken += n;
        let is_out = head.taken >= head.bytes.len();
        if is_out {
            self.held = self.held.saturating_sub(head.bytes.len() + PIECE_COST);
            self.pieces.pop_front();
        }
        is_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(delay_ms: u64, jitter_ms: u64) -> Network {
        Network {
            delay: Duration::from_millis(delay_ms),
            jitter: Duration::from_millis(jitter_ms),
            ..Network::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn jitter_stays_in_its_bounds_and_keeps_the_order() {
        let start = Instant::now();
        let mut line = Line::new(&network(100, 20), start);
        let mut seen = Vec::new();
        for i in 0..200_u32 {
            // Far enough apart that none waits for the one before.
            let sent = start + Duration::from_secs(u64::from(i));
            line.put(sent, &i.to_be_bytes());
            let (due, bytes) = line.head().unwrap();
            assert_eq!(bytes, i.to_be_bytes());
            seen.push((due - sent).as_millis());
            line.take(4);
        }
        let (least, most) = (*seen.iter().min().unwrap(), *seen.iter().max().unwrap());
        assert!(least >= 80 && most <= 120, "{least}..{most}");
        assert!(least < 90 && most > 110, "200 draws fill most of the range: {least}..{most}");

        let burst: Vec<_> = (0..50_u32).map(|i| i.to_be_bytes()).collect();
        burst.iter().for_each(|bytes| line.put(start + Duration::from_secs(1000), bytes));
        let mut before = start;
        for wanted in burst {
            let (due, bytes) = line.head().unwrap();
            assert_eq!(bytes, wanted);
            assert!(due >= before);
            before = due;
            line.take(4);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn jitter_larger_than_the_delay_never_goes_back_in_time() {
        let start = Instant::now();
        let mut line = Line::new(&network(1, 50), start);
        for _ in 0..100 {
            line.put(start, b"x");
            assert!(line.head().unwrap().0 >= start);
            line.take(1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_on_the_way_is_bounded_even_for_single_bytes() {
        let start = Instant::now();
        let mut line = Line::new(&network(1000, 0), start);
        let mut pieces = 0;
        while line.room() > 0 {
            line.put(start, b"x");
            pieces += 1;
        }
        assert!(pieces <= network(1000, 0).in_flight_max() / PIECE_COST);
        line.take(1);
        assert!(line.room() > 0, "what came out makes room");
    }

    #[tokio::test(start_paused = true)]
    async fn a_piece_can_be_taken_in_parts() {
        let mut line = Line::new(&network(0, 0), Instant::now());
        line.put(Instant::now(), b"abc");
        line.take(2);
        assert_eq!(line.head().unwrap().1, b"c");
        line.take(1);
        assert!(line.head().is_none());
    }
}
