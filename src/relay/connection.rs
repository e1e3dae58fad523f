//! One accepted connection from its first byte to its last: handshake, session, farewell.

use std::{net::SocketAddr, sync::Arc};

use tokio::{net::TcpStream, time::timeout};
use tracing::{info, warn};

use super::{
    Shared,
    ending::Ending,
    handshake::{self, discard_until_end},
    peer::{Framing, Peer},
    session::Session,
};
use crate::wire::{Closing, ErrorNotice, FromRelay, encode_control};

/// When a client of a stopped relay is told to come back, in milliseconds: about what a restart takes.
const RETRY_MS: u64 = 1000;

/// Serves an accepted connection. The handshake and the farewell are boxed: they are short, and an idle client should not carry the
/// memory of either.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream, address: SocketAddr) {
    let _live = shared.count_live();
    let Some(mut session) = Box::pin(handshake::register(&shared, stream, address)).await else { return };
    info!(name = %session.peer().name(), %address, "joined");
    if shared.is_stopping() {
        session.peer().end(Ending::Shutdown);
    }
    let ending = session.run().await;
    Box::pin(leave(&shared, session, ending)).await;
}

async fn leave(shared: &Shared, session: Session, ending: Ending) {
    let (peer, reader) = session.into_parts();
    shared.registry.remove(&peer);
    let (name, address) = (peer.name(), peer.address());
    if ending.is_fault() {
        warn!(%name, %address, reason = %ending, "disconnected");
    } else {
        info!(%name, %address, reason = %ending, "left");
    }
    // Closing while the client still sends would reset the connection, and take with it what the system has not yet delivered.
    let awaits_end = (ending == Ending::Shutdown && peer.pending() > 0) | tell(&peer, ending);
    if awaits_end || matches!(ending, Ending::Finished | Ending::Shutdown) {
        let farewell = async {
            write_all(shared, &peer).await?;
            if awaits_end {
                socket2::SockRef::from(peer.stream()).shutdown(std::net::Shutdown::Write)?;
                discard_until_end(reader.as_ref()).await?;
            }
            std::io::Result::Ok(())
        };
        // Whatever happens, the connection ends here.
        let _ = timeout(shared.config.drain_timeout, farewell).await;
    }
    peer.close();
    // Other sessions may still have the peer in their hands; the client is to see the end now.
    let _ = socket2::SockRef::from(peer.stream()).shutdown(std::net::Shutdown::Both);
}

/// Queues the last control frame for a version 2 client, if there is one.
fn tell(peer: &Peer, ending: Ending) -> bool {
    if peer.framing() != Framing::Session {
        return false;
    }
    let message = match (ending, ending.error_code()) {
        (Ending::Shutdown, _) => {
            FromRelay::Closing(Closing { reason: "shutdown".to_owned(), retry_ms: RETRY_MS })
        }
        (_, Some(code)) => FromRelay::Error(ErrorNotice { code, message: ending.to_string() }),
        (_, None) => return false,
    };
    let mut bytes = Vec::new();
    encode_control(&mut bytes, &message);
    peer.append(&bytes);
    true
}

async fn write_all(shared: &Shared, peer: &Peer) -> std::io::Result<()> {
    while peer.pending() > 0 {
        peer.stream().writable().await?;
        // Nobody adds to it any more, so nothing in it waits for company.
        peer.write_queue(shared.clock.now())?;
    }
    Ok(())
}
