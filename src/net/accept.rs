//! Accepting: whatever the system reports, a server goes on.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tracing::{info, warn};

use super::Backoff;

/// The first pause when the system has no descriptor left; a client may leave at any moment.
const PAUSE_FIRST: Duration = Duration::from_millis(10);

/// The longest pause: a new client waits no longer than that after others have left.
const PAUSE_MOST: Duration = Duration::from_millis(500);

/// The pause after something was given back: it is closed by its own task.
const PAUSE_RELIEVED: Duration = Duration::from_millis(1);

/// A listener that never fails: it waits when the system has nothing left to accept with, and says so once.
#[derive(Debug)]
pub struct Acceptor {
    listener: TcpListener,
    pauses: Backoff,
    is_starved: bool,
}

impl Acceptor {
    /// Accepts from `listener`.
    pub fn new(listener: TcpListener) -> Self {
        Self { listener, pauses: Backoff::new(PAUSE_FIRST, PAUSE_MOST), is_starved: false }
    }

    /// The next connection and who made it. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> (TcpStream, SocketAddr) {
        self.next_or(|| false).await
    }

    /// The same. When no descriptor is left, `relieve` is asked to give some back, and says whether it does.
    pub async fn next_or(&mut self, relieve: impl Fn() -> bool) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => {
                    if self.is_starved {
                        info!("accepting connections again");
                        self.is_starved = false;
                        self.pauses.reset();
                    }
                    return accepted;
                }
                Err(error) if is_about_the_client(&error) => {}
                Err(error) if is_out_of_descriptors(&error) && relieve() => sleep(PAUSE_RELIEVED).await,
                Err(error) => {
                    if !self.is_starved {
                        warn!(%error, "cannot accept connections for now; those that exist go on");
                        self.is_starved = true;
                    }
                    sleep(self.pauses.wait()).await;
                }
            }
        }
    }
}

/// This process or the system has no descriptor left.
#[cfg(unix)]
fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// This process or the system has no socket left.
#[cfg(windows)]
fn is_out_of_descriptors(error: &io::Error) -> bool {
    const WSAEMFILE: i32 = 10_024;
    error.raw_os_error() == Some(WSAEMFILE)
}

/// Errors of the one connection that was to be accepted, which its client has already given up.
fn is_about_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
