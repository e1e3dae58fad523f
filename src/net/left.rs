//! Whether whoever is at the other end of a connection still waits, while nobody reads what it sends.

use tokio::{io::Interest, net::TcpStream};

/// Waits until the other end has left: the connection was reset, or it ended before anything was said. One that has said something
/// and ended its side may wait for the answer, so only a reset ends that; `has_said`: something was received from it already.
pub async fn left(stream: &TcpStream, has_said: bool) {
    if !has_said && !matches!(stream.peek(&mut [0]).await, Ok(1..)) {
        return;
    }
    // Fails only with the runtime.
    let _ = stream.ready(Interest::ERROR).await;
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use tokio::{
        io::AsyncWriteExt,
        net::TcpListener,
        time::{sleep, timeout},
    };

    use super::*;
    use crate::net::reset;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    async fn leaves(stream: &TcpStream, has_said: bool) {
        timeout(Duration::from_secs(20), left(stream, has_said)).await.expect("it has left");
    }

    async fn stays(stream: &TcpStream, has_said: bool) {
        // There is no event to wait for: nothing is to happen.
        timeout(Duration::from_millis(100), left(stream, has_said)).await.expect_err("it is there");
    }

    #[tokio::test]
    async fn who_ends_without_a_word_or_is_reset_has_left() {
        let (visitor, stream) = pair().await;
        stays(&stream, false).await;
        drop(visitor);
        leaves(&stream, false).await;
        for says in [false, true] {
            let (mut visitor, stream) = pair().await;
            if says {
                visitor.write_all(b"hello").await.unwrap();
                stays(&stream, false).await;
            }
            reset(&visitor);
            drop(visitor);
            leaves(&stream, says).await;
        }
    }

    #[tokio::test]
    async fn who_has_said_something_and_ends_its_side_waits_for_the_answer() {
        let (mut visitor, stream) = pair().await;
        visitor.write_all(b"question").await.unwrap();
        visitor.shutdown().await.unwrap();
        stays(&stream, false).await;
        let (mut visitor, stream) = pair().await;
        visitor.shutdown().await.unwrap();
        // What it said was behind its hello.
        stays(&stream, true).await;
        reset(&visitor);
        drop(visitor);
        sleep(Duration::from_millis(1)).await;
        leaves(&stream, true).await;
    }
}
