//! Lines for a reader that may stall: they wait in a bounded queue for a thread of their own, and what does not fit is dropped and counted.
//!
//! A write to a pipe blocks when nobody reads it (`relay serve 2>&1 | less`). Any stranger can cause log lines, so a thread that serves
//! clients must never be the one that writes them.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// What may wait: some two thousand lines, a few seconds of a busy relay.
const WAITING_BYTES_MAX: usize = 256 << 10;

/// The thread formats nothing and calls nothing but `write`.
const STACK_BYTES: usize = 64 << 10;

/// A queue of lines in front of one output.
#[derive(Debug, Clone)]
pub(crate) struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// For the thread: there is something to write.
    has_lines: Condvar,
    /// For [`Lines::flush`]: everything is written.
    is_idle: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Lines that found no room since the last report.
    dropped: u64,
    /// The thread has taken lines and is writing them.
    is_writing: bool,
}

impl Lines {
    /// A queue whose lines `output` gets. `dropped` is told, after lines could be written again, how many were dropped meanwhile.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn new(
        output: impl Write + Send + 'static,
        dropped: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let lines = Self(Arc::default());
        let shared = Arc::clone(&lines.0);
        thread::Builder::new()
            .name("log".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || shared.write_to(output, dropped))?;
        Ok(lines)
    }

    /// Adds a whole line, with its end, or counts it as dropped. Never blocks.
    pub(crate) fn push(&self, line: &[u8]) {
        let mut state = self.0.lock();
        if state.waiting.len() + line.len() > WAITING_BYTES_MAX {
            state.dropped += 1;
            return;
        }
        state.waiting.extend_from_slice(line);
        drop(state);
        self.0.has_lines.notify_one();
    }

    /// Waits until everything is written, at most for `limit`: at the end of the program, whose last words count most.
    pub(crate) fn flush(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut state = self.0.lock();
        while state.is_writing || !state.waiting.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.0.is_idle.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    fn write_to(&self, mut output: impl Write, report: impl Fn(u64)) {
        let mut state = self.lock();
        loop {
            while state.waiting.is_empty() {
                self.is_idle.notify_all();
                state = self.has_lines.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let lines = std::mem::take(&mut state.waiting);
            state.is_writing = true;
            drop(state);
            // Whoever closed the output does not want to know.
            let _ = output.write_all(&lines).and_then(|()| output.flush());
            let dropped = std::mem::take(&mut self.lock().dropped);
            if dropped > 0 {
                // There is room again, for the report too.
                report(dropped);
            }
            state = self.lock();
            state.is_writing = false;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// An output that takes nothing until it is told to, and says what it took.
    struct Stalling {
        may_go_on: Receiver<()>,
        taken: Sender<Vec<u8>>,
    }

    impl Write for Stalling {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.may_go_on.recv().map_err(io::Error::other)?;
            self.taken.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_beyond_the_bound_are_dropped_and_counted_and_nobody_waits() {
        let (go_on, may_go_on) = channel();
        let (taken, takes) = channel();
        let (report, reports) = channel();
        let lines = Lines::new(Stalling { may_go_on, taken }, move |dropped| report.send(dropped).unwrap());
        let lines = lines.unwrap();
        lines.push(b"first\n");
        // The thread has taken the first line when nothing waits any more.
        while !lines.0.lock().is_writing {
            thread::yield_now();
        }
        let line = [b'x'; 1024];
        let fit = WAITING_BYTES_MAX / line.len();
        for _ in 0..fit - 1 {
            lines.push(&line);
        }
        lines.push(&line[1..]);
        lines.push(b"x");
        assert_eq!(lines.0.lock().dropped, 0, "exactly full");
        lines.push(b"y");
        lines.push(&line);
        lines.flush(Duration::from_millis(1));
        go_on.send(()).unwrap();
        assert_eq!(takes.recv().unwrap(), b"first\n");
        assert_eq!(reports.recv().unwrap(), 2);
        go_on.send(()).unwrap();
        assert_eq!(takes.recv().unwrap().len(), WAITING_BYTES_MAX);
        lines.flush(Duration::from_secs(60));
        assert!(lines.0.lock().waiting.is_empty());
    }
}
