//! All deadlines of registered clients, looked at in one coarse sweep: no connection has a timer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use name_relay_core::{clock::Tick, close::CloseReason, deadlines::Deadlines};
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::{Shared, peer::PeerRef};

/// How often addresses without connections are forgotten.
const TIDY_INTERVAL: Duration = Duration::from_secs(1);

/// Advances the clock and ends whoever has missed a deadline, for as long as it is polled.
pub(super) async fn run(shared: Arc<Shared>) {
    let config = &shared.config;
    let clock = &shared.clock;
    let deadlines = Deadlines {
        idle: clock.ticks(config.idle_timeout),
        write: clock.ticks(config.write_timeout),
        grace: clock.ticks(config.rate_grace),
        grace_bytes_min: config.grace_bytes_min(),
        drain_bytes_per_tick: (config.rate_bytes_min as f64 * clock.tick().as_secs_f64()) as u64,
    };
    // None: for ever.
    let unanswered_max = config.user_timeout.map(|limit| clock.ticks(limit));
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
            shared.admissions.tidy(tidied);
            let others = shared.refusal_log.take_left_out();
            if others > 0 {
                warn!(others, "refused; there were too many to name each");
            }
        }
        shared.registry.for_each(|peer| check(peer, now, &deadlines, unanswered_max));
    }
}

fn check(peer: &PeerRef, now: Tick, deadlines: &Deadlines, unanswered_max: Option<u32>) {
    if let Some(reason) = deadlines.of_silence(peer.silence(now)) {
        peer.end(reason);
    }
    if peer.is_watched() {
        let missed = peer.visit(|outbox| deadlines.of_outbox(outbox, now));
        if let Some(reason) = missed.client {
            peer.end(reason);
        }
        if let Some((holder, reason)) = missed.holder {
            holder.end(reason);
        }
    }
    if unanswered_max.is_some_and(|limit| peer.unanswered(now) >= limit) {
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
