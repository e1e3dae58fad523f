//! A server of practice connections: it accepts for as long as it runs, keeps to its limits, and stops without cutting an answer
//! short.

use std::{future::Future, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tracing::{info, warn};

use super::{ServiceError, Stop, stop::stop_channel};
use crate::net::{Acceptor, Keepalive, SocketOptions};

/// A client that vanished without a word is found out in about half a minute.
pub(super) const SOCKET_OPTIONS: SocketOptions = SocketOptions {
    keepalive: Some(Keepalive { idle: Duration::from_secs(15), interval: Duration::from_secs(5), probes: 3 }),
    user_timeout: None,
};

/// What a server does with each connection.
pub trait Handler: Send + Sync + 'static {
    /// Serves one connection from its first byte to its end. It is dropped unfinished when a stopping server can wait no longer.
    fn handle(&self, stream: TcpStream, peer: SocketAddr, stop: Stop) -> Serving<'_>;
}

/// A conversation under way, boxed: one server serves them all, and the program has its code once.
pub type Serving<'a> = Pin<Box<dyn Future<Output = Result<(), ServiceError>> + Send + 'a>>;

/// How much a server takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; further ones are closed at once.
    pub connections: usize,
    /// How long a stopping server waits for what is under way.
    pub drain: Duration,
    /// Serve one connection and end.
    pub once: bool,
}

/// Serves the connections of `listener` until `stop` completes (its text is logged as the reason) or, with `limits.once`, one
/// connection has ended. Connections under way then finish their message, unless `hurry` completes first.
///
/// # Errors
/// With `limits.once`, how the one connection failed.
pub async fn serve(
    listener: TcpListener,
    handler: Arc<dyn Handler>,
    limits: Limits,
    stop: impl Future<Output = &'static str>,
    hurry: impl Future<Output = &'static str>,
) -> Result<(), ServiceError> {
    if let Ok(address) = listener.local_addr() {
        info!(%address, "started");
    }
    let (stopper, stop_receiver) = stop_channel();
    let mut acceptor = Some(Acceptor::new(listener));
    let mut tasks = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let accepted = async {
            match &mut acceptor {
                Some(acceptor) => acceptor.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            reason = &mut stop => {
                info!(reason, connections = tasks.len(), "stopping");
                break;
            }
            Some(ended) = tasks.join_next() => {
                if limits.once {
                    return ended.unwrap_or(Ok(()));
                }
            }
            (stream, peer) = accepted => {
                if tasks.len() >= limits.connections {
                    warn!(%peer, open = tasks.len(), "turned away: no more connections are taken at a time");
                    continue;
                }
                if limits.once {
                    acceptor = None;
                }
                tasks.spawn(watch(Arc::clone(&handler), stream, peer, stop_receiver.clone()));
            }
        }
    }
    drop(acceptor);
    stopper.stop();
    let all = async { while tasks.join_next().await.is_some() {} };
    tokio::select! {
        finished = timeout(limits.drain, all) => if finished.is_err() {
            warn!(connections = tasks.len(), "cut off what did not finish in time");
        },
        reason = hurry => warn!(reason, connections = tasks.len(), "cut off at once"),
    }
    tasks.shutdown().await;
    info!("stopped");
    Ok(())
}

/// One connection with its lines in the log.
async fn watch(
    handler: Arc<dyn Handler>,
    stream: TcpStream,
    peer: SocketAddr,
    stop: Stop,
) -> Result<(), ServiceError> {
    info!(%peer, "connected");
    // Fails only for a connection that is already gone, which its first read will find out.
    let _ = SOCKET_OPTIONS.apply(&stream);
    let result = handler.handle(stream, peer, stop).await;
    match &result {
        Ok(()) => info!(%peer, "closed"),
        Err(error) => warn!(%peer, %error, "closed"),
    }
    result
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::net::bind;

    /// Answers with what it gets, then waits for the stop, and ends only if it may.
    struct Slow {
        lingers: bool,
    }

    impl Handler for Slow {
        fn handle(&self, mut stream: TcpStream, _: SocketAddr, mut stop: Stop) -> Serving<'_> {
            Box::pin(async move {
                let mut byte = [0];
                let _ = stream.read_exact(&mut byte).await;
                let _ = stream.write_all(&byte).await;
                stop.requested().await;
                if self.lingers {
                    pending::<()>().await;
                }
                let _ = stream.write_all(b"!").await;
                Ok(())
            })
        }
    }

    fn limits(connections: usize) -> Limits {
        Limits { connections, drain: Duration::from_secs(20), once: false }
    }

    async fn connect(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        stream
    }

    #[tokio::test]
    async fn a_stopping_server_lets_connections_finish_and_turns_away_more_than_its_limit() {
        let listener = bind(([127, 0, 0, 1], 0).into(), 16).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let stopped = async { stopped.await.unwrap_or("gone") };
        let server =
            tokio::spawn(serve(listener, Arc::new(Slow { lingers: false }), limits(1), stopped, pending()));
        let mut first = connect(address).await;
        assert_eq!(first.read_u8().await.unwrap(), b'x');
        let mut second = TcpStream::connect(address).await.unwrap();
        assert!(!matches!(second.read(&mut [0]).await, Ok(1..)), "the second one is turned away");
        stop.send("test").unwrap();
        server.await.unwrap().unwrap();
        assert_eq!(first.read_u8().await.unwrap(), b'!');
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    }

    #[tokio::test]
    async fn who_is_in_a_hurry_waits_for_nobody() {
        let listener = bind(([127, 0, 0, 1], 0).into(), 16).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let stopped = async { stopped.await.unwrap_or("gone") };
        let server = tokio::spawn(serve(
            listener,
            Arc::new(Slow { lingers: true }),
            limits(9),
            stopped,
            ready("again"),
        ));
        let mut client = connect(address).await;
        assert_eq!(client.read_u8().await.unwrap(), b'x');
        stop.send("test").unwrap();
        server.await.unwrap().unwrap();
        assert!(!matches!(client.read(&mut [0]).await, Ok(1..)));
    }
}
