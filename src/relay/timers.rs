//! The deadlines of registered clients: one timer wheel that a task advances with every tick, and what follows from a missed deadline.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use name_relay_core::{
    clock::{Clock, Tick},
    close::CloseReason,
    deadlines::{Deadlines, Waiting},
    wheel::{Timed, Wheel},
};
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::{Config, Shared, peer::PeerRef};

/// How often addresses without connections are forgotten.
const TIDY_INTERVAL: Duration = Duration::from_secs(1);

/// When each client is looked at next, and what is looked for.
#[derive(Debug)]
pub(super) struct Timers {
    wheel: Mutex<Wheel<PeerRef>>,
    deadlines: Deadlines,
    /// How long a client's machine may leave bytes unanswered, in ticks; without a limit nobody asks.
    unanswered_max: Option<u32>,
}

impl Timers {
    pub(super) fn new(config: &Config, clock: &Clock) -> Self {
        let deadlines = Deadlines {
            idle: clock.ticks(config.idle_timeout),
            write: clock.ticks(config.write_timeout),
            grace: clock.ticks(config.rate_grace),
            grace_bytes_min: config.grace_bytes_min(),
            drain_bytes_per_tick: (config.rate_bytes_min as f64 * clock.tick().as_secs_f64()) as u64,
        };
        let unanswered_max = config.user_timeout.map(|limit| clock.ticks(limit));
        Self { wheel: Mutex::new(Wheel::new(clock.now())), deadlines, unanswered_max }
    }

    /// Has the client looked at with the next tick. Takes no lock where that is going to happen anyway.
    pub(super) fn soon(&self, peer: &PeerRef, now: Tick) {
        let at = now.after(1);
        if !peer.timer().is_set_by(at) {
            self.wheel().schedule(peer, at);
        }
    }

    /// Forgets the client for good.
    pub(super) fn retire(&self, peer: &PeerRef) {
        self.wheel().retire(peer);
    }

    /// Whether it matters that a client's machine answers.
    pub(super) fn watches_answers(&self) -> bool {
        self.unanswered_max.is_some()
    }

    /// Ends whoever has missed a deadline by `now`. `due` is empty, and lent for its space.
    fn advance(&self, now: Tick, due: &mut Vec<PeerRef>) {
        self.wheel().advance(now, due);
        for peer in due.drain(..) {
            let again = self.look(&peer, now);
            self.wheel().schedule(&peer, again);
        }
    }

    /// Looks at one client, and says when to look again.
    fn look(&self, peer: &PeerRef, now: Tick) -> Tick {
        let (heard, waiting) = (peer.heard(), peer.waiting());
        let look = peer.visit(|outbox| self.deadlines.look(heard, waiting, outbox, now));
        if let Some(reason) = look.close {
            peer.end(reason);
        }
        if let Some((holder, reason)) = look.holder {
            holder.end(reason);
        }
        if look.retry {
            peer.wake();
        }
        // A paused client is not read from, so nothing else would notice that its connection was reset.
        if waiting != Waiting::Client && !matches!(peer.stream().take_error(), Ok(None)) {
            peer.end(CloseReason::Disconnected);
        }
        if self.unanswered_max.is_some_and(|limit| peer.unanswered(now) >= limit) {
            peer.end(CloseReason::Disconnected);
        }
        if peer.awaits_answer() { now.after(1) } else { look.again }
    }

    fn wheel(&self) -> MutexGuard<'_, Wheel<PeerRef>> {
        self.wheel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Advances the clock and the wheel for as long as it is polled.
pub(super) async fn run(shared: Arc<Shared>) {
    let clock = &shared.clock;
    let mut ticks = interval(clock.tick());
    let mut tidied = Instant::now();
    let mut due = Vec::new();
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        clock.advance();
        // The clock may tick faster than there is anything to tidy.
        if tidied.elapsed() >= TIDY_INTERVAL {
            tidied = Instant::now();
            shared.tidy(tidied);
        }
        shared.timers.advance(clock.now(), &mut due);
        // A crowd that was due at once does not keep the space.
        due.shrink_to(64);
    }
}

impl Shared {
    /// Forgets addresses without connections, and logs what was left out of the log.
    fn tidy(&self, now: Instant) {
        self.admissions.tidy(now);
        let others = self.refusal_log.take_left_out();
        if others > 0 {
            warn!(others, "refused; there were too many to name each");
        }
    }
}
