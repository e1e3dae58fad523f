//! Every number of the relay, its default and its reason.

use std::{net::SocketAddr, time::Duration};

use name_relay_core::driver::RouteLimits;

use super::services::PublicPorts;
use crate::net::{Keepalive, SocketOptions};

/// How messages reach version 1 clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// The payload bytes alone.
    #[default]
    Raw,
    /// `{sender}|{length}|{payload}`.
    Framed,
}

/// What a relay is run with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where to listen; port 0 takes any free one.
    pub listen: Vec<SocketAddr>,
    /// How messages reach version 1 clients. Version 2 is always framed.
    pub delivery: Delivery,
    /// How long a new connection may take to register.
    pub register_timeout: Duration,
    /// How long a client may be silent.
    pub idle_timeout: Duration,
    /// How long a client with a full queue may accept no byte.
    pub write_timeout: Duration,
    /// Bytes that may wait for one client before its senders are paused.
    pub queue_bytes: usize,
    /// Bytes that may wait for all clients together beyond that. A client that needs them may have three times its own share.
    pub queue_extra_bytes: usize,
    /// The largest message that is delivered framed or sent in version 2, in bytes. Such a message is collected whole.
    pub message_bytes_max: u64,
    /// A raw message above this many bytes is streamed through in pieces; up to it, it is collected first, so that its recipient
    /// is not held for a slow sender.
    pub stream_bytes_min: u64,
    /// Bytes per second that a sender must keep while others wait for the recipient it holds.
    pub rate_bytes_min: u64,
    /// How long others wait before that rate is asked for; also the span over which it is measured.
    pub rate_grace: Duration,
    /// How long a stopping relay waits for queues to empty.
    pub drain_timeout: Duration,
    /// Connections the system may hold before they are accepted. It caps the number itself (`net.core.somaxconn`).
    pub backlog: u32,
    /// Size of each worker's read buffer in bytes: the largest batch that is routed at once.
    pub read_bytes: usize,
    /// How long a worker looks for new events before it sleeps, after a short message.
    pub spin: Duration,
    /// How long a visitor waits for the service it wants to answer.
    pub open_timeout: Duration,
    /// Ports of this machine that exposers may have; none unless the operator names them, since a public port can be abused to
    /// serve what the operator has to answer for.
    pub public_ports: Option<PublicPorts>,
    /// Keepalive of every connection.
    pub keepalive: Option<Keepalive>,
    /// How long a client's system may leave unacknowledged what was sent to it (RFC 5482), where that can be known.
    pub user_timeout: Option<Duration>,
}

impl Config {
    /// What is set on every accepted connection. Never the system's own user timeout: see [`answers`](crate::net::answers).
    pub(super) fn socket(&self) -> SocketOptions {
        SocketOptions { keepalive: self.keepalive, user_timeout: None }
    }

    /// The numbers that routing goes by.
    pub(super) fn route_limits(&self) -> RouteLimits {
        RouteLimits { message_bytes_max: self.message_bytes_max, stream_bytes_min: self.stream_bytes_min }
    }

    /// Bytes that have to come in the time of `rate_grace`.
    pub(super) fn grace_bytes_min(&self) -> u64 {
        (self.rate_bytes_min as f64 * self.rate_grace.as_secs_f64()) as u64
    }

    /// How long a client may be silent, in milliseconds, as version 2 tells it.
    pub(super) fn idle_ms(&self) -> u64 {
        u64::try_from(self.idle_timeout.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 8080))],
            delivery: Delivery::Raw,
            // The three and thirty seconds are the protocol's own, known to every client in the wild.
            register_timeout: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(30),
            // A third of the idle time: a client that reads nothing is cut before one that only says nothing.
            write_timeout: Duration::from_secs(10),
            // Twice the bandwidth-delay product of 40 Mbit/s over 100 ms; a Raspberry Pi affords it for some hundred slow clients.
            queue_bytes: 1 << 20,
            // Half the room of 32 recipients: with it a many-to-many exchange of 1 KiB messages runs as if each had 4 MiB.
            queue_extra_bytes: 16 << 20,
            message_bytes_max: 1 << 20,
            // One kernel read of a fast sender; a thousand senders that stop in the middle cost 64 MiB at the very most.
            stream_bytes_min: 64 << 10,
            // The slowest modem anyone still has is faster.
            rate_bytes_min: 1 << 10,
            rate_grace: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(5),
            // A reconnect storm of thousands arrives faster than any loop accepts. With 1,024 each overflow cost a SYN
            // retransmission, a second or more.
            backlog: 65_535,
            // Large enough that a batch to 32 recipients still gives each write several kilobytes. Against 256 KiB, messages of 16 KiB
            // flow a tenth faster; with 1 MiB, what is copied of smaller ones no longer fits the caches and they flow half as fast.
            read_bytes: 512 << 10,
            // About what waking an idle processor takes on the machines it was measured on: waiting twice that long for nothing never
            // costs more than was saved.
            spin: Duration::from_micros(50),
            // A relay far away asks the exposer for a connection and gets it in three round trips; more is not worth waiting for.
            open_timeout: Duration::from_secs(10),
            public_ports: None,
            // Dead after 5 + 3 x 3 = 14 s of silence, or when data stays unacknowledged for as long: a crashed client's name is free
            // again well before the 30 s of silence that the protocol allows.
            keepalive: Some(Keepalive {
                idle: Duration::from_secs(5),
                interval: Duration::from_secs(3),
                probes: 3,
            }),
            user_timeout: Some(Duration::from_secs(14)),
        }
    }
}
