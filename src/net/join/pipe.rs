//! The kernel's own buffer between two connections: `splice(2)` moves bytes through it and they never enter this program.
//!
//! Some systems do not have that call, or do not let this program use it: gVisor, a container's seccomp profile, an old kernel. The first
//! failure shows it, and from then on there are no pipes.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use rustix::{
    buffer::spare_capacity,
    io::Errno,
    pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with},
};

use tracing::debug;

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

/// The system has shown that it does not splice.
#[cfg(not(test))]
static IS_USELESS: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// How many pipes there are.
pub(super) fn count() -> usize {
    PIPES.load(Relaxed)
}

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
        if is_useless() {
            return None;
        }
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

    /// Moves what the connection has received into the empty pipe; 0 at its end. `None`: the system does not do that, and nothing was
    /// taken.
    pub(super) fn fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl End,
    ) -> Poll<io::Result<Option<usize>>> {
        let result =
            ready!(from.poll_take(cx, |from| splice(from, self.input.as_fd(), CAPACITY_BYTES, Leg::In)));
        let moved = unless_useless(result)?;
        self.bytes += moved.unwrap_or(0);
        Poll::Ready(Ok(moved))
    }

    /// Moves what is in the pipe on to the connection, as much as it takes. `None`: the system does not do that, and everything is
    /// where it was.
    pub(super) fn drain(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut impl End,
    ) -> Poll<io::Result<Option<usize>>> {
        let result = ready!(to.poll_put(cx, |to| splice(self.output.as_fd(), to, self.bytes, Leg::Out)));
        let moved = unless_useless(result)?;
        if moved == Some(0) {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.bytes -= moved.unwrap_or(0);
        Poll::Ready(Ok(moved))
    }

    /// What is in the pipe, read out of it.
    ///
    /// # Errors
    /// The system does not give it.
    pub(super) fn into_bytes(mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.bytes);
        while self.bytes > 0 {
            let n = rustix::io::retry_on_intr(|| rustix::io::read(&self.output, spare_capacity(&mut bytes)))?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.bytes -= n.min(self.bytes);
        }
        Ok(bytes)
    }
}

/// Where bytes are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leg {
    /// Into a pipe.
    In,
    /// Out of one.
    Out,
}

fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, bytes: usize, leg: Leg) -> io::Result<usize> {
    #[cfg(test)]
    if let Some(error) = failing::next(leg) {
        return Err(error);
    }
    let _ = leg;
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    Ok(rustix::pipe::splice(from, None, to, None, bytes, flags)?)
}

/// Tells a system that does not splice, or has no memory for it now, from a connection that has broken. In the former case no byte was
/// moved, and other ways are open.
fn unless_useless(result: io::Result<usize>) -> io::Result<Option<usize>> {
    let error = match result {
        Ok(moved) => return Ok(Some(moved)),
        Err(error) => error,
    };
    match Errno::from_io_error(&error) {
        Some(Errno::NOMEM) => Ok(None),
        Some(Errno::NOSYS | Errno::PERM | Errno::ACCESS | Errno::INVAL | Errno::OPNOTSUPP) => {
            if !set_useless() {
                debug!(%error, "the system does not splice; bulk is copied");
                // Nobody takes them any more.
                IDLE.lock().unwrap_or_else(PoisonError::into_inner).clear();
            }
            Ok(None)
        }
        _ => Err(error),
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        PIPES.fetch_sub(1, Relaxed);
    }
}

#[cfg(not(test))]
fn is_useless() -> bool {
    IS_USELESS.load(Relaxed)
}

/// Gives what was known before.
#[cfg(not(test))]
fn set_useless() -> bool {
    IS_USELESS.swap(true, Relaxed)
}

#[cfg(test)]
use failing::{is_useless, set_useless};

/// Calls that fail, and what is known from that, in each thread: other tests run beside.
#[cfg(test)]
pub(in crate::net) mod failing {
    use std::{cell::Cell, io};

    use super::Leg;

    /// After so many calls of a leg, all of its calls fail with this error, in this thread.
    type Rule = Option<(Leg, usize, i32)>;

    thread_local! {
        static RULE: Cell<Rule> = const { Cell::new(None) };
        static IS_USELESS: Cell<bool> = const { Cell::new(false) };
    }

    /// From its call number `nth` on, counted from 0, splicing into a pipe or out of one fails.
    pub(in crate::net) fn from(out: bool, nth: usize, errno: i32) {
        RULE.set(Some((if out { Leg::Out } else { Leg::In }, nth, errno)));
    }

    /// As if nothing had failed.
    pub(in crate::net) fn never() {
        RULE.set(None);
        IS_USELESS.set(false);
    }

    pub(super) fn is_useless() -> bool {
        IS_USELESS.get()
    }

    pub(super) fn set_useless() -> bool {
        IS_USELESS.replace(true)
    }

    pub(super) fn next(leg: Leg) -> Option<io::Error> {
        let (failing, left, errno) = RULE.get()?;
        if failing != leg {
            return None;
        }
        RULE.set(Some((failing, left.saturating_sub(1), errno)));
        (left == 0).then(|| io::Error::from_raw_os_error(errno))
    }
}
