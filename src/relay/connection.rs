//! One accepted connection from its first byte to its last: handshake, session, farewell.

use std::{net::SocketAddr, sync::Arc};

use name_relay_core::{
    close::CloseReason,
    driver::{Driver, Framing},
    outbox::Outbox,
};
use tokio::{net::TcpStream, time::timeout};
use tracing::{info, warn};

use super::{
    Live, Shared,
    config::Delivery,
    handshake::{Greeted, Request, greet},
    peer::{Holder, Peer, PeerRef},
    refusal::discard_until_end,
    register::{Asked, register},
    services::{self, Expose, Exposer, Visitor},
    session::Session,
};
use crate::wire::{Closing, ErrorNotice, FromRelay, Hello, Ownership, encode_control};

/// When a client of a stopped relay is told to come back, in milliseconds: about what a restart takes.
const RETRY_MS: u64 = 1000;

/// Serves an accepted connection. The handshake and the farewell are boxed: they are short, and an idle client should not carry the
/// memory of either.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream, address: SocketAddr, live: Live) {
    let Some((mut session, _live)) = Box::pin(enter(&shared, stream, address, live)).await else { return };
    let peer = session.peer();
    info!(name = %peer.name(), %address, token = peer.identity().token(), "joined");
    if shared.is_stopping() {
        session.peer().end(CloseReason::Shutdown);
    }
    let ending = session.run().await;
    Box::pin(leave(&shared, session, ending)).await;
}

/// Gives the session of a client that registered a name. Whatever else is asked for is served to its end here.
async fn enter(
    shared: &Arc<Shared>,
    stream: TcpStream,
    address: SocketAddr,
    live: Live,
) -> Option<(Session, Live)> {
    let Greeted { stream, address, request, identity, rest } = greet(shared, stream, address).await?;
    match request {
        Request::Name(name) => {
            let framing = match shared.config.delivery {
                Delivery::Raw => Framing::Raw,
                Delivery::Framed => Framing::Framed,
            };
            let holder = Holder { name, address, framing, identity, owner: None };
            let session = register(shared, stream, holder, None, rest).await?;
            return Some((session, live));
        }
        Request::Hello(Hello::Register { name, ownership: Ownership { owner, if_free } }) => {
            let (framing, owner) = (Framing::Session, owner.map(Box::new));
            let holder = Holder { name: name.clone().into(), address, framing, identity, owner };
            let session = register(shared, stream, holder, Some(Asked { name, if_free }), rest).await?;
            return Some((session, live));
        }
        Request::Hello(Hello::Expose { name, port, ownership: Ownership { owner, if_free } }) => {
            let exposer = Exposer { address, identity, owner: owner.map(Box::new) };
            services::expose(shared, stream, exposer, Expose { name, port, if_free }, &rest).await;
        }
        Request::Hello(Hello::Park { name, key }) => {
            services::park(shared, stream, address, live, (name, key), &rest).await;
        }
        Request::Hello(Hello::Open { name }) => {
            let visitor = Visitor { stream, address, received: rest, said_hello: true, live };
            services::open(shared, visitor, &identity, name).await;
        }
        Request::Hello(Hello::Check { name }) => {
            let visitor = Visitor { stream, address, received: rest, said_hello: true, live };
            services::check(shared, visitor, &identity, &name).await;
        }
    }
    None
}

async fn leave(shared: &Shared, session: Session, ending: CloseReason) {
    let (peer, reader) = session.into_parts();
    shared.registry.remove(&peer);
    shared.timers.retire(&peer);
    // Not only when the last words are written, which may take a while.
    let todo = peer.visit(Outbox::turn_away);
    shared.act(&peer, todo);
    let (name, address) = (peer.name(), peer.address());
    if ending.is_fault() {
        warn!(%name, %address, reason = %ending, "disconnected");
    } else {
        info!(%name, %address, reason = %ending, "left");
    }
    // Closing while the client still sends would reset the connection, and take with it what the system has not yet delivered.
    let awaits_end = (ending == CloseReason::Shutdown && peer.pending() > 0) | tell(&peer, ending);
    if awaits_end || matches!(ending, CloseReason::Finished | CloseReason::Shutdown) {
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
    let todo = peer.visit(Outbox::close);
    shared.act(&peer, todo);
    // Other sessions may still have the peer in their hands; the client is to see the end now.
    let _ = socket2::SockRef::from(peer.stream()).shutdown(std::net::Shutdown::Both);
}

/// Queues the last control frame for a version 2 client, if there is one.
fn tell(peer: &Peer, ending: CloseReason) -> bool {
    if peer.framing() != Framing::Session {
        return false;
    }
    let Some(message) = closing(ending) else { return false };
    let mut bytes = Vec::new();
    encode_control(&mut bytes, &message);
    peer.visit(|outbox| outbox.append(&bytes));
    true
}

/// The last control frame of a version 2 connection, if there is something to say.
pub(super) fn closing(ending: CloseReason) -> Option<FromRelay> {
    if ending == CloseReason::Shutdown {
        let reason = "shutdown".to_owned();
        return Some(FromRelay::Closing(Closing { reason, retry_ms: RETRY_MS }));
    }
    let code = ending.error_code()?;
    Some(FromRelay::Error(ErrorNotice { code, message: ending.to_string() }))
}

async fn write_all(shared: &Shared, peer: &PeerRef) -> std::io::Result<()> {
    while peer.pending() > 0 {
        peer.stream().writable().await?;
        // Nobody adds to it any more, so nothing in it waits for company. What is to be done is done here.
        let _to_be_written = peer.visit(Outbox::stop_batching);
        peer.write_queue(shared)?;
    }
    Ok(())
}
