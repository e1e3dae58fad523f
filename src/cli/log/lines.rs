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

/// How long an output that does not block and takes nothing is left alone.
const FULL_PAUSE: Duration = Duration::from_millis(20);

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
    /// A queue whose lines `output` gets. `dropped` is told, once there is room again, how many were dropped meanwhile.
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
            let dropped = std::mem::take(&mut state.dropped);
            state.is_writing = true;
            drop(state);
            if dropped > 0 {
                // The lines that waited have made room, for the report too.
                report(dropped);
            }
            write_whole(&mut output, &lines);
            state = self.lock();
            state.is_writing = false;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes everything, also to an output that does not block: others may have set that for the terminal or pipe that this program shares.
fn write_whole(output: &mut impl Write, mut lines: &[u8]) {
    loop {
        let written = if lines.is_empty() { output.flush().map(|()| 0) } else { output.write(lines) };
        match written {
            Ok(0) => return,
            Ok(n) => lines = &lines[n..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(FULL_PAUSE),
            // Whoever closed the output does not want to know.
            Err(_) => return,
        }
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
        // At once, and not only when what waited is written.
        assert_eq!(reports.recv().unwrap(), 2);
        go_on.send(()).unwrap();
        assert_eq!(takes.recv().unwrap().len(), WAITING_BYTES_MAX);
        lines.flush(Duration::from_secs(60));
        assert!(lines.0.lock().waiting.is_empty());
    }

    /// An output that does not block, and is full every other time.
    struct Full(bool, Sender<Vec<u8>>);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = !self.0;
            if self.0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let n = bytes.len().min(3);
            self.1.send(bytes[..n].to_vec()).map_err(io::Error::other)?;
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_output_that_does_not_block_gets_every_byte() {
        let (taken, takes) = channel();
        write_whole(&mut Full(false, taken), b"several pieces\n");
        assert_eq!(takes.iter().collect::<Vec<_>>().concat(), b"several pieces\n");
    }

    /// As the log does it: the report is a line of the same queue.
    #[test]
    fn a_report_that_goes_the_same_way_counts_every_line() {
        let (go_on, may_go_on) = channel();
        let (taken, takes) = channel();
        let own: Arc<std::sync::OnceLock<Lines>> = Arc::default();
        let to = Arc::clone(&own);
        let report = move |dropped| to.get().unwrap().push(format!("dropped {dropped}\n").as_bytes());
        let lines = Lines::new(Stalling { may_go_on, taken }, report).unwrap();
        own.set(lines.clone()).unwrap();
        lines.push(b"first\n");
        while !lines.0.lock().is_writing {
            thread::yield_now();
        }
        let line = [b'x'; 1024];
        (0..WAITING_BYTES_MAX / line.len() + 7).for_each(|_| lines.push(&line));
        for expected in [6, WAITING_BYTES_MAX] {
            go_on.send(()).unwrap();
            assert_eq!(takes.recv().unwrap().len(), expected);
        }
        go_on.send(()).unwrap();
        assert_eq!(takes.recv().unwrap(), b"dropped 7\n");
    }
}
