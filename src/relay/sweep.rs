//! All deadlines of registered clients, looked at in one coarse sweep: no connection has a timer.

use std::sync::Arc;

use tokio::time::{MissedTickBehavior, interval};

use super::{Shared, clock::Tick, ending::Ending, peer::Peer};

/// The deadlines in ticks.
struct Limits {
    idle: u32,
    write: u32,
    grace: u32,
    grace_bytes_min: u64,
}

/// Advances the clock and ends whoever has missed a deadline, for as long as it is polled.
pub(super) async fn run(shared: Arc<Shared>) {
    let config = &shared.config;
    let clock = &shared.clock;
    let limits = Limits {
        idle: clock.ticks(config.idle_timeout),
        write: clock.ticks(config.write_timeout),
        grace: clock.ticks(config.rate_grace),
        grace_bytes_min: (config.rate_bytes_min as f64 * config.rate_grace.as_secs_f64()) as u64,
    };
    let mut ticks = interval(clock.tick());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        clock.advance();
        let now = clock.now();
        shared.registry.for_each(|peer| check(peer, now, &limits));
    }
}

fn check(peer: &Arc<Peer>, now: Tick, limits: &Limits) {
    if peer.silence(now) >= limits.idle {
        peer.end(Ending::Idle);
    }
    if peer.is_stalled(now, limits.write) {
        peer.end(Ending::SlowConsumer);
    }
    if let Some(holder) = peer.holder_too_slow(now, limits.grace, limits.grace_bytes_min) {
        holder.end(Ending::TooSlow);
    }
    // A paused client is not read from, so nothing else would notice that its connection was reset.
    if peer.is_paused() && !matches!(peer.stream().take_error(), Ok(None)) {
        peer.end(Ending::Disconnected);
    }
}
