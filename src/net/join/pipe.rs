//! The kernel's own buffer between two connections: `splice(2)` moves bytes through it and they never enter this program.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::{io::Interest, net::TcpStream};

/// What a pipe is asked to hold. Linux lets every user have pipes of this size (`fs.pipe-max-size`), some 64 of them at once
/// (`fs.pipe-user-pages-soft`).
const CAPACITY_BYTES: usize = 1 << 20;

/// A pipe that got less than this from the system is not worth having.
const CAPACITY_BYTES_MIN: usize = 64 << 10;

/// Pipes at once in this process, each two descriptors and, with a reader that stalls, its capacity of kernel memory.
const PIPES_MAX: usize = 128;

/// Empty pipes kept for reuse.
const IDLE_MAX: usize = 16;

/// Pipes that exist.
static PIPES: AtomicUsize = AtomicUsize::new(0);

static IDLE: Mutex<Vec<Pipe>> = Mutex::new(Vec::new());

/// A pipe and how much is in it.
#[derive(Debug)]
pub(super) struct Pipe {
    input: OwnedFd,
    output: OwnedFd,
    bytes: usize,
}

impl Pipe {
    /// An empty pipe, unless the system or this process has too many.
    pub(super) fn take() -> Option<Self> {
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.or_else(Self::create)
    }

    fn create() -> Option<Self> {
        if PIPES.fetch_add(1, Relaxed) >= PIPES_MAX {
            PIPES.fetch_sub(1, Relaxed);
            return None;
        }
        let Ok((output, input)) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) else {
            PIPES.fetch_sub(1, Relaxed);
            return None;
        };
        let pipe = Self { input, output, bytes: 0 };
        let capacity = fcntl_setpipe_size(&pipe.input, CAPACITY_BYTES)
            .or_else(|_| rustix::pipe::fcntl_getpipe_size(&pipe.input));
        capacity.is_ok_and(|bytes| bytes >= CAPACITY_BYTES_MIN).then_some(pipe)
    }

    /// Keeps the pipe for the next who needs one. One that is not empty is closed.
    pub(super) fn give_back(self) {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        if self.bytes == 0 && idle.len() < IDLE_MAX {
            idle.push(self);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Moves what the connection has received into the empty pipe; 0 at its end.
    pub(super) fn fill(&mut self, cx: &mut Context<'_>, from: &TcpStream) -> Poll<io::Result<usize>> {
        loop {
            ready!(from.poll_read_ready(cx))?;
            let moved = from.try_io(Interest::READABLE, || {
                Ok(splice(from, None, &self.input, None, CAPACITY_BYTES, flags())?)
            });
            match moved {
                Ok(n) => {
                    self.bytes += n;
                    return Poll::Ready(Ok(n));
                }
                Err(error) if is_transient(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Moves what is in the pipe on to the connection, as much as it takes.
    pub(super) fn drain(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<usize>> {
        loop {
            ready!(to.poll_write_ready(cx))?;
            let moved = to.try_io(Interest::WRITABLE, || {
                Ok(splice(&self.output, None, to, None, self.bytes, flags())?)
            });
            match moved {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => {
                    self.bytes -= n;
                    return Poll::Ready(Ok(n));
                }
                Err(error) if is_transient(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        PIPES.fetch_sub(1, Relaxed);
    }
}

fn flags() -> SpliceFlags {
    SpliceFlags::NONBLOCK | SpliceFlags::MOVE
}

/// `try_io` has noted that the socket is not ready, and the next look registers for it.
fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
