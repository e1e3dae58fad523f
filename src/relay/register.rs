//! From a connection that asked for a name to a client that others can reach.

use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
};

use name_relay_core::{close::CloseReason, registry::Claim};
use tokio::net::TcpStream;

use super::{
    Shared,
    peer::{Holder, PeerRef},
    policy::Action,
    refusal::{Refusal, refuse},
    session::Session,
};
use crate::net::has_ended;
use crate::wire::{PROTOCOL_VERSION, Registered, TextName, encode_control};

/// What a client of version 2 is answered, and what it does not want.
pub(super) struct Asked {
    /// As the holder has it.
    pub(super) name: TextName,
    /// The name is to stay with a holder of the same owner.
    pub(super) if_free: bool,
}

/// Takes the name for the client, and answers it if it speaks version 2. A name that is taken, or not for this client, is told to the
/// client and the log.
pub(super) async fn register(
    shared: &Arc<Shared>,
    stream: TcpStream,
    holder: Holder,
    asked: Option<Asked>,
    rest: Vec<u8>,
) -> Option<Session> {
    let (address, speaks_version_2) = (holder.address, asked.is_some());
    let claim = Claim::new(asked.as_ref().is_some_and(|asked| asked.if_free));
    if !shared.policy().may(&holder.identity, Action::Register, holder.name.as_bytes()) {
        let refusal = Refusal::NotAllowed(holder.name);
        refuse(shared, refusal, Some(stream), address, speaks_version_2).await;
        return None;
    }
    // The waker of this very task: the session will be polled by it, and by nothing in between.
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let (reader, writer) = stream.into_split();
    let config = &shared.config;
    let peer = PeerRef::new(holder, writer, waker, Arc::clone(&shared.budget), shared.clock.now());
    if let Some(Asked { name, .. }) = asked {
        let mut answer = Vec::new();
        encode_control(
            &mut answer,
            &Registered {
                hello: PROTOCOL_VERSION,
                registered: name,
                max_message: config.message_bytes_max,
                idle_ms: config.idle_ms(),
            },
        );
        // Queued before anyone can find the name, so that no message comes before it.
        peer.visit(|outbox| outbox.append(&answer));
    }
    let denied = match shared.registry.insert(&peer, claim, || has_ended(peer.stream())) {
        Ok(earlier) => {
            if let Some(earlier) = earlier {
                earlier.end(CloseReason::Replaced);
            }
            shared.timers.soon(&peer, shared.clock.now());
            // A policy that came since it was asked has already looked at everybody it found.
            shared.check(&peer, &shared.policy());
            shared.counters.joined.fetch_add(1, Relaxed);
            return Some(Session::new(Arc::clone(shared), peer, reader, rest));
        }
        Err(denied) => Refusal::denied(denied, peer.name().clone()),
    };
    // Nobody else ever had the peer, so there is always a stream to refuse on.
    let stream = peer.into_stream().and_then(|writer| writer.reunite(reader).ok());
    refuse(shared, denied, stream, address, speaks_version_2).await;
    None
}
