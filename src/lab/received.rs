//! The server of the first lesson: each chunk that arrives is answered `Server received: {chunk}`.

use tracing::info;

use super::{Connection, Service, Serving, Stop, shown::Preview};

/// What stands before each chunk in its answer.
const PREFIX: &[u8] = b"Server received: ";

/// Answers each chunk with itself.
#[derive(Debug)]
pub struct Received {
    /// The largest chunk in bytes, at least 1; a longer message is several chunks.
    pub chunk_bytes_max: usize,
}

impl Service for Received {
    fn serve<'a>(&'a self, connection: &'a mut Connection, mut stop: Stop) -> Serving<'a> {
        Box::pin(async move {
            let mut buffer = vec![0; self.chunk_bytes_max];
            loop {
                let n = connection.read_unless(&mut stop, &mut buffer).await?;
                let Some(chunk) = buffer.get(..n).filter(|chunk| !chunk.is_empty()) else { return Ok(()) };
                info!(peer = %connection.peer(), bytes = n, text = %Preview(chunk), "message");
                // One write, so that a client that reads once gets the whole answer.
                connection.write_all(&[PREFIX, chunk].concat()).await?;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::lab::testing::{exchange, serve};

    #[tokio::test]
    async fn each_chunk_is_answered_with_itself() {
        let (mut client, _stopper, task) = serve(Received { chunk_bytes_max: 4 });
        client.write_all(b"\xffhi").await.unwrap();
        let mut answer = [0; 20];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"Server received: \xffhi");
        assert_eq!(exchange(&mut client, b"123456").await, b"Server received: 1234Server received: 56");
        task.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_stop_ends_an_idle_conversation() {
        let (mut client, stopper, task) = serve(Received { chunk_bytes_max: 64 });
        client.write_all(b"hi").await.unwrap();
        client.read_exact(&mut [0; 19]).await.unwrap();
        stopper.stop();
        assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
        drop(client);
        task.await.unwrap().unwrap();
    }
}
