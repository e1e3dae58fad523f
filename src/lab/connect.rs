//! How the practice clients connect: several times, and saying why not.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{net::TcpStream, time::sleep};

use super::{Connection, Stream, server::SOCKET_OPTIONS};
use crate::net::{DialError, Target, dial};

/// How often and how long to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// For each attempt, and afterwards for each byte that is waited for.
    pub timeout: Duration,
    /// Further attempts after the first.
    pub retries: u32,
    /// Between two attempts.
    pub delay: Duration,
}

impl Retry {
    /// Repeats `attempt` while it fails, for a reason that can pass, and attempts are left. `on_retry` hears of each failure that is not
    /// the last, with the number of the attempt that follows.
    ///
    /// # Errors
    /// That of the last attempt.
    pub async fn run<T>(
        &self,
        mut attempt: impl AsyncFnMut() -> Result<T, DialError>,
        mut on_retry: impl FnMut(&DialError, u32),
    ) -> Result<T, DialError> {
        for next in 1..=self.retries {
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) if error.is_final() => return Err(error),
                Err(error) => on_retry(&error, next),
            }
            sleep(self.delay).await;
        }
        attempt().await
    }
}

/// Connects to `target`, waiting at most the timeout for every byte afterwards.
///
/// # Errors
/// That of the last attempt.
pub async fn connect(
    target: &Target,
    retry: &Retry,
    on_retry: impl FnMut(&DialError, u32),
) -> Result<Connection, DialError> {
    let stream = retry.run(async || dial(target, retry.timeout).await, on_retry).await?;
    Ok(connection(target, stream, retry.timeout))
}

/// A conversation on a new connection to `target`.
pub(super) fn connection(target: &Target, stream: TcpStream, patience: Duration) -> Connection {
    // Both fail only for a connection that was reset meanwhile, and that is for its first read to find out and to call by its name.
    let _ = SOCKET_OPTIONS.apply(&stream);
    let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, target.port()));
    let peer = stream.peer_addr().unwrap_or(unknown);
    Connection::new(Stream::Tcp(stream), peer, patience)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn attempts_are_counted_and_spaced() {
        let retry = Retry { timeout: Duration::ZERO, retries: 3, delay: Duration::from_secs(2) };
        let refused = || DialError::Refused(Target::new("h", 1));
        let (start, mut attempts, mut heard) = (Instant::now(), 0, Vec::new());
        let attempt = async || {
            attempts += 1;
            Err::<(), _>(refused())
        };
        let result = retry.run(attempt, |_, next| heard.push(next)).await;
        assert!(matches!(result, Err(DialError::Refused(_))));
        assert_eq!((attempts, heard, start.elapsed().as_secs()), (4, vec![1, 2, 3], 6));

        let mut attempts = 0;
        let attempt = async || {
            attempts += 1;
            if attempts < 3 { Err(refused()) } else { Ok(()) }
        };
        retry.run(attempt, |_, _| {}).await.unwrap();
        assert_eq!(attempts, 3);
    }
}
