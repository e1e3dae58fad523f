//! One message and its answer.

use std::{io::Write, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, split},
    time::sleep,
};

use super::Screen;
use crate::lab::{ClientError, Connection, PeerError};

/// How much is read at once.
const PIECE_BYTES: usize = 64 << 10;

/// When an answer is complete: TCP does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listening {
    /// So long a silence after its first byte ends it.
    pub pause: Duration,
    /// So many bytes are enough.
    pub bytes_max: u64,
}

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// How many bytes.
    pub bytes: u64,
    /// What ended it.
    pub ended: Ended,
}

/// What ended an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The other side paused.
    Paused,
    /// The other side closed the connection.
    Closed,
    /// As many bytes came as were wanted.
    Enough,
}

/// Sends `message` and shows what comes back until the other side pauses or closes. Reads while it sends, so that neither waits for the
/// other.
///
/// # Errors
/// [`PeerError::Silent`] when no byte comes in the connection's patience, [`PeerError::Closed`] when it ends before one did,
/// [`PeerError::Stalled`] when the message is not taken, and [`ClientError::Output`].
pub async fn say<W: Write, P: Write>(
    connection: &mut Connection,
    message: &[u8],
    listening: &Listening,
    screen: &mut Screen<W, P>,
) -> Result<Answer, ClientError> {
    let patience = connection.patience();
    let (mut reader, mut writer) = split(connection.stream());
    let mut buffer = vec![0; PIECE_BYTES];
    let mut unsent = message;
    let mut bytes = 0;
    let ended = loop {
        let wanted = usize::try_from(listening.bytes_max - bytes).unwrap_or(usize::MAX).min(PIECE_BYTES);
        if wanted == 0 {
            break Ended::Enough;
        }
        let is_answering = bytes > 0 && unsent.is_empty();
        tokio::select! {
            read = reader.read(&mut buffer[..wanted]) => match read.map_err(PeerError::from)? {
                0 if bytes == 0 => return Err(PeerError::Closed("an answer").into()),
                0 if !unsent.is_empty() => return Err(PeerError::Closed("the message").into()),
                0 => break Ended::Closed,
                n => {
                    bytes += n as u64;
                    screen.show(&buffer[..n]).map_err(ClientError::Output)?;
                }
            },
            written = writer.write(unsent), if !unsent.is_empty() => match written.map_err(PeerError::from)? {
                0 => return Err(PeerError::Reset.into()),
                n => unsent = &unsent[n..],
            },
            () = sleep(if is_answering { listening.pause } else { patience }) => {
                if is_answering {
                    break Ended::Paused;
                }
                let is_silent = unsent.is_empty();
                return Err(if is_silent { PeerError::Silent(patience) } else { PeerError::Stalled(patience) }.into());
            }
        }
    };
    screen.pause().map_err(ClientError::Output)?;
    Ok(Answer { bytes, ended })
}

#[cfg(test)]
mod tests {
    use tokio::{io::DuplexStream, time::Instant};

    use super::*;
    use crate::lab::testing::pair;

    const PATIENCE: Duration = Duration::from_secs(5);
    const LISTENING: Listening = Listening { pause: Duration::from_millis(500), bytes_max: 1 << 20 };

    async fn talk<F: Future<Output = DuplexStream>>(
        message: &[u8],
        listening: Listening,
        server: impl FnOnce(DuplexStream) -> F,
    ) -> (Result<Answer, ClientError>, Vec<u8>) {
        let (mut connection, peer) = pair(PATIENCE);
        let mut shown = Vec::new();
        let mut screen: Screen<_, Vec<u8>> = Screen::new(&mut shown, false);
        let (result, _peer) =
            tokio::join!(say(&mut connection, message, &listening, &mut screen), server(peer));
        (result, shown)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_ends_with_a_pause_or_the_connection() {
        let start = Instant::now();
        let (answer, shown) = talk(b"hi", LISTENING, |mut peer| async {
            peer.read_exact(&mut [0; 2]).await.unwrap();
            for part in [b"a", b"b", b"c"] {
                sleep(Duration::from_millis(400)).await;
                peer.write_all(part).await.unwrap();
            }
            peer
        })
        .await;
        assert_eq!(answer.unwrap(), Answer { bytes: 3, ended: Ended::Paused });
        assert_eq!((shown.as_slice(), start.elapsed().as_millis()), (&b"abc"[..], 1700));

        let (answer, shown) = talk(b"", LISTENING, |mut peer| async {
            peer.write_all(b"bye").await.unwrap();
            peer.shutdown().await.unwrap();
            peer
        })
        .await;
        assert_eq!(answer.unwrap(), Answer { bytes: 3, ended: Ended::Closed });
        assert_eq!(shown, b"bye");
    }

    #[tokio::test(start_paused = true)]
    async fn enough_is_enough() {
        let (answer, shown) = talk(b"x", Listening { bytes_max: 4, ..LISTENING }, |mut peer| async {
            peer.write_all(b"123456").await.unwrap();
            peer
        })
        .await;
        assert_eq!(answer.unwrap(), Answer { bytes: 4, ended: Ended::Enough });
        assert_eq!(shown, b"1234");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_is_told_by_how() {
        let start = Instant::now();
        let (silent, _) = talk(b"x", LISTENING, async |peer| peer).await;
        assert!(matches!(silent, Err(ClientError::Peer(PeerError::Silent(_)))), "{silent:?}");
        assert_eq!(start.elapsed(), PATIENCE);
        let (closed, _) = talk(b"x", LISTENING, |mut peer| async {
            peer.shutdown().await.unwrap();
            peer
        })
        .await;
        assert!(matches!(closed, Err(ClientError::Peer(PeerError::Closed(_)))), "{closed:?}");
        let (stalled, _) = talk(&[0; 1 << 20], LISTENING, async |peer| peer).await;
        assert!(matches!(stalled, Err(ClientError::Peer(PeerError::Stalled(_)))), "{stalled:?}");
    }
}
