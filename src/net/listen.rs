//! Listening.

use std::{io, net::SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Why a port could not be listened on; the sentence says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program has the port.
    #[error("{0} is in use by another program; stop that one or choose another port.")]
    InUse(SocketAddr),
    /// Low ports need a privilege.
    #[error(
        "no permission to listen on {0}; choose a port of 1024 or above, or give the program the right to bind low ports."
    )]
    NoPermission(SocketAddr),
    /// The address is not one of this machine's.
    #[error("{0} is not an address of this machine; listen on 0.0.0.0 for all of them.")]
    NotLocal(SocketAddr),
    /// A link-local address alone, which is the same on every network.
    #[error("{0} does not say on which interface; add it, such as fe80::1%eth0.")]
    NoInterface(SocketAddr),
    /// Anything else the system reported.
    #[error("cannot listen on {0}: {1}.")]
    Other(SocketAddr, #[source] io::Error),
}

/// Listens on `address`, with room for `backlog` connections that are not yet accepted (the system may cap it).
///
/// # Errors
/// A [`ListenError`] whose text is a sentence for a person.
pub fn bind(address: SocketAddr, backlog: u32) -> Result<TcpListener, ListenError> {
    listen(address, backlog).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse(address),
        io::ErrorKind::PermissionDenied => ListenError::NoPermission(address),
        io::ErrorKind::AddrNotAvailable => ListenError::NotLocal(address),
        io::ErrorKind::InvalidInput if lacks_interface(&address) => ListenError::NoInterface(address),
        _ => ListenError::Other(address, error),
    })
}

fn lacks_interface(address: &SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0)
}

fn listen(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Lets a restarted server take its port back at once. On Windows the option means something else: it would let two
    // programs share a port.
    if cfg!(unix) {
        socket.set_reuse_address(true)?;
    }
    if address.is_ipv6() {
        // `[::]` is for IPv4 as well, which systems do not agree on.
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}
