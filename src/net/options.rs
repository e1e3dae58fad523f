//! Options of a connected socket.

use std::{io, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// TCP keepalive: after `idle` without traffic, `probes` probes `interval` apart; unanswered, the connection is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe; rounded up to whole seconds.
    pub idle: Duration,
    /// Between probes; rounded up to whole seconds.
    pub interval: Duration,
    /// How many unanswered probes end the connection. Linux goes by [`SocketOptions::user_timeout`] instead where that is set.
    pub probes: u32,
}

/// What is set on every connection of a server or client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SocketOptions {
    /// Finds a peer that vanished while nothing is sent to it.
    pub keepalive: Option<Keepalive>,
    /// How long sent data may stay unacknowledged before the connection is dead (RFC 5482). A reader that takes nothing for so long
    /// counts as dead too. Only Linux has it; elsewhere the system's own retransmission limit stands.
    pub user_timeout: Option<Duration>,
}

impl SocketOptions {
    /// Sets the options, and `TCP_NODELAY`: the programs write whole batches and never want to wait for more.
    ///
    /// # Errors
    /// What the system reports; a connection that has already ended can fail here.
    pub fn apply(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(stream);
        if let Some(keepalive) = self.keepalive {
            let mut wanted = TcpKeepalive::new()
                .with_time(whole_seconds(keepalive.idle))
                .with_interval(whole_seconds(keepalive.interval));
            // Windows before 10.1709 has a fixed number of probes.
            if cfg!(not(windows)) {
                wanted = wanted.with_retries(keepalive.probes);
            }
            socket.set_tcp_keepalive(&wanted)?;
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(limit) = self.user_timeout {
            socket.set_tcp_user_timeout(Some(limit))?;
        }
        Ok(())
    }
}

/// What systems take: at least a second, and on Linux at most 32,767 of them; anything else would leave keepalive off.
fn whole_seconds(time: Duration) -> Duration {
    let seconds = time.as_nanos().div_ceil(1_000_000_000).clamp(1, 32_767);
    Duration::from_secs(seconds as u64)
}
