//! What the unit tests of this module share.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::{
    Connection, Service, ServiceError,
    connection::Stream,
    stop::{Stopper, stop_channel},
};

/// A connection in memory and its other end.
pub(super) fn pair(patience: Duration) -> (Connection, DuplexStream) {
    let (near, far) = duplex(64 << 10);
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    (Connection::new(Stream::Memory(near), peer, patience), far)
}

/// A service at work on a connection in memory: its client's end, its stopper and its result.
pub(super) fn serve<S: Service>(
    service: S,
) -> (DuplexStream, Stopper, tokio::task::JoinHandle<Result<(), ServiceError>>) {
    let (mut connection, client) = pair(Duration::from_secs(300));
    let (stopper, stop) = stop_channel();
    let task = tokio::spawn(async move {
        let result = service.serve(&mut connection, stop).await;
        connection.finish().await;
        result
    });
    (client, stopper, task)
}

/// Sends, ends the sending side and receives all that comes.
pub(super) async fn exchange(client: &mut DuplexStream, bytes: &[u8]) -> Vec<u8> {
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    answer
}
