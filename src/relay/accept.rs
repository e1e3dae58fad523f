//! The accept loop: it never ends the relay, whatever the system reports.

use std::{io, sync::Arc, time::Duration};

use tokio::{net::TcpListener, time::sleep};
use tracing::{info, warn};

use super::{Shared, connection};
use crate::net::Backoff;

/// The first pause when the system has no descriptor left; a client may leave at any moment.
const PAUSE_FIRST: Duration = Duration::from_millis(10);

/// The longest pause: a new client waits no longer than that after others have left.
const PAUSE_MOST: Duration = Duration::from_millis(500);

/// Accepts connections for as long as it is polled.
pub(super) async fn run(shared: Arc<Shared>, listener: TcpListener) {
    let mut pauses = Backoff::new(PAUSE_FIRST, PAUSE_MOST);
    let mut is_starved = false;
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                if is_starved {
                    info!("accepting connections again");
                    is_starved = false;
                    pauses.reset();
                }
                // Fails only for a connection that is already gone, which its first read will find out.
                let _ = shared.config.socket.apply(&stream);
                tokio::spawn(connection::serve(Arc::clone(&shared), stream, address));
            }
            Err(error) if is_about_the_client(&error) => {}
            Err(error) => {
                if !is_starved {
                    warn!(%error, "cannot accept connections for now; those that exist go on");
                    is_starved = true;
                }
                sleep(pauses.wait()).await;
            }
        }
    }
}

/// Errors of the one connection that was to be accepted, which its client has already given up.
fn is_about_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
