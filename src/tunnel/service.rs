//! What is exposed, and how a stream gets to it.

use std::{
    mem::{Discriminant, discriminant},
    sync::Arc,
    time::Duration,
};

use tokio::net::TcpStream;
use tracing::{debug, warn};

use super::{proxy_protocol, stream::join};
use crate::{
    net::{DialError, SocketOptions, Streams, Target, dial, reset},
    sparing::Sparing,
    wire::{StreamNotice, TextName},
};

/// How long the local service may take to accept a connection: it is near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// For which reasons visitors were turned away lately.
pub(super) type TurnedAway = Sparing<Discriminant<DialError>>;

/// A local service that is to be reached under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name at the relay.
    pub name: TextName,
    /// Where it is, seen from here.
    pub address: Target,
    /// Also on this public port of the relay's machine; 0: on any that the relay gives away.
    pub port: Option<u16>,
    /// Tell the service each visitor's address in a header of the PROXY protocol, version 2, before the visitor's bytes.
    pub proxy_protocol: bool,
    /// Connections kept ready for visitors at most; at least one.
    pub ready_max: usize,
}

impl Service {
    /// Leads a stream that has come for the service to it. `received` came from the visitor already. The stream ends with a reset if that
    /// fails.
    pub(super) async fn serve(
        &self,
        streams: &Streams,
        stream: TcpStream,
        notice: StreamNotice,
        received: Vec<u8>,
        turned_away: &Arc<TurnedAway>,
    ) {
        reset(&stream);
        let name = &self.name;
        let local = match dial(&self.address, CONNECT_TIMEOUT).await {
            Ok(local) => local,
            Err(error) => {
                let others = {
                    let (name, error) = (name.clone(), error.to_string());
                    move |others| warn!(service = %name, others, "visitors were turned away: {error}")
                };
                if turned_away.is_first(discriminant(&error), others) {
                    warn!(service = %name, visitor = %notice.from, "a visitor was turned away: {error}");
                }
                return;
            }
        };
        // No keepalive: the service is near, and its own business.
        let _ = SocketOptions::default().apply(&local);
        let mut first = Vec::new();
        if self.proxy_protocol {
            proxy_protocol::encode(&mut first, notice.from, notice.to);
        }
        first.extend(received);
        debug!(service = %name, visitor = %notice.from, "stream");
        join(streams, (stream, first), (local, "the service"), |_| {});
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use socket2::{Domain, Socket, Type};
    use tokio::{io::AsyncReadExt, net::TcpListener, time::Instant};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_service_that_does_not_accept_in_time_is_given_up_with_a_reset() {
        // It takes nobody: the first connections fill its queue, which the system sees a moment after they are made.
        let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        full.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        full.listen(0).unwrap();
        let address = full.local_addr().unwrap().as_socket().unwrap();
        let connect = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok();
        let _first: Vec<_> = std::iter::from_fn(connect).collect();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (near, from) = listener.accept().await.unwrap();
        let service = Service {
            name: TextName::new("web").unwrap(),
            address: address.into(),
            port: None,
            proxy_protocol: false,
            ready_max: 1,
        };
        let since = Instant::now();
        let streams = crate::tunnel::streams();
        service.serve(&streams, near, StreamNotice { from, to: from }, Vec::new(), &Sparing::new()).await;
        let took = since.elapsed();
        assert!(took >= CONNECT_TIMEOUT && took < CONNECT_TIMEOUT * 2, "{took:?}");
        assert_eq!(far.read(&mut [0]).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    }
}
