//! Ports of the relay's own machine that lead to a service.

use std::{
    hash::{BuildHasher, RandomState},
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::Arc,
};

use tokio::net::TcpListener;

use super::{
    Service,
    descriptors::Held,
    visitor::{self, Visitor},
};
use crate::{
    net::{Acceptor, ListenError, bind, reset},
    relay::{Shared, refusal::Refusal},
    task::task,
};

/// Ports that are tried before an exposer that wants any is told that none is free. With nine of ten ports taken, 64 tries all fail
/// once in 800 times.
const TRIES: usize = 64;

/// The ports that the operator gives away, and the address they are on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicPorts {
    /// The address of this machine that visitors connect to.
    pub address: IpAddr,
    /// The ports.
    pub range: RangeInclusive<u16>,
}

/// Listens on the port an exposer asked for; 0 takes any free one of the range.
///
/// # Errors
/// The port is not given away, or taken.
pub(super) fn listen(shared: &Shared, port: u16) -> Result<TcpListener, Refusal> {
    let Some(ports) = &shared.config.public_ports else { return Err(Refusal::NoPublicPorts) };
    let (first, last) = (*ports.range.start(), *ports.range.end());
    if port != 0 {
        if !ports.range.contains(&port) {
            return Err(Refusal::PortNotAllowed(port, first, last));
        }
        return bind(SocketAddr::new(ports.address, port), shared.config.backlog).map_err(Refusal::Port);
    }
    let count = usize::from(last - first) + 1;
    // Not to be guessed, and not always the first: a port that was just given back may still get its old visitors.
    let start = RandomState::new().hash_one(first) as usize % count;
    let mut failure = Refusal::PortNotAllowed(port, first, last);
    for n in 0..count.min(TRIES) {
        let port = first + ((start + n) % count) as u16;
        match bind(SocketAddr::new(ports.address, port), shared.config.backlog) {
            Ok(listener) => return Ok(listener),
            Err(ListenError::InUse(_)) => failure = Refusal::NoPortFree(first, last),
            Err(error) => return Err(Refusal::Port(error)),
        }
    }
    Err(failure)
}

/// Accepts visitors for as long as it is polled.
pub(super) async fn accept(shared: Arc<Shared>, service: Arc<Service>, listener: TcpListener) {
    let mut acceptor = Acceptor::new(listener);
    let _listener = Held::new(&shared);
    loop {
        let (stream, address) = acceptor.next_or(|| shared.services.relieve()).await;
        // Fails only for a connection that is already gone, which its first read will find out.
        let _ = shared.config.socket().apply(&stream);
        // Whatever happens before it is served, it is not to take nothing for the whole.
        reset(&stream);
        let Some(live) = shared.admit(address) else { continue };
        let visitor = Visitor { stream, address, received: Vec::new(), said_hello: false, live };
        if let Some(rest) = visitor::enter(&shared, &service, visitor) {
            tokio::spawn(task(rest));
        }
    }
}
