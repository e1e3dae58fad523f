//! A stream's bytes, from when both of its connections are there.

use std::time::Duration;

use tokio::net::TcpStream;
use tracing::debug;

use crate::net::Join;

/// How long a machine may leave unanswered what is sent to it, as a relay has it unless its operator says otherwise. One that answers may
/// take its time.
pub(super) const UNANSWERED_MAX: Duration = Duration::from_secs(14);

/// Carries a stream to its end and says in the log how it was.
pub(super) async fn join(first: TcpStream, second: TcpStream, from_first: Vec<u8>, from_second: Vec<u8>) {
    let join = Join::new(first, second, from_first, from_second);
    let joined = join.unanswered_max(Some(UNANSWERED_MAX)).await;
    let broken = joined.broken.map(|error| error.to_string());
    debug!(received = joined.there, sent = joined.back, broken, "stream ended");
}
