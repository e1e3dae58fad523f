//! One message, answered with the time at which it came; then the connection closes.

use std::time::Duration;

use tokio::time::timeout;
use tracing::info;

use super::{Connection, Service, Serving, Stop, clock::local_time, shown::Preview};

/// How much is read at once.
const PIECE_BYTES: usize = 16 << 10;

/// Answers one message with the local time.
#[derive(Debug)]
pub struct Timestamp {
    /// The longest message in bytes, at least 1. More than that is not read into the message.
    pub message_bytes_max: usize,
    /// TCP has no messages: a pause of this length ends one, as does the end of what the client sends.
    pub pause: Duration,
}

impl Service for Timestamp {
    fn serve<'a>(&'a self, connection: &'a mut Connection, mut stop: Stop) -> Serving<'a> {
        Box::pin(async move {
            let mut piece = vec![0; PIECE_BYTES.min(self.message_bytes_max)];
            let mut n = connection.read_unless(&mut stop, &mut piece).await?;
            if n == 0 {
                return Ok(());
            }
            let at = local_time();
            let mut message = Vec::new();
            while n > 0 {
                message.extend_from_slice(piece.get(..n).unwrap_or_default());
                let room = piece.len().min(self.message_bytes_max - message.len());
                let Some(room) = piece.get_mut(..room).filter(|room| !room.is_empty()) else { break };
                match timeout(self.pause, connection.read(room)).await {
                    Ok(read) => n = read?,
                    Err(_) => break,
                }
            }
            info!(peer = %connection.peer(), bytes = message.len(), text = %Preview(&message), "message");
            let answer = [format!("Server received at {at}: ").as_bytes(), &message].concat();
            Ok(connection.write_all(&answer).await?)
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::{Instant, sleep},
    };

    use super::*;
    use crate::lab::testing::{exchange, serve};

    fn service(message_bytes_max: usize) -> Timestamp {
        Timestamp { message_bytes_max, pause: Duration::from_millis(50) }
    }

    /// The answer without the time in it.
    fn message_of(answer: &[u8]) -> &[u8] {
        assert!(answer.starts_with(b"Server received at "), "{}", answer.escape_ascii());
        &answer["Server received at 2025-10-01 14:30:25: ".len()..]
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_in_pieces_is_one_message_and_a_pause_ends_it() {
        let (mut client, _stopper, task) = serve(service(1 << 10));
        let start = Instant::now();
        client.write_all(b"one ").await.unwrap();
        sleep(Duration::from_millis(40)).await;
        client.write_all(b"message").await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(message_of(&answer), b"one message");
        assert_eq!(start.elapsed().as_millis(), 90);
        drop(client);
        task.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_message_has_a_limit_and_may_be_any_bytes() {
        let (mut client, _stopper, _task) = serve(service(4));
        assert_eq!(message_of(&exchange(&mut client, b"\xff\0abcdef").await), b"\xff\0ab");
        let (mut client, _stopper, task) = serve(service(4));
        assert_eq!(exchange(&mut client, b"").await, b"", "no message, no answer");
        task.await.unwrap().unwrap();
    }
}
