//! The exchange of an upload: a file one way, one line the other.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, split},
    time::{Instant, sleep, timeout},
};

use super::outgoing::Outgoing;
use crate::lab::{ClientError, Connection, PeerError};

/// The longest answer.
const ANSWER_BYTES_MAX: usize = 4096;

/// An answer without an end of line is complete after so long a silence.
const ANSWER_PAUSE: Duration = Duration::from_millis(500);

/// Sends, and reads meanwhile: the server may have a reason not to want the rest. Returns what it said.
///
/// The file may take any time, as long as the server goes on taking it, whatever it says meanwhile. Its answer then has the patience and a
/// pause, from the first byte on.
pub(super) async fn exchange<F: AsyncRead + Unpin>(
    connection: &mut Connection,
    outgoing: &mut Outgoing<F>,
    mut on_progress: impl FnMut(u64),
) -> Result<Vec<u8>, ClientError> {
    let patience = connection.patience();
    let (mut reader, mut writer) = split(connection.stream());
    let longest = patience.saturating_add(ANSWER_PAUSE);
    let mut answer = Vec::new();
    let mut piece = [0; 512];
    // When it last took something, and since when it speaks with nothing more to be sent.
    let (mut last_taken, mut answering) = (Instant::now(), None::<Instant>);
    loop {
        if outgoing.refill().await? {
            // However long the disk has taken is not the server's fault.
            last_taken = Instant::now();
        }
        let is_sent = outgoing.is_sent();
        let has_line = answer.contains(&b'\n') || answer.len() > ANSWER_BYTES_MAX;
        if has_line && (is_sent || is_refusal(&answer)) || answer.len() > ANSWER_BYTES_MAX {
            return Ok(answer);
        }
        let wait = match answering {
            Some(began) => ANSWER_PAUSE.min(longest.saturating_sub(began.elapsed())),
            None => patience.saturating_sub(last_taken.elapsed()),
        };
        tokio::select! {
            read = reader.read(&mut piece) => match read {
                Ok(0) => return Ok(answer),
                // It has said why before it gave up.
                Err(_) if is_refusal(&answer) => return Ok(answer),
                Err(error) => return Err(PeerError::from(error).into()),
                Ok(n) => {
                    answer.extend_from_slice(&piece[..n]);
                    if is_sent {
                        answering.get_or_insert_with(Instant::now);
                    }
                }
            },
            written = writer.write(outgoing.unsent()), if !is_sent => match written {
                Ok(n) if n > 0 => {
                    outgoing.advance(n);
                    last_taken = Instant::now();
                    on_progress(outgoing.progress());
                }
                _ => {
                    // It has closed its receiving side; what it said before may tell why.
                    let rest = async {
                        while let Ok(n @ 1..) = reader.read(&mut piece).await {
                            answer.extend_from_slice(&piece[..n]);
                            if answer.contains(&b'\n') || answer.len() > ANSWER_BYTES_MAX {
                                break;
                            }
                        }
                    };
                    // What has come until then has to do.
                    let _ = timeout(longest, rest).await;
                    return if is_refusal(&answer) { Ok(answer) } else { Err(PeerError::Reset.into()) };
                }
            },
            () = sleep(wait) => {
                return match answering {
                    // Without an end of line, but clear enough.
                    _ if is_refusal(&answer) => Ok(answer),
                    Some(_) if wait < ANSWER_PAUSE => {
                        Err(PeerError::Unfinished("sending its answer", longest).into())
                    }
                    Some(_) => Ok(answer),
                    // It has spoken before it had everything, and that was all.
                    None if is_sent && !answer.is_empty() => Ok(answer),
                    None if is_sent => Err(PeerError::Silent(patience).into()),
                    None => Err(PeerError::Stalled(patience).into()),
                };
            }
        }
    }
}

/// Whether the answer begins with the word; `errors.txt received` does not.
pub(super) fn is_refusal(answer: &[u8]) -> bool {
    let Some((word, rest)) = answer.split_at_checked(5) else { return false };
    let is_word =
        rest.first().is_none_or(|next| next.is_ascii_whitespace() || matches!(next, b':' | b'!' | b','));
    word.eq_ignore_ascii_case(b"error") && is_word
}

#[cfg(test)]
mod tests {
    use tokio::io::DuplexStream;

    use super::{
        super::{
            tests::{HELLO_BYTES, receive, send},
            upload,
        },
        *,
    };
    use crate::lab::testing::pair;

    /// A server that takes `taken` bytes and from then on drips, always before a pause or the patience ends.
    async fn drip(peer: &mut DuplexStream, taken: usize, words: &[u8]) {
        receive(peer, taken).await;
        for byte in words.iter().chain(std::iter::repeat(&b'.')) {
            if peer.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(400)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_drips_without_end_is_left() {
        let big = vec![0; 1 << 20];
        for (file, taken, words, wanted) in [
            (&b"hello"[..], HELLO_BYTES, "", "the server was still sending its answer after 5.5s"),
            (&big, 0, "", "the server took nothing for 5s"),
            (&big, 0, "ERROR:", "the server answered: ERROR:......."),
            (b"hello", HELLO_BYTES, "ERROR:", "the server answered: ERROR:........"),
        ] {
            let (mut connection, mut peer) = pair(Duration::from_secs(5));
            let start = Instant::now();
            let size = file.len() as u64;
            let left = tokio::select! {
                sent = upload(&mut connection, b"a.txt", size, file, |_| {}) => sent.unwrap_err(),
                () = drip(&mut peer, taken, words.as_bytes()) => unreachable!(),
            };
            assert_eq!(left.to_string(), wanted);
            assert!(start.elapsed() <= Duration::from_millis(5500), "{:?}", start.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_may_take_any_time_and_its_answer_some_after_it() {
        let start = Instant::now();
        let file = vec![0; 1 << 20];
        let slow = send(1 << 20, &file, async |peer| {
            peer.write_all(b"fi").await.unwrap();
            let mut rest = HELLO_BYTES - 5 + (1 << 20);
            while rest > 0 {
                // What the connection itself holds is sent, as far as the client can tell.
                let is_sent = rest <= 64 << 10;
                sleep(Duration::from_secs(if is_sent { 1 } else { 4 })).await;
                let piece = rest.min(16 << 10);
                receive(peer, piece).await;
                rest -= piece;
            }
            for said in [b"n", b"e"] {
                sleep(Duration::from_millis(400)).await;
                peer.write_all(said).await.unwrap();
            }
        });
        assert_eq!(slow.await.unwrap().line, "fine");
        assert!(start.elapsed() > Duration::from_secs(240));
    }
}
