//! A stream's bytes, from when both of its connections are there.

use std::{num::NonZeroUsize, thread::available_parallelism, time::Duration};

use tokio::net::TcpStream;
use tracing::debug;

use crate::net::{Edge, Joined, Streams, StreamsConfig};

/// How long a machine may leave unanswered what is sent to it, as a relay has it unless its operator says otherwise. One that answers may
/// take its time.
pub(super) const UNANSWERED_MAX: Duration = Duration::from_secs(14);

/// How many threads look after streams.
pub(super) fn threads() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Who looks after all streams of a program at one end of tunnels.
pub fn streams() -> Streams {
    Streams::new(StreamsConfig {
        threads: threads(),
        unanswered_max: Some(UNANSWERED_MAX),
        // The machine is somebody's own, and its processors have other things to do.
        spin: Duration::ZERO,
    })
}

/// Has a stream carried to its end, and said in the log how it was; `near` is who is at the other end of that connection. `received` came
/// from the relay already. `tell` is told at the end whether the relay's connection broke before it had sent anything.
pub(super) fn join(
    streams: &Streams,
    (relay, received): (TcpStream, Vec<u8>),
    (near, who): (TcpStream, &'static str),
    tell: impl FnOnce(bool) + Send + 'static,
) {
    let ended = move |joined: Joined| {
        let is_unanswered =
            joined.there == 0 && joined.broken.as_ref().is_some_and(|broken| broken.at == Some(Edge::First));
        let broken = joined.broken.map(|broken| broken.describe("the relay", who));
        debug!(received = joined.there, sent = joined.back, broken, "stream ended");
        tell(is_unanswered);
    };
    streams.join(relay, near, received, Box::new(ended));
}
