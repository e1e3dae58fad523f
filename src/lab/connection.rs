//! A connection whose every wait ends: nobody can hold it by saying nothing or taking nothing.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf},
    net::TcpStream,
    time::timeout,
};

use super::{PeerError, Stop, pace::Pace};

/// How long a closing connection waits for the other side's next byte or end.
const LINGER_SILENCE: Duration = Duration::from_secs(1);

/// How long it takes in what the other side still sends.
const LINGER_MOST: Duration = Duration::from_secs(10);

/// Where the bytes go: to the network, or to an emulated one in memory.
#[derive(Debug)]
pub enum Stream {
    /// A real connection.
    Tcp(TcpStream),
    /// One end of a pipe in memory.
    Memory(DuplexStream),
}

/// A stream with a limit on every wait.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    peer: SocketAddr,
    patience: Duration,
    /// What holds for the bytes that come as a whole.
    pace: Option<Pace>,
}

impl Connection {
    /// A connection to `peer` that waits at most `patience` for each byte that is to come or to be taken.
    pub fn new(stream: Stream, peer: SocketAddr, patience: Duration) -> Self {
        Self { stream, peer, patience, pace: None }
    }

    /// The other side's address.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// How long it waits for each byte.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// The stream itself, for those who limit their waits otherwise.
    pub fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// What comes from now on is one answer, which is not to come in drops for ever: it has a time of its own, many times the patience,
    /// and more for as long as it comes at some rate.
    pub(super) fn limit_answer(&mut self) {
        self.pace = Some(Pace::new(self.patience));
    }

    /// Reads what there is; 0 is the end.
    ///
    /// # Errors
    /// [`PeerError`], [`PeerError::Silent`] among them.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PeerError> {
        let left = self.pace.as_ref().map_or(Duration::MAX, Pace::left);
        let Ok(read) = timeout(self.patience.min(left), self.stream.read(buffer)).await else {
            return Err(match &self.pace {
                Some(pace) if left < self.patience => {
                    PeerError::Unfinished("sending its answer", pace.allowed())
                }
                _ => PeerError::Silent(self.patience),
            });
        };
        let n = read?;
        if let Some(pace) = &mut self.pace {
            pace.came(n);
        }
        Ok(n)
    }

    /// The same between two messages, where a stopping server ends the conversation as the peer's own end would.
    ///
    /// # Errors
    /// As [`Connection::read`].
    pub async fn read_unless(&mut self, stop: &mut Stop, buffer: &mut [u8]) -> Result<usize, PeerError> {
        tokio::select! {
            biased;
            () = stop.requested() => Ok(0),
            read = self.read(buffer) => read,
        }
    }

    /// Writes all of `bytes`; each piece that is taken renews the patience.
    ///
    /// # Errors
    /// [`PeerError`], [`PeerError::Stalled`] among them.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), PeerError> {
        while !bytes.is_empty() {
            let n = match timeout(self.patience, self.stream.write(bytes)).await {
                Ok(written) => written?,
                Err(_) => return Err(PeerError::Stalled(self.patience)),
            };
            if n == 0 {
                return Err(PeerError::Reset);
            }
            bytes = bytes.get(n..).unwrap_or_default();
        }
        Ok(())
    }

    /// Ends the sending side and takes in what the other side still sends: closing with unread bytes would reset the connection, and
    /// the reset can overtake the last answer.
    pub async fn finish(&mut self) {
        if self.stream.shutdown().await.is_ok() {
            linger(&mut self.stream).await;
        }
    }
}

/// Discards what comes until the end, a second of silence or ten seconds in all.
pub(super) async fn linger(stream: &mut (impl AsyncRead + Unpin)) {
    let discard = async {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(Ok(1..)) = timeout(LINGER_SILENCE, stream.read(&mut buffer)).await {}
    };
    // The limit is the point; that it was reached is no news to anyone.
    let _ = timeout(LINGER_MOST, discard).await;
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Memory(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Memory(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Memory(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Memory(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::lab::testing::pair;

    #[tokio::test(start_paused = true)]
    async fn silence_and_a_full_stream_end_the_wait() {
        let (mut connection, _peer) = pair(Duration::from_secs(5));
        let start = Instant::now();
        let silent = connection.read(&mut [0; 8]).await;
        assert!(matches!(silent, Err(PeerError::Silent(_))), "{silent:?}");
        assert_eq!(start.elapsed().as_secs(), 5);
        let stalled = connection.write_all(&[0; 1 << 20]).await;
        assert!(matches!(stalled, Err(PeerError::Stalled(_))), "{stalled:?}");
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_wait_between_messages() {
        let (mut connection, _peer) = pair(Duration::from_secs(5));
        let (stopper, mut stop) = crate::lab::stop_channel();
        let start = Instant::now();
        stopper.stop();
        assert_eq!(connection.read_unless(&mut stop, &mut [0; 8]).await.unwrap(), 0);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn finishing_takes_in_what_still_comes_but_not_for_ever() {
        let (mut connection, mut peer) = pair(Duration::from_secs(5));
        let start = Instant::now();
        let chatter = async {
            while peer.write_all(b"and another thing").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::select! {
            () = connection.finish() => {}
            () = chatter => unreachable!(),
        }
        assert_eq!(start.elapsed().as_secs(), 10);
        let (mut connection, _silent) = pair(Duration::from_secs(5));
        connection.finish().await;
        assert_eq!(start.elapsed().as_secs(), 11);
    }
}
