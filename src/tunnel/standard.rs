//! A stream on standard input and output, as `ssh -o ProxyCommand` wants it.

use std::{io, net::Shutdown};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, stdin, stdout},
    net::TcpStream,
    time::interval,
};

use super::stream::UNANSWERED_MAX;
use crate::net::{Silence, look_every, read_some, settle, unanswered, write_all};

/// Read at once, from either side.
const READ_BYTES: usize = 64 << 10;

/// How a stream on standard input and output ends before its time.
#[derive(Debug, thiserror::Error)]
pub enum StandardError {
    /// The relay, or the exposer behind it.
    #[error("{0}")]
    Stream(io::Error),
    /// Whoever reads standard output.
    #[error("standard output cannot be written: {0}")]
    Output(io::Error),
}

/// Sends standard input to the stream and the stream to standard output. Ends when the stream does: whoever holds the other end of
/// standard input may never close it.
///
/// # Errors
/// The stream broke, or standard output cannot be written.
pub async fn join_standard(stream: TcpStream, received: Vec<u8>) -> Result<(), StandardError> {
    use StandardError::{Output, Stream};
    let mut output = stdout();
    let sending = async {
        let mut input = stdin();
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let n = input.read(&mut buffer).await?;
            if n == 0 {
                return SockRef::from(&stream).shutdown(Shutdown::Write);
            }
            write_all(&stream, &buffer[..n]).await?;
        }
    };
    let receiving = async {
        let mut received = received;
        loop {
            output.write_all(&received).await.map_err(Output)?;
            // What comes next may be long in coming.
            output.flush().await.map_err(Output)?;
            received.resize(READ_BYTES, 0);
            let n = read_some(&stream, &mut received).await.map_err(Stream)?;
            if n == 0 {
                return Ok(());
            }
            received.truncate(n);
        }
    };
    tokio::pin!(sending, receiving);
    let mut is_sending = true;
    let mut silence = Silence::new();
    let mut looks = interval(look_every(UNANSWERED_MAX));
    loop {
        tokio::select! {
            _ = looks.tick() => {
                if silence.lasts(&stream).is_some_and(|time| time >= UNANSWERED_MAX) {
                    return Err(Stream(unanswered()));
                }
            }
            result = &mut receiving => {
                if result.is_ok() {
                    // What was sent last may still be on its way.
                    settle(&stream);
                }
                return result;
            }
            // A stream that no longer takes anything may still have something to say; how it ended, receiving finds out.
            _ = &mut sending, if is_sending => is_sending = false,
        }
    }
}
