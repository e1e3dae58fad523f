//! A stream's bytes, from when both of its connections are there.

use tokio::net::TcpStream;
use tracing::debug;

use crate::net::Join;

/// Carries a stream to its end and says in the log how it was.
pub(super) async fn join(first: TcpStream, second: TcpStream, from_first: Vec<u8>, from_second: Vec<u8>) {
    let joined = Join::new(first, second, from_first, from_second).await;
    let broken = joined.broken.map(|error| error.to_string());
    debug!(received = joined.there, sent = joined.back, broken, "stream ended");
}
