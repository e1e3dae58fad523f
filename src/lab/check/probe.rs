//! One short message and its answer, with the time between them.

use std::time::Duration;

use tokio::{
    io::AsyncReadExt,
    time::{Instant, timeout},
};

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
/// closes. From its first byte on it may take as long as that byte, and a pause.
///
/// # Errors
/// [`PeerError::Unfinished`] when it takes longer.
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
    let longest = connection.patience().saturating_add(pause);
    let rest = async {
        while !answer.ends_with(message) && answer.len() < ANSWER_BYTES_MAX {
            match timeout(pause, connection.stream().read(&mut buffer)).await {
                Err(_) => break,
                Ok(read) => match read? {
                    0 => return Ok(true),
                    n => answer.extend_from_slice(buffer.get(..n).unwrap_or_default()),
                },
            }
        }
        Ok::<_, PeerError>(false)
    };
    let ended = timeout(longest, rest).await;
    let is_closed = ended.unwrap_or(Err(PeerError::Unfinished("sending its answer", longest)))?;
    Ok(Echoed { took, answer, is_closed })
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, time::sleep};

    use super::*;
    use crate::lab::testing::pair;

    const PAUSE: Duration = Duration::from_millis(500);

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_drips_without_end_is_left() {
        let (mut connection, mut peer) = pair(Duration::from_secs(5));
        let start = Instant::now();
        let drip = async {
            while peer.write_all(b".").await.is_ok() {
                sleep(Duration::from_millis(400)).await;
            }
        };
        let left = tokio::select! {
            exchanged = exchange(&mut connection, b"hello", PAUSE) => exchanged.unwrap_err(),
            () = drip => unreachable!(),
        };
        assert!(matches!(left, PeerError::Unfinished(..)), "{left:?}");
        assert_eq!(start.elapsed().as_millis(), 5500);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_longer_than_the_patience_ends_an_answer() {
        let (mut connection, mut peer) = pair(Duration::from_millis(300));
        peer.write_all(b"greeting").await.unwrap();
        let patient = exchange(&mut connection, b"hello", PAUSE).await;
        assert!(!patient.unwrap().is_closed);
    }
}
