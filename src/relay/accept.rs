//! The accept loop: it never ends the relay, whatever the system reports.

use std::sync::Arc;

use tokio::net::TcpListener;

use super::{Shared, connection};
use crate::net::Acceptor;

/// Accepts connections for as long as it is polled.
pub(super) async fn run(shared: Arc<Shared>, listener: TcpListener) {
    let mut acceptor = Acceptor::new(listener);
    loop {
        let (stream, address) = acceptor.next_or(|| shared.services.relieve()).await;
        let Some(live) = shared.admit(address) else { continue };
        // Fails only for a connection that is already gone, which its first read will find out.
        let _ = shared.config.socket().apply(&stream);
        tokio::spawn(connection::serve(Arc::clone(&shared), stream, address, live));
    }
}
