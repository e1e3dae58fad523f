//! A proxy that does nothing but make the network worse.

use std::{future::pending, io, net::SocketAddr, time::Duration};

use tokio::net::TcpStream;
use tracing::info;

use super::{
    Handler, ServiceError, Serving, Stop,
    network::{Carried, Network, carry, reset},
    server::SOCKET_OPTIONS,
};
use crate::net::{Target, dial};

/// How long either side may take no byte at all of what has arrived for it before the connection is given up.
const STALL_LIMIT: Duration = Duration::from_secs(300);

/// Joins each connection with one of its own to the target.
#[derive(Debug)]
pub struct Proxy {
    /// Where the connections lead; resolved anew for each.
    pub target: Target,
    /// What lies between.
    pub network: Network,
    /// How long connecting to the target may take.
    pub timeout: Duration,
}

impl Handler for Proxy {
    /// What the target or the client does, the other one sees: the end of a direction, or a reset. Bytes on the way when the server
    /// stops get the time that the server has, and with them the connection ends.
    fn handle(&self, stream: TcpStream, peer: SocketAddr, stop: Stop) -> Serving<'_> {
        Box::pin(self.join(stream, peer, stop))
    }
}

impl Proxy {
    async fn join(
        &self,
        mut stream: TcpStream,
        peer: SocketAddr,
        mut stop: Stop,
    ) -> Result<(), ServiceError> {
        let mut far = match dial(&self.target, self.timeout).await {
            Ok(far) => far,
            Err(error) => {
                // The nearest to a refusal that a connection which is already accepted can show.
                reset(stream);
                return Err(error.into());
            }
        };
        // Fails only for a connection that is already gone, which its first read will find out.
        let _ = SOCKET_OPTIONS.apply(&far);
        info!(%peer, target = %self.target, "joined");
        let carried =
            carry(&self.network, STALL_LIMIT, &mut stream, &mut far, pending(), stop.requested()).await;
        let failure = match carried {
            Carried::ToTheEnd | Carried::Stopped => return Ok(()),
            Carried::Stalled(_) => ServiceError::Broken(io::ErrorKind::TimedOut.into()),
            Carried::Broken(error) => ServiceError::Broken(error),
            Carried::Dropped(after) => ServiceError::Dropped(after),
        };
        reset(stream);
        reset(far);
        Err(failure)
    }
}
