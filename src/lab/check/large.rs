//! A large message, sent while the answer is read.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, split},
    time::{Instant, sleep, sleep_until},
};

use crate::lab::{Connection, PeerError, pace::PATIENCE_TIMES_MAX};

/// How much is read at once.
const PIECE_BYTES: usize = 64 << 10;

/// An answer of so many times the message, and then some, is one that does not end.
const ANSWER_TIMES_MAX: usize = 32;

/// What comes on top of that.
const ANSWER_MORE: usize = 1 << 20;

/// What came back for the large message.
#[derive(Debug)]
pub(super) struct Returned {
    /// From the first byte sent to the last byte received.
    pub(super) took: Duration,
    /// How many bytes came back.
    pub(super) bytes: usize,
    /// Whether they were the ones that were sent.
    pub(super) is_unchanged: bool,
    /// Whether more was coming than any answer has.
    pub(super) is_endless: bool,
}

/// Sends `message` and the end, and reads until the other side has ended too or pauses, or has sent much more than any answer.
///
/// # Errors
/// [`PeerError::Closed`] when it ends before it has taken the message, or said anything; [`PeerError::Unfinished`] when all of it takes
/// too long.
pub(super) async fn exchange(
    connection: &mut Connection,
    message: &[u8],
    pause: Duration,
) -> Result<Returned, PeerError> {
    let patience = connection.patience();
    let (mut reader, mut writer) = split(connection.stream());
    let mut buffer = vec![0; PIECE_BYTES];
    let (mut unsent, mut bytes, mut is_unchanged) = (message, 0, true);
    let start = Instant::now();
    // The whole of it, there and back.
    let longest = patience.saturating_mul(PATIENCE_TIMES_MAX).saturating_add(pause);
    // No deadline where the clock ends.
    let deadline = start.checked_add(longest);
    let mut last = start;
    let mut is_ended = false;
    let bytes_max = message.len().saturating_mul(ANSWER_TIMES_MAX).saturating_add(ANSWER_MORE);
    loop {
        if is_ended && bytes > bytes_max {
            break;
        }
        if unsent.is_empty() && !is_ended {
            is_ended = true;
            writer.shutdown().await?;
        }
        // Before the first byte the answer has the time that any answer has.
        let silence = if is_ended && bytes > 0 { pause } else { patience };
        tokio::select! {
            read = reader.read(&mut buffer) => match read? {
                0 if bytes == 0 => return Err(PeerError::Closed("an answer")),
                0 if !unsent.is_empty() => return Err(PeerError::Closed("the large message")),
                0 => break,
                n => {
                    is_unchanged &= message.get(bytes..bytes + n) == buffer.get(..n);
                    bytes += n;
                    last = Instant::now();
                }
            },
            written = writer.write(unsent), if !unsent.is_empty() => match written? {
                0 => return Err(PeerError::Reset),
                n => unsent = unsent.get(n..).unwrap_or_default(),
            },
            () = sleep_until(deadline.unwrap_or(start)), if deadline.is_some() => {
                let what = if is_ended { "sending its answer" } else { "taking the large message" };
                return Err(PeerError::Unfinished(what, longest));
            }
            () = sleep(silence) => {
                if bytes > 0 && is_ended {
                    break;
                }
                return Err(if is_ended { PeerError::Silent(patience) } else { PeerError::Stalled(patience) });
            }
        }
    }
    let is_endless = bytes > bytes_max;
    Ok(Returned {
        took: last - start,
        bytes,
        is_unchanged: is_unchanged && bytes == message.len(),
        is_endless,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::testing::pair;

    #[tokio::test(start_paused = true)]
    async fn an_answer_without_an_end_is_left() {
        let (mut connection, peer) = pair(Duration::from_secs(5));
        let (mut from_client, mut to_client) = split(peer);
        let flood = async { while to_client.write_all(&[b'x'; 4096]).await.is_ok() {} };
        let take = async { tokio::io::copy(&mut from_client, &mut tokio::io::sink()).await };
        let exchange = exchange(&mut connection, &[b'm'; 1000], Duration::from_millis(500));
        let returned = tokio::select! {
            returned = exchange => returned.unwrap(),
            _ = async { tokio::join!(flood, take) } => unreachable!(),
        };
        assert!(returned.is_endless && !returned.is_unchanged && returned.bytes > ANSWER_MORE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_sips_or_drips_without_end_is_left() {
        let pause = Duration::from_millis(500);
        for (message_bytes, what) in [(1 << 20, "taking the large message"), (100, "sending its answer")] {
            let (mut connection, peer) = pair(Duration::from_secs(5));
            let (mut from_client, mut to_client) = split(peer);
            let start = Instant::now();
            // Always before the patience or a pause ends.
            let sip = async {
                loop {
                    sleep(Duration::from_millis(400)).await;
                    let _ = from_client.read(&mut [0; 100]).await;
                }
            };
            let drip = async {
                while to_client.write_all(b".").await.is_ok() {
                    sleep(Duration::from_millis(400)).await;
                }
            };
            let message = vec![b'm'; message_bytes];
            let left = tokio::select! {
                exchanged = exchange(&mut connection, &message, pause) => exchanged.unwrap_err(),
                _ = async { tokio::join!(sip, drip) } => unreachable!(),
            };
            assert_eq!(left.to_string(), format!("was still {what} after 60.5s"));
            assert_eq!(start.elapsed().as_millis(), 60_500);
        }
    }
}
