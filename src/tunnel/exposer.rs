//! Keeps one service exposed: a control session, a pool of parked connections, and another try whenever the link is lost.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, interval, sleep};
use tracing::{info, warn};

use super::{
    Service,
    access::{Access, may_pass},
    control::{Control, Demand},
    pool::{Pool, SHRINK_EVERY},
};
use crate::{
    client::{Claim, LinkError},
    net::{Reconnect, Streams},
    wire::ErrorCode,
};

/// The first and the longest wait before another try. A relay that restarts is back within a second, one that lost its power may take
/// minutes.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MOST: Duration = Duration::from_secs(15);

/// Exposes a service for as long as it is wanted.
#[derive(Debug)]
pub struct Exposer {
    access: Access,
    service: Arc<Service>,
    streams: Arc<Streams>,
    /// How long to try without success before giving up; none: for ever.
    retry_for: Option<Duration>,
    /// The public port to ask for: after the first time, the one that was given.
    port: Option<u16>,
    /// The relay has accepted the service before.
    was_exposed: bool,
}

impl Exposer {
    /// Exposes `service` through the relay of `access`, with `streams` to look after its streams. `retry_for` bounds the time without a
    /// link, for scripts.
    pub fn new(access: Access, service: Service, streams: Arc<Streams>, retry_for: Option<Duration>) -> Self {
        let port = service.port;
        Self { access, service: Arc::new(service), streams, retry_for, port, was_exposed: false }
    }

    /// Exposes the service until that is impossible; `exposed` hears of each success, with the public port if there is one.
    ///
    /// # Errors
    /// What the relay refuses for good, or the last failure when the time for trying is over.
    pub async fn run(mut self, exposed: impl Fn(&Service, Option<u16>)) -> LinkError {
        let (name, relay) = (self.service.name.clone(), self.access.relay.clone());
        let mut reconnect = Reconnect::new(RETRY_FIRST, RETRY_MOST);
        let mut claim = Claim::default();
        let mut down_since = Instant::now();
        loop {
            let error = match Control::open(&self.access, &self.service, self.port, claim.if_free()).await {
                Ok(control) => {
                    info!(service = %name, %relay, port = control.exposed.port, "exposed");
                    self.was_exposed = true;
                    claim.won();
                    reconnect.connected();
                    self.port = control.exposed.port.or(self.port);
                    exposed(&self.service, control.exposed.port);
                    let error = self.session(control).await;
                    down_since = Instant::now();
                    error
                }
                // It spoke this version before.
                Err(LinkError::NoAnswer) if self.was_exposed => LinkError::Dead,
                Err(error) => error,
            };
            let error = match claim.ask_again(error) {
                Ok(pause) => {
                    warn!(service = %name, %relay, "another connection of the same owner has taken the name; asking for it again");
                    sleep(pause).await;
                    continue;
                }
                Err(error) => error,
            };
            let left = self.retry_for.map(|limit| limit.saturating_sub(down_since.elapsed()));
            if !self.is_worth_another_try(&error) || left.is_some_and(|left| left.is_zero()) {
                return error;
            }
            let asked = if let LinkError::Closing(asked) = error { asked } else { Duration::ZERO };
            let wait = reconnect.pause(asked);
            // The last try is made when the time is over, not a whole pause later.
            let wait = left.map_or(wait, |left| wait.min(left));
            // As precise as a person wants it.
            let retry_in = Duration::from_millis(wait.as_millis() as u64 / 10 * 10);
            warn!(service = %name, %relay, %error, ?retry_in, "not exposed for now");
            sleep(wait).await;
        }
    }

    async fn session(&self, mut control: Control) -> LinkError {
        let (service, streams) = (Arc::clone(&self.service), Arc::clone(&self.streams));
        let mut pool = Pool::new(self.access.clone(), service, control.exposed.key.clone(), streams);
        let mut shrink = interval(SHRINK_EVERY);
        // The first tick comes at once.
        shrink.tick().await;
        loop {
            tokio::select! {
                demand = control.next() => match demand {
                    Ok(Demand::Wanted(count)) => pool.grow(count),
                    Err(error) => return error,
                },
                () = pool.tend() => {}
                _ = shrink.tick() => {
                    let surplus = pool.shrink();
                    if surplus > 0 && let Err(error) = control.unpark(surplus).await {
                        return error;
                    }
                }
            }
        }
    }

    /// A name that is taken was our own if we had it: the relay may not know yet that we lost the link.
    fn is_worth_another_try(&mut self, error: &LinkError) -> bool {
        match error {
            LinkError::Refused { code: ErrorCode::NameTaken, .. } => {
                self.was_exposed || self.retry_for.is_some()
            }
            LinkError::Refused { code: ErrorCode::PortInUse, .. } if self.was_exposed => {
                // Somebody else's by now; if any would do, another does.
                self.port = self.service.port;
                true
            }
            error => may_pass(error),
        }
    }
}
