//! Who wants to reach a service: a connection that opened a stream, or one to a public port.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use tokio::{net::TcpStream, time::Instant};
use tracing::debug;

use crate::{
    relay::{
        Action, Identity, Live, Shared,
        refusal::{Refusal, refuse},
    },
    wire::{Opened, PROTOCOL_VERSION, StreamNotice, TextName, encode_control},
};

use super::Service;

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

    /// Tells it and the log why there is no stream. To be boxed or spawned: it waits for the visitor to read.
    pub(super) async fn refuse(self, shared: &Shared, refusal: Refusal) {
        refuse(shared, refusal, Some(self.stream), self.address, self.said_hello).await;
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
    if !shared.policy().may(identity, Action::Open, name.as_bytes()) {
        return visitor.refuse(shared, Refusal::NotAllowed(name.into())).await;
    }
    let Some(service) = shared.services.get(&name) else {
        return visitor.refuse(shared, Refusal::NoSuchService(name)).await;
    };
    enter(shared, &service, visitor).await;
}

/// Leads a visitor to the service.
pub(super) async fn enter(shared: &Arc<Shared>, service: &Arc<Service>, visitor: Visitor) {
    debug!(service = %service.name(), address = %visitor.address, "visitor");
    shared.counters.visitors.fetch_add(1, Relaxed);
    let until = Instant::now() + shared.config.open_timeout;
    if let Err(refused) = service.offer(visitor, until) {
        let (visitor, refusal) = *refused;
        visitor.refuse(shared, refusal).await;
    }
}
