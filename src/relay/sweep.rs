//! All deadlines of registered clients, looked at in one coarse sweep: no connection has a timer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use name_relay_core::{clock::Tick, close::CloseReason};
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::{Shared, peer::PeerRef};

/// How often addresses without connections are forgotten.
const TIDY_INTERVAL: Duration = Duration::from_secs(1);

/// The deadlines in ticks.
struct Limits {
    idle: u32,
    write: u32,
    /// None: for ever.
    unanswered: Option<u32>,
    grace: u32,
    grace_bytes_min: u64,
    /// Bytes that a client which is to leave takes at least in a tick, on average.
    bytes_per_tick: u64,
}

impl Limits {
    /// How long so many bytes take at the minimum rate.
    fn ticks_at_rate(&self, bytes: usize) -> u32 {
        u32::try_from(bytes as u64 / self.bytes_per_tick.max(1)).unwrap_or(u32::MAX)
    }
}

/// Advances the clock and ends whoever has missed a deadline, for as long as it is polled.
pub(super) async fn run(shared: Arc<Shared>) {
    let config = &shared.config;
    let clock = &shared.clock;
    let limits = Limits {
        idle: clock.ticks(config.idle_timeout),
        write: clock.ticks(config.write_timeout),
        unanswered: config.user_timeout.map(|limit| clock.ticks(limit)),
        grace: clock.ticks(config.rate_grace),
        grace_bytes_min: config.grace_bytes_min(),
        bytes_per_tick: (config.rate_bytes_min as f64 * clock.tick().as_secs_f64()) as u64,
    };
    let mut ticks = interval(clock.tick());
    let mut tidied = Instant::now();
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        clock.advance();
        let now = clock.now();
        // The clock may tick faster than there is anything to tidy.
        if tidied.elapsed() >= TIDY_INTERVAL {
            tidied = Instant::now();
            for (reason, others) in shared.admissions.tidy(tidied) {
                warn!(others, %reason, "turned away");
            }
            let others = shared.refusal_log.take_left_out();
            if others > 0 {
                warn!(others, "refused; there were too many to name each");
            }
        }
        shared.registry.for_each(|peer| check(peer, now, &limits));
    }
}

fn check(peer: &PeerRef, now: Tick, limits: &Limits) {
    if peer.silence(now) >= limits.idle {
        peer.end(CloseReason::Idle);
    }
    if peer.is_watched() {
        let drain_limit = |pending: usize| limits.ticks_at_rate(pending);
        let (is_stalled, holder) = peer.visit(|outbox| {
            let holder = outbox.holder_too_slow(now, limits.grace, limits.grace_bytes_min);
            (outbox.is_stalled(now, limits.write, drain_limit), holder)
        });
        if is_stalled {
            peer.end(CloseReason::SlowConsumer);
        }
        if let Some(holder) = holder {
            holder.end(CloseReason::TooSlow);
        }
    }
    if limits.unanswered.is_some_and(|limit| peer.unanswered(now) >= limit) {
        peer.end(CloseReason::Disconnected);
    }
    if peer.is_timed() {
        peer.wake();
    }
    // A paused client is not read from, so nothing else would notice that its connection was reset.
    if peer.is_paused() && !matches!(peer.stream().take_error(), Ok(None)) {
        peer.end(CloseReason::Disconnected);
    }
}
