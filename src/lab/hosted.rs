//! A practice service behind a network, real or emulated.

use std::{future::pending, net::SocketAddr, time::Duration};

use tokio::{io::duplex, net::TcpStream, sync::oneshot};

use super::{
    Connection, Handler, PeerError, ServiceError, Serving, Stop,
    connection::{Stream, linger},
    network::{Carried, Network, carry, reset},
};

/// What may wait in memory between the emulated network and the service.
const MEMORY_BYTES: usize = 64 << 10;

/// What a practice server says to a client.
pub trait Service: Send + Sync + 'static {
    /// Holds one conversation to its end; the connection is closed afterwards. When `stop` is requested the message under way is
    /// still answered.
    fn serve<'a>(&'a self, connection: &'a mut Connection, stop: Stop) -> Serving<'a>;
}

/// A service with what lies before it.
pub struct Hosted {
    /// What is said.
    pub service: Box<dyn Service>,
    /// What lies between the clients and the service.
    pub network: Network,
    /// How long a client may say nothing, or take nothing.
    pub patience: Duration,
}

impl Handler for Hosted {
    fn handle(&self, stream: TcpStream, peer: SocketAddr, stop: Stop) -> Serving<'_> {
        Box::pin(async move {
            if self.network.is_plain() {
                self.converse(Stream::Tcp(stream), peer, stop).await
            } else {
                self.emulate(stream, peer, stop).await
            }
        })
    }
}

impl Hosted {
    async fn converse(&self, stream: Stream, peer: SocketAddr, stop: Stop) -> Result<(), ServiceError> {
        let mut connection = Connection::new(stream, peer, self.patience);
        let result = self.service.serve(&mut connection, stop).await;
        connection.finish().await;
        result
    }

    async fn emulate(&self, mut stream: TcpStream, peer: SocketAddr, stop: Stop) -> Result<(), ServiceError> {
        let (near, mut far) = duplex(MEMORY_BYTES);
        let (leave, left) = oneshot::channel::<()>();
        let conversation = async move {
            let result = self.converse(Stream::Memory(near), peer, stop).await;
            drop(leave);
            result
        };
        let network = async move {
            let has_left = async move {
                // The sender is only ever dropped.
                let _ = left.await;
            };
            let carried =
                carry(&self.network, self.patience, &mut stream, &mut far, has_left, pending()).await;
            match &carried {
                Carried::ToTheEnd | Carried::Stopped => linger(&mut stream).await,
                Carried::Dropped(_) | Carried::Stalled(_) | Carried::Broken(_) => reset(stream),
            }
            // With `far` the service loses its client, as it does when a real connection breaks.
            drop(far);
            carried
        };
        let (result, carried) = tokio::join!(conversation, network);
        match carried {
            // The conversation knows of the stop itself, and its end is that of the network.
            Carried::ToTheEnd | Carried::Stopped => result,
            Carried::Dropped(after) => Err(ServiceError::Dropped(after)),
            Carried::Stalled(patience) => Err(PeerError::Stalled(patience).into()),
            Carried::Broken(error) => result.and(Err(PeerError::from(error).into())),
        }
    }
}
