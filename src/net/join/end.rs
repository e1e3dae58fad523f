//! A connection as a join sees it: something that is read and written until it is not ready.

use std::{
    io,
    net::Shutdown,
    pin::Pin,
    task::{Context, Poll, ready},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// One end of a join. What is pending goes on when the system says that the connection is ready.
pub(in crate::net) trait End {
    /// Reads some bytes; none at the end.
    ///
    /// # Errors
    /// The connection's.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes some bytes.
    ///
    /// # Errors
    /// The connection's.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Waits until there may be something to read.
    ///
    /// # Errors
    /// The connection's.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether urgent data came (RFC 6093): reads stop short of it, and it is carried like all other.
    fn has_urgent(&self) -> bool {
        false
    }

    /// Is told, once, that it will be given bulk.
    fn expect_bulk(&self) {}

    /// Tries something that takes bytes out of the connection.
    ///
    /// # Errors
    /// Those of the attempt, but for those that say that the connection is not ready.
    #[cfg(target_os = "linux")]
    fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        attempt: impl FnMut(std::os::fd::BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>>;

    /// Tries something that puts bytes into the connection.
    ///
    /// # Errors
    /// Those of the attempt, but for those that say that the connection is not ready.
    #[cfg(target_os = "linux")]
    fn poll_put(
        &mut self,
        cx: &mut Context<'_>,
        attempt: impl FnMut(std::os::fd::BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>>;

    /// Says that nothing more will be written.
    ///
    /// # Errors
    /// The connection's.
    fn finish(&self) -> io::Result<()>;
}

impl End for TcpStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut read = ReadBuf::new(buffer);
        ready!(AsyncRead::poll_read(Pin::new(self), cx, &mut read))?;
        Poll::Ready(Ok(read.filled().len()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(self), cx, bytes)
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    #[cfg(target_os = "linux")]
    fn expect_bulk(&self) {
        crate::net::unpaced::unpace(&SockRef::from(self));
    }

    #[cfg(target_os = "linux")]
    fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(std::os::fd::BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        use std::os::fd::AsFd;

        loop {
            ready!(self.poll_read_ready(cx))?;
            match self.try_io(tokio::io::Interest::READABLE, || attempt(self.as_fd())) {
                // It was noted that the socket is not ready, and the next look registers for it.
                Err(error) if is_transient(&error) => {}
                result => return Poll::Ready(result),
            }
        }
    }

    #[cfg(target_os = "linux")]
    fn poll_put(
        &mut self,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(std::os::fd::BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        use std::os::fd::AsFd;

        loop {
            ready!(self.poll_write_ready(cx))?;
            match self.try_io(tokio::io::Interest::WRITABLE, || attempt(self.as_fd())) {
                Err(error) if is_transient(&error) => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn finish(&self) -> io::Result<()> {
        SockRef::from(self).shutdown(Shutdown::Write)
    }
}

/// Whether an attempt is to be made again, at once or when the connection is ready.
#[cfg(target_os = "linux")]
pub(in crate::net) fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
