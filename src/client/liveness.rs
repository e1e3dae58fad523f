//! Whether the relay is still there, judged from what was sent to it and heard from it. Time is passed in; nothing here waits.

use std::time::Duration;

use tokio::time::Instant;

use super::error::LinkError;

/// How often something is sent so that the relay knows the client is alive: a third of version 1's 30 s.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Signs of life come no faster, whatever the relay asks for.
const INTERVAL_MIN: Duration = Duration::from_millis(50);

/// How long a relay that has nothing else of ours to deal with may take for a pong. It answers at once, so this is the network's share:
/// several retransmissions, and with the 10 s between pings a dead relay is noticed within 20 s.
const PONG_TIMEOUT: Duration = Duration::from_secs(10);

/// How long nothing may be heard while messages of ours are on their way. The relay holds their sender back, and with them the ping behind
/// them, for as long as the recipient is slow; but it cuts one that accepts no byte for 10 s, and then discards and goes on. So within
/// this time a recipient of 9 KiB/s has taken a message of 1 MiB, whose pong is heard, and one that takes nothing is long cut.
pub(super) const HELD_BACK_TIMEOUT: Duration = Duration::from_secs(120);

/// What a relay that does not answer a ping has to send on average after [`HELD_BACK_TIMEOUT`], in bytes a second. The pong may be behind much else,
/// but a relay that says something now and then and never answers is not to be waited for.
const RATE_BYTES_MIN: u64 = 1 << 10;

/// What one end knows of the other.
#[derive(Debug)]
pub(super) struct Liveness {
    interval: Duration,
    /// When the next sign of life is due.
    due: Instant,
    /// When a sign of the relay's life was last seen, or might have been missed because nothing was read.
    heard: Instant,
    /// When a ping was last answered or the relay took what it had not taken before, or might have.
    moved: Instant,
    /// Bytes from the relay since then.
    received_bytes: u64,
    /// Nothing is read, so silence says nothing.
    is_paused: bool,
    /// The number of the last ping.
    pings: u64,
    /// The number of the last pong.
    pongs: u64,
    /// The ping whose pong will say that every message was routed.
    covering: u64,
    /// When the first of the pings that wait for an answer was sent.
    asked: Instant,
}

impl Liveness {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            interval: KEEPALIVE,
            due: now + KEEPALIVE,
            heard: now,
            moved: now,
            received_bytes: 0,
            is_paused: false,
            pings: 0,
            pongs: 0,
            covering: 0,
            asked: now,
        }
    }

    /// The relay takes a client that is silent for `idle` for dead.
    pub(super) fn set_idle(&mut self, idle: Duration, now: Instant) {
        self.interval = KEEPALIVE.min(idle / 3).max(INTERVAL_MIN);
        self.sent(now);
    }

    /// Something was sent, which is a sign of life.
    pub(super) fn sent(&mut self, now: Instant) {
        self.due = now + self.interval;
    }

    /// A message was sent.
    pub(super) fn sent_message(&mut self) {
        self.covering = self.pings + 1;
    }

    /// The number for the ping that is sent now.
    pub(super) fn ping(&mut self, now: Instant) -> u64 {
        if !self.is_asked() {
            self.asked = now;
        }
        self.pings += 1;
        self.pings
    }

    /// A pong came. Whether it says anything new: one with a number that no ping had yet answers nothing.
    pub(super) fn pong(&mut self, number: u64, now: Instant) -> bool {
        let is_news = self.pongs < number && number <= self.pings;
        if is_news {
            self.pongs = number;
            self.moved(now);
        }
        is_news
    }

    /// Whether a ping waits for its answer.
    pub(super) fn is_asked(&self) -> bool {
        self.pongs < self.pings
    }

    /// Something came from the relay.
    pub(super) fn received(&mut self, bytes: usize, now: Instant) {
        self.received_bytes = self.received_bytes.saturating_add(bytes as u64);
        self.heard = now;
    }

    /// The relay, or at least its system, took more of what is sent.
    pub(super) fn taken(&mut self, now: Instant) {
        self.heard = now;
        self.moved(now);
    }

    fn moved(&mut self, now: Instant) {
        self.moved = now;
        self.received_bytes = 0;
    }

    /// When nothing will have come from the relay for as long as anything may take; `None` while nothing is read.
    pub(super) fn silent_at(&self) -> Option<Instant> {
        (!self.is_paused).then(|| self.heard + HELD_BACK_TIMEOUT)
    }

    /// From now on the link is read, or it is not.
    pub(super) fn set_reading(&mut self, reads: bool, now: Instant) {
        if reads && self.is_paused {
            self.taken(now);
        }
        self.is_paused = !reads;
    }

    /// When the next sign of life is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// When to look again: the next sign of life is due, or the relay has been silent for too long.
    pub(super) fn wake(&self) -> Instant {
        self.deadline().map_or(self.due, |(deadline, _)| deadline.min(self.due))
    }

    /// Why the relay counts as gone, if it does.
    pub(super) fn verdict(&self, now: Instant) -> Option<LinkError> {
        let (deadline, is_held_back) = self.deadline()?;
        let error = if is_held_back { LinkError::HeldBack } else { LinkError::Dead };
        (now >= deadline).then_some(error)
    }

    /// Until when something has to be heard, and whether messages of ours may be what keeps the relay from answering.
    fn deadline(&self) -> Option<(Instant, bool)> {
        if self.is_paused || !self.is_asked() {
            return None;
        }
        let is_held_back = self.pongs < self.covering;
        let limit = if is_held_back { HELD_BACK_TIMEOUT } else { PONG_TIMEOUT };
        let silent = self.heard.max(self.asked) + limit;
        // No more than a year: clocks cannot be added to without limit.
        let earned = Duration::from_secs((self.received_bytes / RATE_BYTES_MIN).min(365 * 24 * 60 * 60));
        let unanswered = self.moved.max(self.asked) + HELD_BACK_TIMEOUT + earned;
        Some((silent.min(unanswered), is_held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// When, in seconds, the relay counts as gone.
    fn gone(life: &Liveness, from: Instant) -> Option<u32> {
        (0..1000).find(|second| life.verdict(from + SECOND * *second).is_some())
    }

    #[test]
    fn a_ping_alone_is_answered_soon_or_never() {
        let start = Instant::now();
        let mut life = Liveness::new(start);
        assert_eq!(gone(&life, start), None, "nothing was asked");
        let number = life.ping(start + SECOND);
        assert_eq!(gone(&life, start), Some(11));
        assert!(matches!(life.verdict(start + SECOND * 11), Some(LinkError::Dead)));
        // Whatever is heard counts: the pong may be behind much else.
        life.received(1, start + SECOND * 9);
        assert_eq!(gone(&life, start), Some(19));
        life.pong(number, start + SECOND * 18);
        assert_eq!(gone(&life, start), None);
    }

    #[test]
    fn a_pong_with_a_number_that_no_ping_had_answers_nothing() {
        let start = Instant::now();
        let mut life = Liveness::new(start);
        assert!(!life.pong(1, start), "nothing was asked");
        life.ping(start);
        let number = life.ping(start);
        for above in [number + 1, u64::MAX] {
            assert!(!life.pong(above, start));
            assert_eq!(gone(&life, start), Some(10), "{above}");
        }
        assert!(life.pong(number - 1, start));
        assert_eq!(gone(&life, start), Some(10), "one more is to come");
        assert!(life.pong(number, start));
        assert_eq!(gone(&life, start), None);
        assert!(!life.pong(number, start), "it was known");
        life.ping(start + SECOND * 20);
        assert_eq!(gone(&life, start), Some(30), "later pings are asked all the same");
    }

    #[test]
    fn a_relay_that_talks_and_never_answers_has_to_say_a_lot() {
        let start = Instant::now();
        let say = |bytes: usize| {
            let mut life = Liveness::new(start);
            life.sent_message();
            life.ping(start);
            (0..1000).for_each(|second| life.received(bytes, start + SECOND * second));
            gone(&life, start)
        };
        assert_eq!(say(1), Some(120));
        assert_eq!(say(512), Some(120 + 500));
        assert_eq!(say(2048), None, "the pong may be behind all that");
        let mut life = Liveness::new(start);
        life.sent_message();
        life.ping(start);
        (0..100).for_each(|second| life.received(1, start + SECOND * second));
        life.taken(start + SECOND * 100);
        assert_eq!(gone(&life, start), Some(220), "what is taken is an answer, too");
    }

    #[test]
    fn while_messages_are_on_their_way_the_relay_may_be_silent_for_long() {
        let start = Instant::now();
        let mut life = Liveness::new(start);
        let before = life.ping(start);
        life.sent_message();
        assert_eq!(gone(&life, start), Some(120));
        assert!(matches!(life.verdict(start + SECOND * 120), Some(LinkError::HeldBack)));
        let behind = life.ping(start);
        life.received(1, start + SECOND * 30);
        life.pong(before, start + SECOND * 30);
        assert_eq!(gone(&life, start), Some(150), "the first pong says nothing of the message");
        life.pong(behind, start + SECOND * 30);
        assert_eq!(gone(&life, start), None);
        life.ping(start + SECOND * 40);
        assert_eq!(gone(&life, start), Some(50), "nothing is on its way any more");
    }

    #[test]
    fn who_does_not_read_cannot_call_the_relay_silent() {
        let start = Instant::now();
        let mut life = Liveness::new(start);
        life.ping(start);
        life.set_reading(false, start + SECOND);
        assert_eq!(gone(&life, start), None);
        assert!(life.wake() < start + SECOND * 11, "signs of life go on");
        life.set_reading(true, start + SECOND * 500);
        assert_eq!(gone(&life, start), Some(510));
    }

    #[test]
    fn signs_of_life_come_three_times_in_what_the_relay_allows() {
        let start = Instant::now();
        let mut life = Liveness::new(start);
        assert_eq!(life.wake(), start + KEEPALIVE);
        life.set_idle(SECOND * 3, start);
        assert_eq!(life.wake(), start + SECOND);
        life.sent(start + SECOND);
        assert_eq!(life.wake(), start + SECOND * 2);
    }
}
