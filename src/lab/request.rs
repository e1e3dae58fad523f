//! One exchange of length-prefixed JSON.

use serde_json::Value;

use super::{
    ClientError, Connection, PeerError,
    frame::{framed, read_body, read_length},
};

/// Sends `request`, which is taken to be JSON, and returns the answer, which is JSON of at most `bytes_max` bytes.
///
/// # Errors
/// [`PeerError::Malformed`] when the answer is no JSON, [`PeerError::TooLarge`] when it is announced to be larger,
/// [`PeerError::Unfinished`] when it comes in drops, and what [`Connection::read`] and [`Connection::write_all`] report.
pub async fn request(
    connection: &mut Connection,
    request: &[u8],
    bytes_max: usize,
) -> Result<Vec<u8>, ClientError> {
    connection.write_all(&framed(request)?).await?;
    connection.limit_answer();
    let length = read_length(connection, None).await?.ok_or(PeerError::Closed("an answer"))?;
    let answer = read_body(connection, length, bytes_max).await?;
    match serde_json::from_slice::<Value>(&answer) {
        Ok(_) => Ok(answer),
        Err(error) => Err(PeerError::Malformed(format!("an answer that is not JSON ({error})")).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::AsyncWriteExt,
        time::{Instant, sleep},
    };

    use super::*;
    use crate::lab::testing::pair;

    async fn answered(bytes: &[u8]) -> Result<Vec<u8>, ClientError> {
        let (mut connection, mut peer) = pair(Duration::from_secs(5));
        peer.write_all(bytes).await.unwrap();
        peer.shutdown().await.unwrap();
        request(&mut connection, b"{}", 64).await
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_json_or_an_error() {
        assert_eq!(answered(b"\0\0\0\x07{\"a\":1}").await.unwrap(), b"{\"a\":1}");
        for (bytes, wanted) in [
            (&b""[..], "closed the connection before an answer"),
            (b"\0\0", "before the length of a frame"),
            (b"\0\0\0\x05{}", "before a frame"),
            (b"\0\0\0\x02{]", "not JSON"),
            (b"\0\0\0\0", "not JSON"),
            (b"\xff\xff\xff\xff", "announced 4294967295 bytes"),
            (b"HTTP/1.1 400 Bad Request", "announced 1213486160 bytes"),
        ] {
            let error = answered(bytes).await.unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    /// The answer of a server that announces `length` bytes and sends them in pieces of `piece`, one each `gap`, and how long it took.
    async fn dripped(length: u32, piece: usize, gap: Duration) -> (Result<Vec<u8>, ClientError>, Duration) {
        let (mut connection, mut peer) = pair(Duration::from_secs(5));
        let start = Instant::now();
        let drip = async {
            peer.write_all(&length.to_be_bytes()).await.unwrap();
            peer.write_all(b"1").await.unwrap();
            while peer.write_all(&b" ".repeat(piece)).await.is_ok() {
                sleep(gap).await;
            }
        };
        let answer = tokio::select! {
            answer = request(&mut connection, b"{}", 16 << 20) => answer,
            () = drip => unreachable!(),
        };
        (answer, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_drops_is_left_and_one_that_is_slow_is_not() {
        // 2,500 bytes in a minute are worth two seconds more, and those bring another hundred bytes.
        for (piece, gap_ms, seconds) in [(1, 4900, 60), (1, 24, 62)] {
            let (left, took) = dripped(16 << 20, piece, Duration::from_millis(gap_ms)).await;
            let left = left.unwrap_err().to_string();
            assert_eq!(left, format!("the server was still sending its answer after {seconds}s"));
            assert_eq!(took.as_secs(), seconds);
        }
        // 9,600 bit/s, for three minutes.
        let (whole, took) = dripped(216_000, 1200, Duration::from_secs(1)).await;
        assert_eq!((whole.unwrap().len(), took.as_secs()), (216_000, 179));
        let (silent, took) = dripped(10, 1, Duration::from_secs(6)).await;
        assert!(matches!(silent, Err(ClientError::Peer(PeerError::Silent(_)))), "{silent:?}");
        assert_eq!(took.as_secs(), 5);
    }
}
