//! Leads connections to a named service: each becomes a stream of its own.

use std::{
    mem::{Discriminant, discriminant},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};
use tracing::{debug, info, warn};

use super::{
    access::{Access, Answered, may_pass},
    stream::{join, threads},
};
use crate::{
    client::LinkError,
    net::{Acceptor, Backoff, SocketOptions, Streams, descriptors_for_connections, left, pipes, reset},
    sparing::Sparing,
    task::task,
    wire::{ErrorCode, Hello, Opened, TextName},
};

/// The first and the longest wait before another try to reach the relay: somebody is waiting for the stream.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(2);

/// How long a stream is tried for unless the caller says otherwise: about what a relay takes to restart.
const RETRY_FOR: Duration = Duration::from_secs(5);

/// What is said of a stream that was opened and broke without a byte.
const UNANSWERED: &str =
    "the other end broke the stream before it sent anything; the log of `relay expose` has the reason";

/// What is said of a visitor that there is no room for.
const NO_DESCRIPTORS: &str =
    "no descriptors are left for another stream; raise this program's limit on open files";

/// Why visitors are turned away, as far as the log tells one from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Reason {
    Failed(Discriminant<LinkError>),
    Refused(Discriminant<ErrorCode>),
    Unanswered,
    NoDescriptors,
}

impl Reason {
    fn of(error: &LinkError) -> Self {
        match error {
            LinkError::Refused { code, .. } => Self::Refused(discriminant(code)),
            error => Self::Failed(discriminant(error)),
        }
    }
}

impl Sparing<Reason> {
    /// Tells the log now and then that a visitor was turned away.
    fn tell(self: &Arc<Self>, service: &TextName, visitor: SocketAddr, reason: Reason, error: &str) {
        let others = {
            let (service, error) = (service.clone(), error.to_owned());
            move |others| warn!(%service, others, "visitors were turned away: {error}")
        };
        if self.is_first(reason, others) {
            warn!(%service, %visitor, "a visitor was turned away: {error}");
        }
    }
}

/// Opens streams to one service.
#[derive(Debug)]
pub struct Forwarder {
    access: Access,
    name: TextName,
    retry_for: Option<Duration>,
    /// The last try to reach the relay failed; said once.
    is_cut_off: AtomicBool,
}

impl Forwarder {
    /// Streams to the service `name` through the relay of `access`. With `retry_for`, whatever may pass is tried again for so long, an
    /// unknown service too; without, only an unreachable relay is, for a few seconds.
    pub fn new(access: Access, name: TextName, retry_for: Option<Duration>) -> Self {
        Self { access, name, retry_for, is_cut_off: AtomicBool::new(false) }
    }

    /// Asks the relay whether visitors will be let in, and tells the log what may still change: that the relay cannot be reached, or that nobody
    /// exposes the service.
    ///
    /// # Errors
    /// A refusal that stays one: every visitor would be turned away.
    pub async fn check(&self) -> Result<(), LinkError> {
        let Err(error) = self.access.check(&self.name).await else { return Ok(()) };
        let is_unknown = matches!(error, LinkError::Refused { code: ErrorCode::NoSuchService, .. });
        if !is_unknown && !may_pass(&error) {
            return Err(error);
        }
        warn!(service = %self.name, relay = %self.access.relay, "no visitor can be served yet: {error}");
        Ok(())
    }

    /// Leads everyone who connects to `listener` to the service, for as long as it is polled; `streams` looks after the streams.
    pub async fn serve(self, listener: TcpListener, streams: Arc<Streams>) {
        let forwarder = Arc::new(self);
        let turned_away = Sparing::new();
        let most = descriptors_for_connections(1, threads());
        // Each visitor holds it until its stream has ended.
        let held = Arc::new(());
        let mut acceptor = Acceptor::new(listener);
        loop {
            let (visitor, address) = acceptor.next().await;
            // Fails only for a connection that is already gone, which its first read will find out.
            let _ = SocketOptions::default().apply(&visitor);
            // Whatever happens before it has its stream, it is not to take nothing for the whole.
            reset(&visitor);
            // Each has a connection to the relay, too, or it waits for one that there is no descriptor for.
            if 2 * (Arc::strong_count(&held) + pipes()) > most {
                turned_away.tell(&forwarder.name, address, Reason::NoDescriptors, NO_DESCRIPTORS);
                continue;
            }
            let (forwarder, streams) = (Arc::clone(&forwarder), Arc::clone(&streams));
            let (turned_away, held) = (Arc::clone(&turned_away), Arc::clone(&held));
            tokio::spawn(task(async move {
                let opened = tokio::select! {
                    opened = forwarder.open() => opened,
                    // One that ends its side before it has said anything may wait for what the service says first.
                    () = left(&visitor, true) => {
                        debug!(service = %forwarder.name, visitor = %address, "the visitor left while it waited");
                        return;
                    }
                };
                let name = forwarder.name.clone();
                match opened {
                    Ok(stream) => {
                        let ended = move |is_unanswered| {
                            if is_unanswered {
                                turned_away.tell(&name, address, Reason::Unanswered, UNANSWERED);
                            }
                            drop(held);
                        };
                        join(&streams, stream, (visitor, "the visitor"), ended);
                    }
                    Err(error) => {
                        turned_away.tell(&name, address, Reason::of(&error), &error.to_string());
                    }
                }
            }));
        }
    }

    /// Opens one stream, and gives it with what was received behind the answer. Dropped, it ends with a reset.
    ///
    /// # Errors
    /// The last failure, when the time for trying is over or trying is useless.
    pub async fn open(&self) -> Result<(TcpStream, Vec<u8>), LinkError> {
        let started = Instant::now();
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
        let hello = Hello::Open { name: self.name.clone() };
        loop {
            let error = match self.access.ask::<Opened>(&hello).await {
                Ok(Answered { stream, answer: _, decoder }) => {
                    if self.is_cut_off.swap(false, Relaxed) {
                        info!(relay = %self.access.relay, "the relay is reached again");
                    }
                    reset(&stream);
                    return Ok((stream, decoder.into_rest()));
                }
                Err(error) => error,
            };
            let left = self.retry_for.unwrap_or(RETRY_FOR).saturating_sub(started.elapsed());
            if !self.is_worth_another_try(&error) || left.is_zero() {
                return Err(error);
            }
            if !self.is_cut_off.swap(true, Relaxed) {
                warn!(relay = %self.access.relay, %error, "cannot open a stream; trying again");
            }
            // The last try is made when the time is over, not a whole pause later.
            sleep(backoff.wait().min(left)).await;
        }
    }

    fn is_worth_another_try(&self, error: &LinkError) -> bool {
        let is_unknown = matches!(error, LinkError::Refused { code: ErrorCode::NoSuchService, .. });
        may_pass(error) || (is_unknown && self.retry_for.is_some())
    }
}
