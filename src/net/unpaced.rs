//! Connections that never leave this machine are not paced.
//!
//! BBR, which many servers have for a default, sends at the rate that it takes a path to have: by timers, and in pieces that fit the
//! rate. Where the path is this machine's memory, nothing is lost and nobody else queues, so that only the cost is left: about half of
//! what two programs could tell each other. Reno, which every Linux has and every user may choose, just sends.

#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::net::TcpStream;

/// Takes the pacing from a connection that stays on this machine. Only Linux has a choice.
pub(super) fn unpace(stream: &TcpStream) {
    #[cfg(target_os = "linux")]
    if stays_here(stream) {
        let socket = SockRef::from(stream);
        if socket.tcp_congestion().is_ok_and(|algorithm| algorithm.starts_with(b"bbr")) {
            // If this fails the connection is slower, and that is all.
            let _ = socket.set_tcp_congestion(b"reno");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = stream;
}

#[cfg(target_os = "linux")]
fn stays_here(stream: &TcpStream) -> bool {
    let Ok(peer) = stream.peer_addr() else { return false };
    let peer = peer.ip().to_canonical();
    // What a machine sends to an address of its own goes over loopback too.
    peer.is_loopback() || stream.local_addr().is_ok_and(|local| local.ip().to_canonical() == peer)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

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
        unpace(&stream);
        assert!(algorithm().starts_with(b"reno"));
    }
}
