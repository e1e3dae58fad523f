//! One direction of an emulated connection: from a reader through a line to a writer.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, sleep_until, timeout},
};

use super::{line::Line, traffic::Traffic};

/// How long a receiver may take no byte at all before the connection is given up.
const STALL_LIMIT: Duration = Duration::from_secs(300);

/// Which end of the direction failed.
#[derive(Debug)]
pub(super) enum Broken {
    Reader(io::Error),
    Writer(io::Error),
}

/// Takes everything from `reader` to `writer`, its end included, and counts it in `traffic`.
pub(super) async fn pump(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    mut line: Line,
    traffic: &Traffic,
) -> Result<(), Broken> {
    let mut buffer = vec![0; line.piece_max()];
    let mut is_open = true;
    loop {
        let room = line.room();
        tokio::select! {
            read = reader.read(&mut buffer[..room]), if is_open && room > 0 => {
                let n = read.map_err(Broken::Reader)?;
                is_open = n > 0;
                line.put(Instant::now(), &buffer[..n]);
                traffic.put();
            }
            taken = deliver(&mut writer, &line) => match taken.map_err(Broken::Writer)? {
                0 => {
                    traffic.brought();
                    return Ok(());
                }
                n => if line.take(n) {
                    traffic.brought();
                },
            },
        }
    }
}

/// Writes some of what is due next; 0 when that was the end. Can be dropped at any wait without losing a byte.
async fn deliver(writer: &mut (impl AsyncWrite + Unpin), line: &Line) -> io::Result<usize> {
    let Some((due, bytes)) = line.head() else {
        // Nothing is on the way; only the reader can change that.
        return std::future::pending().await;
    };
    sleep_until(due).await;
    let write = async {
        if bytes.is_empty() {
            writer.shutdown().await?;
            return Ok(0);
        }
        match writer.write(bytes).await? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            n => {
                writer.flush().await?;
                Ok(n)
            }
        }
    };
    timeout(STALL_LIMIT, write).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
