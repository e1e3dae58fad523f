//! Who wants to reach a service: a connection that opened a stream, or one to a public port.

use std::{
    mem::discriminant,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until},
};
use tracing::{debug, warn};

use super::{
    Service,
    descriptors::Held,
    service::{Admitted, Offered},
};
use crate::{
    net::left,
    relay::{
        Action, Identity, Live, Shared,
        refusal::{Refusal, answer_and_close, tell},
    },
    wire::{Openable, Opened, PROTOCOL_VERSION, StreamNotice, TextName, encode_control},
};

/// A connection that is to be joined with one of the service's.
#[derive(Debug)]
pub(in crate::relay) struct Visitor {
    pub(in crate::relay) stream: TcpStream,
    pub(in crate::relay) address: SocketAddr,
    /// What was received from it already; belongs to the stream.
    pub(in crate::relay) received: Vec<u8>,
    /// It said hello and is to be answered; otherwise it came to a public port and knows nothing of the protocol.
    pub(in crate::relay) said_hello: bool,
    /// Counts the connection.
    pub(in crate::relay) live: Live,
}

impl Visitor {
    /// What the service is told about it.
    pub(super) fn notice(&self) -> StreamNotice {
        let to = self.stream.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
        StreamNotice { from: self.address, to }
    }

    /// Tells it that the stream begins. A few bytes into an empty socket buffer: they always fit.
    ///
    /// # Errors
    /// The visitor is gone.
    pub(super) fn welcome(&self, service: &TextName) -> std::io::Result<()> {
        if !self.said_hello {
            return Ok(());
        }
        let mut answer = Vec::new();
        encode_control(&mut answer, &Opened { hello: PROTOCOL_VERSION, opened: service.clone() });
        write_now(&self.stream, &answer)
    }

    /// Tells it, and the log now and then, why there is no stream. To be boxed or spawned: it waits for the visitor to read.
    pub(super) async fn refuse(self, shared: &Shared, refusal: Refusal) {
        shared.counters.refused.fetch_add(1, Relaxed);
        let (address, reason) = (self.address, refusal.to_string());
        let others = {
            let reason = reason.clone();
            move |others| warn!(others, reason, "refused")
        };
        if shared.services.refusals.is_first(discriminant(&refusal), others) {
            warn!(%address, reason, "refused");
        }
        if self.said_hello {
            tell(&refusal, self.stream, true).await;
        }
    }
}

/// Writes bytes that always fit, since nothing was written to the connection before but a few like them.
///
/// # Errors
/// The connection is gone.
pub(super) fn write_now(stream: &TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    match stream.try_write(bytes) {
        Ok(n) if n == bytes.len() => Ok(()),
        Ok(_) => Err(std::io::ErrorKind::WriteZero.into()),
        Err(error) => Err(error),
    }
}

/// Serves a connection that asked for a stream to a service.
pub(in crate::relay) async fn open(
    shared: &Arc<Shared>,
    visitor: Visitor,
    identity: &Identity,
    name: TextName,
) {
    match find(shared, identity, &name) {
        Ok(service) => {
            if let Some(rest) = enter(shared, &service, visitor) {
                rest.await;
            }
        }
        Err(refusal) => visitor.refuse(shared, refusal).await,
    }
}

/// Tells a connection whether it could have a stream to a service, without making one: the service does not notice.
pub(in crate::relay) async fn check(
    shared: &Arc<Shared>,
    visitor: Visitor,
    identity: &Identity,
    name: &TextName,
) {
    match find(shared, identity, name) {
        Ok(_) => {
            let mut answer = Vec::new();
            encode_control(&mut answer, &Openable { hello: PROTOCOL_VERSION, openable: name.clone() });
            answer_and_close(&answer, visitor.stream).await;
        }
        Err(refusal) => visitor.refuse(shared, refusal).await,
    }
}

/// The service, if there is one and whoever asks may use it.
fn find(shared: &Shared, identity: &Identity, name: &TextName) -> Result<Arc<Service>, Refusal> {
    if !shared.policy().may(identity, Action::Open, name.as_bytes()) {
        return Err(Refusal::NotAllowed(name.clone().into()));
    }
    shared.services.get(name).ok_or_else(|| Refusal::NoSuchService(name.clone()))
}

/// Leads a visitor to the service. If that is not done at once, what it gives does the rest.
pub(super) fn enter(
    shared: &Arc<Shared>,
    service: &Arc<Service>,
    visitor: Visitor,
) -> Option<impl Future<Output = ()> + Send + 'static + use<>> {
    debug!(service = %service.name(), address = %visitor.address, "visitor");
    shared.counters.visitors.fetch_add(1, Relaxed);
    let until = Instant::now() + shared.config.open_timeout;
    let may_wait = shared.services.descriptors.allow(shared.live.load(Relaxed));
    match service.offer(visitor, until, may_wait) {
        Offered::Taken => None,
        offered => Some(attend(Arc::clone(shared), Arc::clone(service), offered)),
    }
}

/// Leads a visitor to the service once more, since the parked connection that had taken it is gone.
pub(super) async fn enter_again(shared: &Arc<Shared>, service: &Arc<Service>, admitted: Admitted) {
    let offered = service.offer_again(admitted);
    attend(Arc::clone(shared), Arc::clone(service), offered).await;
}

/// Waits until the visitor has a connection, leaves, or is told why it does not get one.
fn attend(
    shared: Arc<Shared>,
    service: Arc<Service>,
    mut offered: Offered,
) -> impl Future<Output = ()> + Send + 'static {
    let since = Instant::now();
    // At once: the next visitor may be asked about before this one is attended to.
    let for_what_serves_it = matches!(offered, Offered::Waits(..)).then(|| Held::new(&shared));
    async move {
        let _held = for_what_serves_it;
        loop {
            let (admitted, mut place) = match offered {
                Offered::Taken => return,
                // Boxed: thousands may wait, and they should not carry the memory of it.
                Offered::Refused(visitor, refusal) => {
                    return Box::pin(visitor.refuse(&shared, refusal)).await;
                }
                Offered::Waits(admitted, place) => (admitted, place),
            };
            let Visitor { stream, received, address, .. } = &admitted.visitor;
            let parked = tokio::select! {
                biased;
                () = left(stream, !received.is_empty()) => {
                    debug!(service = %service.name(), %address, "the visitor left while it waited");
                    return;
                }
                parked = &mut place.take => {
                    parked.map_err(|_| Refusal::NoSuchService(service.name().clone()))
                }
                () = sleep_until(admitted.until) => Err(match shared.services.were_scarce_since(since) {
                    true => Refusal::NoDescriptors,
                    false => Refusal::NotAnswered(service.name().clone()),
                }),
            };
            offered = match parked {
                Ok(parked) => match parked.send(*admitted) {
                    Ok(()) => return,
                    // That connection has ended in the same moment.
                    Err(admitted) => {
                        drop(place);
                        service.offer_again(admitted)
                    }
                },
                Err(refusal) => {
                    // From here on it does not wait.
                    drop(place);
                    Offered::Refused(Box::new(admitted.visitor), refusal)
                }
            };
        }
    }
}
