//! A connection as a join sees it: something that is read and written until it is not ready.

use std::{
    io,
    net::Shutdown,
    pin::Pin,
    task::{Context, Poll, ready},
};

use socket2::SockRef;
use tokio::{io::AsyncWrite, net::TcpStream};

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

    /// Whether bulk may go through a pipe now. Only one that says so is asked for what follows.
    fn may_splice(&self) -> bool {
        false
    }

    /// Is told, once, that it will be given bulk.
    fn expect_bulk(&self) {}

    /// Waits until there may be something to read.
    ///
    /// # Errors
    /// The connection's.
    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Tries something that takes bytes out of the connection.
    ///
    /// # Errors
    /// Those of the attempt, but for those that say that the connection is not ready.
    #[cfg(target_os = "linux")]
    fn poll_take(
        &mut self,
        _: &mut Context<'_>,
        _attempt: impl FnMut(std::os::fd::BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// Tries something that puts bytes into the connection.
    ///
    /// # Errors
    /// Those of the attempt, but for those that say that the connection is not ready.
    #[cfg(target_os = "linux")]
    fn poll_put(
        &mut self,
        _: &mut Context<'_>,
        _attempt: impl FnMut(std::os::fd::BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// Says that nothing more will be written.
    ///
    /// # Errors
    /// The connection's.
    fn finish(&self) -> io::Result<()>;
}

impl End for TcpStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_read_ready(cx))?;
            // Not by `AsyncRead`, which takes a short read for the last: one ends before urgent data too.
            match self.try_read(buffer) {
                Err(error) if is_transient(&error) => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(self), cx, bytes)
    }

    fn finish(&self) -> io::Result<()> {
        SockRef::from(self).shutdown(Shutdown::Write)
    }
}

/// Whether an attempt is to be made again, at once or when the connection is ready.
pub(in crate::net) fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
