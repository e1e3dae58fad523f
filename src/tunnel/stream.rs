//! A stream's bytes, from when both of its connections are there.

use std::{num::NonZeroUsize, thread::available_parallelism, time::Duration};

use tokio::net::TcpStream;
use tracing::debug;

use crate::net::{Joined, Streams, StreamsConfig};

/// How long a machine may leave unanswered what is sent to it, as a relay has it unless its operator says otherwise. One that answers may
/// take its time.
pub(super) const UNANSWERED_MAX: Duration = Duration::from_secs(14);

/// Who looks after all streams of a program at one end of tunnels.
pub fn streams() -> Streams {
    Streams::new(StreamsConfig {
        threads: available_parallelism().map_or(1, NonZeroUsize::get),
        unanswered_max: Some(UNANSWERED_MAX),
        // The machine is somebody's own, and its processors have other things to do.
        spin: Duration::ZERO,
    })
}

/// Has a stream carried to its end, and said in the log how it was. `received` came from the relay already.
pub(super) fn join(streams: &Streams, relay: TcpStream, near: TcpStream, received: Vec<u8>) {
    let ended = |joined: Joined| {
        let broken = joined.broken.map(|error| error.to_string());
        debug!(received = joined.there, sent = joined.back, broken, "stream ended");
    };
    streams.join(relay, near, received, Box::new(ended));
}
