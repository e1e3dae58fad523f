//! One exchange of length-prefixed JSON.

use serde_json::Value;

use super::{
    ClientError, Connection, PeerError,
    frame::{framed, read_body, read_length},
};

/// Sends `request`, which is taken to be JSON, and returns the answer, which is JSON of at most `bytes_max` bytes.
///
/// # Errors
/// [`PeerError::Malformed`] when the answer is no JSON, [`PeerError::TooLarge`] when it is announced to be larger, and what
/// [`Connection::read`] and [`Connection::write_all`] report.
pub async fn request(
    connection: &mut Connection,
    request: &[u8],
    bytes_max: usize,
) -> Result<Vec<u8>, ClientError> {
    connection.write_all(&framed(request)?).await?;
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

    use tokio::io::AsyncWriteExt;

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
}
