//! One short message and its answer, with the time between them.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::lab::{Connection, PeerError};

/// What came back for a message.
#[derive(Debug)]
pub(super) struct Echoed {
    /// From sending it to the first byte of the answer.
    pub(super) took: Duration,
    /// The whole answer.
    pub(super) answer: Vec<u8>,
    /// Whether the connection ended with it.
    pub(super) is_closed: bool,
}

/// More than any answer to a short message.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Sends `message` and reads the answer: until it ends in the message, as those of most practice servers do, or the other side pauses or
/// closes.
pub(super) async fn exchange(
    connection: &mut Connection,
    message: &[u8],
    pause: Duration,
) -> Result<Echoed, PeerError> {
    let start = Instant::now();
    connection.write_all(message).await?;
    let mut buffer = [0; 4096];
    let n = connection.read(&mut buffer).await?;
    let took = start.elapsed();
    let mut answer = buffer.get(..n).unwrap_or_default().to_vec();
    if answer.is_empty() {
        return Err(PeerError::Closed("an answer"));
    }
    while !answer.ends_with(message) && answer.len() < ANSWER_BYTES_MAX {
        match timeout(pause, connection.read(&mut buffer)).await {
            Err(_) => break,
            Ok(read) => match read? {
                0 => return Ok(Echoed { took, answer, is_closed: true }),
                n => answer.extend_from_slice(buffer.get(..n).unwrap_or_default()),
            },
        }
    }
    Ok(Echoed { took, answer, is_closed: false })
}
