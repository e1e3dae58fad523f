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

use super::end::End;

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
    pub(super) fn fill(&mut self, cx: &mut Context<'_>, from: &mut impl End) -> Poll<io::Result<usize>> {
        let n = ready!(from.poll_take(cx, |from| Ok(splice(
            from,
            None,
            &self.input,
            None,
            CAPACITY_BYTES,
            flags()
        )?)))?;
        self.bytes += n;
        Poll::Ready(Ok(n))
    }

    /// Moves what is in the pipe on to the connection, as much as it takes.
    pub(super) fn drain(&mut self, cx: &mut Context<'_>, to: &mut impl End) -> Poll<io::Result<usize>> {
        let n = ready!(to.poll_put(cx, |to| Ok(splice(&self.output, None, to, None, self.bytes, flags())?)))?;
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.bytes -= n;
        Poll::Ready(Ok(n))
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
