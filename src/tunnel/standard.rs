//! A stream on standard input and output, as `ssh -o ProxyCommand` wants it.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, stdin, stdout},
    net::TcpStream,
};

/// Read at once from standard input.
const READ_BYTES: usize = 64 << 10;

/// Sends standard input to the stream and the stream to standard output. Ends when the stream does: whoever holds the other end of
/// standard input may never close it.
///
/// # Errors
/// The stream broke, or standard output cannot be written.
pub async fn join_standard(stream: TcpStream, received: Vec<u8>) -> io::Result<()> {
    let (mut from, mut to) = stream.into_split();
    let mut output = stdout();
    let sending = async {
        let mut input = stdin();
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let n = input.read(&mut buffer).await?;
            if n == 0 {
                return to.shutdown().await;
            }
            to.write_all(&buffer[..n]).await?;
        }
    };
    let receiving = async {
        output.write_all(&received).await?;
        output.flush().await?;
        copy(&mut from, &mut output).await?;
        output.flush().await
    };
    tokio::pin!(sending, receiving);
    let mut is_sending = true;
    loop {
        tokio::select! {
            result = &mut receiving => return result,
            // A stream that no longer takes anything may still have something to say; how it ended, receiving finds out.
            _ = &mut sending, if is_sending => is_sending = false,
        }
    }
}
