//! The kernel's own buffer between two connections: `splice(2)` moves bytes through it and they never enter this program.
//!
//! Some systems do not have that call, or do not let this program use it: gVisor, a container's seccomp profile, an old kernel. The first
//! failure shows it, and from then on there are no pipes.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Mutex, MutexGuard, PoisonError,
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

/// Pipes, and how many there may be.
#[derive(Debug)]
struct Stock {
    count: AtomicUsize,
    idle: Mutex<Vec<Pipe>>,
    most: usize,
    idle_most: usize,
}

/// All pipes of this process.
static STOCK: Stock = Stock::new(PIPES_MAX, IDLE_MAX);

/// The system has shown that it does not splice.
#[cfg(not(test))]
static IS_USELESS: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// How many pipes there are.
pub(super) fn count() -> usize {
    STOCK.count.load(Relaxed)
}

/// A pipe and how much is in it.
#[derive(Debug)]
pub(super) struct Pipe {
    input: OwnedFd,
    output: OwnedFd,
    bytes: usize,
    stock: &'static Stock,
}

impl Stock {
    const fn new(most: usize, idle_most: usize) -> Self {
        Self { count: AtomicUsize::new(0), idle: Mutex::new(Vec::new()), most, idle_most }
    }

    fn take(&'static self) -> Option<Pipe> {
        // Not while the lock is held, which a pipe that is dropped may want.
        let idle = self.idle().pop();
        idle.or_else(|| self.create())
    }

    fn create(&'static self) -> Option<Pipe> {
        if self.count.fetch_add(1, Relaxed) >= self.most {
            self.count.fetch_sub(1, Relaxed);
            return None;
        }
        let Ok((output, input)) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) else {
            self.count.fetch_sub(1, Relaxed);
            return None;
        };
        // From here on dropping it counts it out.
        let pipe = Pipe { input, output, bytes: 0, stock: self };
        let capacity = fcntl_setpipe_size(&pipe.input, CAPACITY_BYTES)
            .or_else(|_| rustix::pipe::fcntl_getpipe_size(&pipe.input));
        capacity.is_ok_and(|bytes| bytes >= CAPACITY_BYTES_MIN).then_some(pipe)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Pipe>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipe {
    /// An empty pipe, unless the system or this process has too many.
    pub(super) fn take() -> Option<Self> {
        if is_useless() {
            return None;
        }
        STOCK.take()
    }

    /// Keeps the pipe for the next who needs one. One that is not empty is closed.
    pub(super) fn give_back(self) {
        let mut idle = self.stock.idle();
        if self.bytes == 0 && idle.len() < self.stock.idle_most {
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
                STOCK.idle().clear();
            }
            Ok(None)
        }
        _ => Err(error),
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.stock.count.fetch_sub(1, Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_pipes_and_so_many_are_kept() {
        static FEW: Stock = Stock::new(3, 2);
        let counts = || (FEW.count.load(Relaxed), FEW.idle().len());
        let mut taken: Vec<Pipe> = (0..3).map(|_| FEW.take().unwrap()).collect();
        assert!(FEW.take().is_none() && counts() == (3, 0));
        drop(taken.pop());
        taken.push(FEW.take().unwrap());
        assert!(FEW.take().is_none() && counts() == (3, 0));
        for (after, pipe) in [(3, 1), (3, 2), (2, 2)].into_iter().zip(taken) {
            pipe.give_back();
            assert_eq!(counts(), after);
        }
        // One with something in it is of no use to the next.
        let mut pipe = FEW.take().unwrap();
        pipe.bytes = 1;
        pipe.give_back();
        assert_eq!(counts(), (1, 1));
    }
}
