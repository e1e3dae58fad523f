//! Sending a file and reading what the server says about it.

mod exchange;
mod outgoing;

use tokio::io::AsyncRead;

use self::{
    exchange::{exchange, is_refusal},
    outgoing::Outgoing,
};
use super::{ClientError, Connection, PeerError, Preview, files::hex};

/// How many hexadecimal digits a SHA-256 has.
const SHA256_DIGITS: usize = 64;

/// What the server said about a file that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// Its line, escaped.
    pub line: String,
    /// Whether it names the SHA-256 of what was sent. A server that names none may still have it.
    pub is_verified: bool,
}

/// Sends `size` bytes of `file` under `name`; `on_progress` hears how many of them were sent so far. An error that the server reports
/// early ends the sending.
///
/// # Errors
/// [`ClientError::Refused`] with the server's words, [`ClientError::File`] also when the file ends early,
/// [`PeerError::Malformed`] when the server has got other bytes, and what the connection reports.
pub async fn upload(
    connection: &mut Connection,
    name: &[u8],
    size: u64,
    file: impl AsyncRead + Unpin,
    on_progress: impl FnMut(u64),
) -> Result<Confirmation, ClientError> {
    let mut outgoing = Outgoing::new(name, size, file);
    let answer = exchange(connection, &mut outgoing, on_progress).await?;
    judge(&answer, outgoing)
}

/// What the answer means for a file that was sent.
fn judge<F: AsyncRead + Unpin>(answer: &[u8], outgoing: Outgoing<F>) -> Result<Confirmation, ClientError> {
    let first = answer.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
    let line = Preview(first).to_string();
    if is_refusal(answer) {
        return Err(ClientError::Refused(line));
    }
    if !outgoing.is_sent() {
        return Err(PeerError::Closed("the file").into());
    }
    if first.is_empty() {
        return Err(PeerError::Closed("an answer").into());
    }
    let ours = hex(outgoing.into_hash().as_ref());
    let theirs = first
        .split(|byte| !byte.is_ascii_hexdigit())
        .find(|word| word.len() == SHA256_DIGITS)
        .map(|word| String::from_utf8_lossy(word).to_ascii_lowercase());
    match theirs {
        Some(theirs) if theirs != ours => Err(PeerError::Malformed(format!(
            "the SHA-256 {theirs} for a file whose SHA-256 is {ours}: it has other bytes than were sent"
        ))
        .into()),
        theirs => Ok(Confirmation { line, is_verified: theirs.is_some() }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;
    use crate::lab::testing::pair;

    const HELLO_SHA256: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    pub(super) async fn send(
        size: u64,
        file: &[u8],
        server: impl AsyncFnOnce(&mut DuplexStream),
    ) -> Result<Confirmation, ClientError> {
        let (mut connection, mut peer) = pair(Duration::from_secs(5));
        let serve = async {
            server(&mut peer).await;
            peer
        };
        let (result, _peer) = tokio::join!(upload(&mut connection, b"a.txt", size, file, |_| {}), serve);
        result
    }

    pub(super) async fn receive(peer: &mut DuplexStream, bytes: usize) {
        peer.read_exact(&mut vec![0; bytes]).await.unwrap();
    }

    /// `a.txt`, its line feed, the size, `hello`.
    pub(super) const HELLO_BYTES: usize = 6 + 8 + 5;

    #[tokio::test(start_paused = true)]
    async fn a_confirmation_may_name_the_hash_and_must_not_name_another() {
        for (said, is_verified) in [
            (format!("received a.txt: 5 bytes, sha256 {HELLO_SHA256}\n"), true),
            (format!("OK {}", HELLO_SHA256.to_uppercase()), true),
            ("File received\n".to_owned(), false),
            ("error.txt is stored\n".to_owned(), false),
        ] {
            let confirmation = send(5, b"hello", async |peer| {
                receive(peer, HELLO_BYTES).await;
                peer.write_all(said.as_bytes()).await.unwrap();
            })
            .await
            .unwrap();
            assert_eq!(confirmation, Confirmation { line: said.trim().to_owned(), is_verified });
        }
        let other = send(5, b"hello", async |peer| {
            receive(peer, HELLO_BYTES).await;
            peer.write_all(format!("OK {}\n", "0".repeat(64)).as_bytes()).await.unwrap();
        })
        .await;
        assert!(matches!(other, Err(ClientError::Peer(PeerError::Malformed(_)))), "{other:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_ends_the_sending() {
        let big = vec![0; 10 << 20];
        let refused = send(10 << 20, &big, async |peer| {
            peer.write_all(b"error: no\x1b[2J room\n").await.unwrap();
        })
        .await;
        assert!(matches!(&refused, Err(ClientError::Refused(line)) if line == "error: no\\u{1b}[2J room"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_without_a_word_is_not_a_confirmation() {
        let closed = send(5, b"hello", async |peer| {
            receive(peer, HELLO_BYTES).await;
            peer.shutdown().await.unwrap();
        })
        .await;
        assert!(matches!(closed, Err(ClientError::Peer(PeerError::Closed("an answer")))), "{closed:?}");
        let silent = send(5, b"hello", async |peer| receive(peer, HELLO_BYTES).await).await;
        assert!(matches!(silent, Err(ClientError::Peer(PeerError::Silent(_)))), "{silent:?}");
        let stalled = send(1 << 20, &vec![0; 1 << 20], async |_| {}).await;
        assert!(matches!(stalled, Err(ClientError::Peer(PeerError::Stalled(_)))), "{stalled:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_became_shorter_is_not_sent_as_whole() {
        let shorter = send(6, b"hello", async |peer| receive(peer, HELLO_BYTES).await).await;
        assert!(matches!(shorter, Err(ClientError::File(_))), "{shorter:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn progress_counts_the_file_alone() {
        let (mut connection, mut peer) = pair(Duration::from_secs(5));
        peer.write_all(b"fine\n").await.unwrap();
        let mut seen = Vec::new();
        let data = vec![0; 40_000];
        upload(&mut connection, b"a.txt", 40_000, data.as_slice(), |n| seen.push(n)).await.unwrap();
        assert_eq!(seen.first(), Some(&0), "the header is not progress");
        assert_eq!(seen.last(), Some(&40_000));
    }
}
