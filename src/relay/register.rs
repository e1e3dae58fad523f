//! From a connection that asked for a name to a client that others can reach.

use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
};

use name_relay_core::{close::CloseReason, driver::Framing, registry::Claim};
use tokio::net::TcpStream;

use super::{
    Shared,
    peer::{Holder, PeerRef},
    policy::Action,
    refusal::{Refusal, refuse},
    session::Session,
};
use crate::wire::{PROTOCOL_VERSION, Registered, encode_control};

/// Takes the name for the client, and answers it if it speaks version 2. A name that is taken, or not for this client, is told to the
/// client and the log.
pub(super) async fn register(
    shared: &Arc<Shared>,
    stream: TcpStream,
    holder: Holder,
    rest: Vec<u8>,
) -> Option<Session> {
    let (address, framing) = (holder.address, holder.framing);
    if !shared.policy().may(&holder.identity, Action::Register, holder.name.as_bytes()) {
        let refusal = Refusal::NotAllowed(holder.name);
        refuse(shared, refusal, Some(stream), address, framing == Framing::Session).await;
        return None;
    }
    // The waker of this very task: the session will be polled by it, and by nothing in between.
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let (reader, writer) = stream.into_split();
    let config = &shared.config;
    let peer = PeerRef::new(holder, writer, waker, Arc::clone(&shared.budget), shared.clock.now());
    if framing == Framing::Session {
        let mut answer = Vec::new();
        encode_control(
            &mut answer,
            &Registered {
                hello: PROTOCOL_VERSION,
                registered: String::from_utf8_lossy(peer.name().as_bytes()).into_owned(),
                max_message: config.message_bytes_max,
                idle_ms: config.idle_ms(),
            },
        );
        // Queued before anyone can find the name, so that no message comes before it.
        peer.visit(|outbox| outbox.append(&answer));
    }
    if let Ok(earlier) = shared.registry.insert(&peer, Claim::TakeOver, || false) {
        if let Some(earlier) = earlier {
            earlier.end(CloseReason::Replaced);
        }
        // A policy that came since it was asked has already looked at everybody it found.
        shared.check(&peer, &shared.policy());
        shared.counters.joined.fetch_add(1, Relaxed);
        return Some(Session::new(Arc::clone(shared), peer, reader, rest));
    }
    let taken = Refusal::Taken(peer.name().clone());
    // Nobody else ever had the peer, so there is always a stream to refuse on.
    let stream = peer.into_stream().and_then(|writer| writer.reunite(reader).ok());
    refuse(shared, taken, stream, address, framing == Framing::Session).await;
    None
}
