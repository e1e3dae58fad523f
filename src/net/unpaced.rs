//! Connections that never leave this machine are not held back for a network's sake.
//!
//! BBR, which many servers have for a default, sends at the rate that it takes a path to have: by timers, and in pieces that fit the
//! rate. Where the path is this machine's memory, nothing is lost and nobody else queues, so that only the cost is left: about half of
//! what two programs could tell each other. Reno, which every Linux has and every user may choose, sends what the other end has room for.

use std::net::IpAddr;

use socket2::SockRef;

/// Takes the pacing from a connection if it stays on this machine.
pub(super) fn unpace(connection: &SockRef<'_>) {
    if stays_here(connection)
        && connection.tcp_congestion().is_ok_and(|algorithm| algorithm.starts_with(b"bbr"))
    {
        // If this fails the connection is slower, and that is all.
        let _ = connection.set_tcp_congestion(b"reno");
    }
}

fn stays_here(connection: &SockRef<'_>) -> bool {
    let ip = |address: std::io::Result<socket2::SockAddr>| -> Option<IpAddr> {
        Some(address.ok()?.as_socket()?.ip().to_canonical())
    };
    let peer = ip(connection.peer_addr());
    // What a machine sends to an address of its own goes over loopback too.
    peer.is_some_and(|peer| peer.is_loopback() || ip(connection.local_addr()) == Some(peer))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn what_stays_on_this_machine_is_not_paced() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = SockRef::from(&stream);
        let algorithm = || socket.tcp_congestion().unwrap();
        if socket.set_tcp_congestion(b"bbr").is_err() {
            eprintln!("this system has no BBR");
            return;
        }
        assert!(algorithm().starts_with(b"bbr"));
        unpace(&socket);
        assert!(algorithm().starts_with(b"reno"));
    }
}
