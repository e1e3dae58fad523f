//! The echo: each byte back, as it came.

use tracing::debug;

use super::{Connection, Service, Serving, Stop, shown::Preview};

/// Sends back what it gets.
#[derive(Debug)]
pub struct Echo {
    /// The most bytes taken and sent back at once; at least 1.
    pub piece_bytes_max: usize,
}

impl Service for Echo {
    fn serve<'a>(&'a self, connection: &'a mut Connection, mut stop: Stop) -> Serving<'a> {
        Box::pin(async move {
            let mut buffer = vec![0; self.piece_bytes_max];
            loop {
                let n = connection.read_unless(&mut stop, &mut buffer).await?;
                let Some(piece) = buffer.get(..n).filter(|piece| !piece.is_empty()) else { return Ok(()) };
                debug!(peer = %connection.peer(), bytes = n, text = %Preview(piece), "message");
                connection.write_all(piece).await?;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::testing::{exchange, serve};

    #[tokio::test]
    async fn every_byte_comes_back_and_the_end_too() {
        let (mut client, _stopper, task) = serve(Echo { piece_bytes_max: 7 });
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(exchange(&mut client, &all).await, all);
        task.await.unwrap().unwrap();
    }
}
