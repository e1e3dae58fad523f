//! One direction of an emulated connection: from a reader through a line to a writer.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, sleep_until, timeout},
};

use super::{line::Line, traffic::Traffic};

/// Why a direction ended before its end.
#[derive(Debug)]
pub(super) enum Broken {
    /// The receiver took nothing for too long.
    Stalled,
    /// One of the streams failed.
    Failed(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Takes everything from `reader` to `writer`, its end included, and counts it in `traffic`. For what has arrived the writer has
/// `patience`, which begins anew with whatever it takes, but not with what the reader brings.
pub(super) async fn pump(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    mut line: Line,
    patience: Duration,
    traffic: &Traffic,
) -> Result<(), Broken> {
    let mut buffer = vec![0; line.piece_max()];
    let mut is_open = true;
    let mut last_taken = Instant::now();
    loop {
        let room = line.room();
        tokio::select! {
            read = reader.read(&mut buffer[..room]), if is_open && room > 0 => {
                let n = read?;
                is_open = n > 0;
                line.put(Instant::now(), &buffer[..n]);
                traffic.put();
            }
            taken = deliver(&mut writer, &line, patience, last_taken) => match taken? {
                0 => {
                    traffic.brought();
                    return Ok(());
                }
                n => {
                    last_taken = Instant::now();
                    if line.take(n) {
                        traffic.brought();
                    }
                }
            },
        }
    }
}

/// Writes some of what is due next; 0 when that was the end. Can be dropped at any wait without losing a byte.
async fn deliver(
    writer: &mut (impl AsyncWrite + Unpin),
    line: &Line,
    patience: Duration,
    last_taken: Instant,
) -> Result<usize, Broken> {
    let Some((due, bytes)) = line.head() else {
        // Nothing is on the way; only the reader can change that.
        return std::future::pending().await;
    };
    sleep_until(due).await;
    let write = async {
        if bytes.is_empty() {
            writer.shutdown().await?;
            return Ok::<_, io::Error>(0);
        }
        match writer.write(bytes).await? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            n => {
                writer.flush().await?;
                Ok(n)
            }
        }
    };
    let left = patience.saturating_sub(due.max(last_taken).elapsed());
    Ok(timeout(left, write).await.map_err(|_| Broken::Stalled)??)
}
